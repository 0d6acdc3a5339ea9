"""JSON schemas for kubeconform, from Kubernetes' own OpenAPI files and from CRDs. Unknown fields are errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
PREFIX = "#/components/schemas/"


def write_kubernetes(openapi: Path, out: Path) -> None:
    """One file for each kind of each API: KIND-GROUP-VERSION.json, as kubeconform spells it."""
    for source in openapi.glob("*_openapi.json"):
        components = json.loads(source.read_text()).get("components", {}).get("schemas", {})
        for name, schema in components.items():
            for gvk in schema.get("x-kubernetes-group-version-kind", []):
                if len(schema["x-kubernetes-group-version-kind"]) > 1 or "properties" not in schema:
                    continue  # DeleteOptions and the like belong to every group
                root = {"$ref": f"#/definitions/{name}", "definitions": closure(name, components)}
                write(out, gvk["group"], gvk["version"], gvk["kind"], root)


def closure(name: str, components: dict[str, Schema]) -> dict[str, Schema]:
    """A schema and all that it refers to."""
    found: dict[str, Schema] = {}
    todo = [name]
    while todo:
        it = todo.pop()
        if it not in found:
            found[it] = strict(components[it])
            todo += references(found[it])
    return found


def references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        # A property may itself be called $ref: only a string refers.
        to = schema.get("$ref")
        own = [to.removeprefix("#/definitions/")] if isinstance(to, str) else []
        return own + [name for value in schema.values() for name in references(value)]
    if isinstance(schema, list):
        return [name for value in schema for name in references(value)]
    return []


def write_crd(crd: Schema, out: Path) -> None:
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    for version in crd["spec"]["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema.setdefault("properties", {}).update(
            {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
        )
        write(out, group, version["name"], kind, schema)


def write_crds(folder: Path, out: Path) -> None:
    for path in folder.glob("*.yaml"):
        for crd in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                write_crd(crd, out)


def strict(schema: Any) -> Any:
    """Refuses unknown fields where the API server prunes them; JSON schema's words for those of OpenAPI."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items() if not key.startswith("x-") and key != "format"}
    if isinstance(schema.get("properties"), dict):
        out["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
    if isinstance(out.get("$ref"), str):
        return {"$ref": out["$ref"].replace(PREFIX, "#/definitions/")}
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended and schema.get("type") == "object":
        out["additionalProperties"] = False
    return out


def write(out: Path, group: str, version: str, kind: str, schema: Schema) -> None:
    suffix = f"-{group.split('.')[0]}-{version}" if group else f"-{version}"
    (out / f"{kind.lower()}{suffix}.json").write_text(json.dumps(schema))
