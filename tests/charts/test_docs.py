"""The helm commands, values and policies in the documentation are right."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from rendering import CHARTS, OPTIONAL_APIS, ROOT, merged, render

PAGES = [
    *(ROOT / "docs" / f"{name}.md" for name in ("install", "upgrade", "production", "tenancy", "sqs", "security")),
    *CHARTS.glob("*/README.md"),
]
# What a person fills in.
VARIABLES = {"$OPERATOR_ROLE_ARN": "arn:aws:iam::1:role/o", "$ACTORS_ROLE_ARN": "arn:aws:iam::1:role/a"}
# What the umbrella chart needs besides when only a part's values are shown.
BASE = {"asya": {"trialBroker": {"enabled": True}}, "asya-actor": {"transport": "rabbitmq"}}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.S)


def commands() -> list[tuple[str, str, tuple[str, ...]]]:
    """Page, chart and --set arguments of every helm install and upgrade."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for variable, value in VARIABLES.items():
                    line = line.replace(variable, value)
                words = shlex.split(line, comments=True)
                chart = next((it for it in words if it.startswith("charts/")), None)
                if words[:1] == ["helm"] and words[1] in ("install", "upgrade") and chart:
                    sets = tuple(it for before, it in zip(words, words[1:], strict=False) if before == "--set")
                    found.append((page.name, chart.removeprefix("charts/"), sets))
                elif words[:1] == ["--set"]:
                    found.append((page.name, "asya-operator", tuple(it for it in words if it != "--set")))
    return found


@pytest.mark.parametrize(("page", "chart", "sets"), commands())
def test_helm_command_renders(page: str, chart: str, sets: tuple[str, ...]) -> None:
    needed = BASE.get(chart, {}) if not sets else {}
    assert render(chart, needed, sets=sets, apis=OPTIONAL_APIS)


def test_there_are_commands() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda it: f"{it.parent.name}/{it.name}")
def test_values_of_the_page_render(page: Path) -> None:
    for block in blocks(page, "yaml"):
        values = yaml.safe_load(block.replace("sha256:…", "sha256:" + "a" * 64))
        if values.get("kind") == "Application":
            values = values["spec"]["source"]["helm"]["valuesObject"]
        elif any("customizations" in key for key in values):
            continue
        chart = page.parent.name if page.name == "README.md" else "asya-operator"
        assert render(chart, merged(BASE.get(chart, {}), values), apis=OPTIONAL_APIS)


def test_policies_are_json_and_name_our_queues_only() -> None:
    found = [json.loads(it) for it in blocks(ROOT / "docs/sqs.md", "json")]
    resources = [it["Resource"] for policy in found for it in policy["Statement"] if "Resource" in it]
    assert resources == ["arn:aws:sqs:*:123456789012:asya-*"] * 2


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs/uninstall.md"], ids=lambda it: f"{it.parent.name}/{it.name}")
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
