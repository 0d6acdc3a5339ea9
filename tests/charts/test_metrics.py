"""Dashboards and alerts ask for metrics that exist."""

from __future__ import annotations

import json
import re

import pytest
from rendering import CHARTS, OPTIONAL_APIS, ROOT, render

ON = {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}


def documented() -> set[str]:
    """Names as Prometheus serves them, from the generated table."""
    text = (ROOT / "docs/metrics.md").read_text()
    names: set[str] = set()
    for part in re.split(r"^(?=## )", text, flags=re.M):
        rows = re.findall(r"^\| `([a-z_]+)` \| (\w+)", part, flags=re.M)
        if not rows:
            continue
        # Each part of the page says which prefix its table leaves out.
        (prefix,) = re.findall(r"All names carry the prefix [^.]*?`(asya_[a-z]+|k8sgpt)_?`", part)
        for name, kind in rows:
            suffixes = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
            names |= {f"{prefix}_{name}{suffix}" for suffix in suffixes}
    return names


def asked(chart: str = "asya-operator") -> dict[str, str]:
    rendered = render(chart, ON, apis=OPTIONAL_APIS)
    texts = [json.dumps(rendered.one("PrometheusRule")), *rendered.one("ConfigMap")["data"].values()]
    return {name: text for text in texts for name in re.findall(r"(?:asya_actor|asya_operator|k8sgpt)_[a-z_]+", text)}


def test_actor_metrics_exist() -> None:
    names = {it for it in asked() if it.startswith("asya_actor_")}
    assert names and names <= documented()


def test_operator_metrics_exist() -> None:
    names = {it for it in asked() if it.startswith("asya_operator_")}
    assert names and names <= documented()


def test_metrics_of_the_analysis_exist() -> None:
    names = set(asked("asya-analysis"))
    assert {it.split("_")[0] for it in names} == {"asya", "k8sgpt"} and names <= documented()


def test_dashboards_are_whole() -> None:
    for path in CHARTS.glob("*/files/dashboards/*.json"):
        board = json.loads(path.read_text())
        ids = [it["id"] for it in board["panels"]]
        assert len(ids) == len(set(ids))
        assert all(it["targets"] and it["title"] for it in board["panels"])


@pytest.mark.parametrize("chart", ["asya-operator", "asya-analysis"])
def test_alerts_say_what_to_do(chart: str) -> None:
    for group in render(chart, ON, apis=OPTIONAL_APIS).one("PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            assert {"summary", "description"} <= set(rule["annotations"]), rule["alert"]
            assert f"`{rule['alert']}`" in (CHARTS / chart / "README.md").read_text()


@pytest.mark.parametrize("chart", ["asya-operator", "asya-analysis"])
def test_alerts_about_an_operator_do_not_mix_it_with_the_other(chart: str) -> None:
    """Both may run in one namespace, and serve metrics of the same names."""
    rule = json.dumps(render(chart, ON, apis=OPTIONAL_APIS).one("PrometheusRule")["spec"])
    for selector in re.findall(r"asya_operator_(?:leader|watches_failing|reconcile_errors_total)\{(.*?)\}", rule):
        assert "service=" in selector
