"""Writes the table of values into each chart's README, from values.yaml and its comments. `make generate` calls it."""

import json
import re
from pathlib import Path

import yaml

HERE = Path(__file__).parent
BEGIN, END = "<!-- values: made by `make generate` from values.yaml -->", "<!-- end of values -->"
# Maps that a person writes as a whole: one line each.
WHOLE = {"resources", "defaultResources", "podSecurityContext", "securityContext", "labels", "workload", "scaling"}
# The longest default that is shown; longer ones are in values.yaml.
LONGEST = 70


def rows(tree, path=""):
    """Dotted path and default of everything that is one line in the table."""
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and key not in WHOLE:
            yield from rows(value, here)
        else:
            yield here, value


def comments(text):
    """Dotted path -> the comment above the key."""
    found, said, stack = {}, [], []
    for line in text.splitlines():
        if match := re.match(r"( *)# ?(.*)", line):
            said.append(match[2])
        elif match := re.match(r"( *)([\w-]+):", line):
            indent = len(match[1])
            stack = [it for it in stack if it[0] < indent] + [(indent, match[2])]
            if said:
                found[".".join(key for _, key in stack)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def table(values_yaml):
    said = comments(values_yaml)
    lines = ["| key | default | |", "|---|---|---|"]
    for path, value in rows(yaml.safe_load(values_yaml)):
        default = json.dumps(value) if not isinstance(value, str) else value or '""'
        default = "see values.yaml" if len(default) > LONGEST else f"`{default}`"
        # A comment on a map stands beside its first key, if that has none of its own.
        parent = path.rpartition(".")[0]
        text = said.get(path) or said.pop(parent, "")
        lines.append(f"| `{path}` | {default} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


for readme in sorted(HERE.glob("*/README.md")):
    text = readme.read_text()
    head, rest = text.split(BEGIN)
    made = table((readme.parent / "values.yaml").read_text())
    readme.write_text(f"{head}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}")
