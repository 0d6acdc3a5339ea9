#!/usr/bin/env python3
"""Writes the JSON schemas that kubeconform reads, from what a real API server says about itself.

usage: kubectl get --raw /openapi/v2 | schemas.py DIR
       kubeconform -strict -schema-location 'DIR/{{.ResourceKind}}{{.KindSuffix}}.json' FILE...

Custom resources are in it as soon as their CRDs are installed. Fields that the server does not know are refused, as by
`kubectl apply` with strict validation.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
# What OpenAPI v2 can only call a string.
LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}

# Of these OpenAPI v2 makes use, and they mean the same in JSON Schema.
KEYWORDS = {
    *("type", "items", "additionalProperties", "required", "enum", "pattern", "minimum", "maximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems"),
    *("anyOf", "oneOf", "allOf", "not"),
}


def strict(schema: Any) -> Any:
    """The schema as JSON Schema, without fields that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": "_definitions.json" + schema["$ref"]}
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    result = {key: strict(value) for key, value in schema.items() if key in KEYWORDS}
    if "properties" in schema:
        # Its keys are names of fields, some of which look like keywords.
        result["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields", False):
            result.setdefault("additionalProperties", False)
    return result


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 64
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    definitions = json.load(sys.stdin)["definitions"]
    text = json.dumps({"definitions": {name: LOOSE.get(name) or strict(each) for name, each in definitions.items()}})
    (folder / "_definitions.json").write_text(text)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            group = kind["group"].split(".")[0]
            suffix = "-".join(part for part in (kind["kind"].lower(), group, kind["version"]) if part)
            (folder / f"{suffix}.json").write_text(json.dumps({"$ref": f"_definitions.json#/definitions/{name}"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
