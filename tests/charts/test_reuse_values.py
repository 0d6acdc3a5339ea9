"""`helm upgrade --reuse-values`: helm then uses the old release's values alone, so any key may be absent."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rendering import CHARTS, OPTIONAL_APIS, ROOT, Object, Rendered, chart_values, copy_of, leaves, render

DATA = Path(__file__).parent / "data"
CHARTS_WITH_DEFAULTS = ["asya-operator", "asya-actor", "asya-crew", "asya-gateway", "asya-analysis", "asya-agents"]


def rendered_with_only(chart: str, values: Object, extra: Object | None = None) -> Rendered:
    """As an upgrade with --reuse-values sees it: `values` take the place of the chart's own."""
    with copy_of(chart) as folder:
        (folder / "values.yaml").write_text(yaml.safe_dump(values))
        return without_random(render(folder, extra, apis=OPTIONAL_APIS))


def without_random(rendered: Rendered) -> Rendered:
    return Rendered(it for it in rendered if it["kind"] != "Secret")


@pytest.mark.parametrize("chart", CHARTS_WITH_DEFAULTS)
def test_no_key_at_all_renders_as_the_defaults_do(chart: str) -> None:
    assert rendered_with_only(chart, {}) == without_random(render(chart, apis=OPTIONAL_APIS))


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("chart", CHARTS_WITH_DEFAULTS)
def test_every_other_key_may_be_absent(chart: str, parity: int) -> None:
    # Below these a person's own map stands as it is.
    whole = {"resources", "defaultResources", "podSecurityContext", "securityContext", "labels", "workload", "scaling"}
    if chart == "asya-operator":
        whole.add("config")
    if chart == "asya-agents":
        whole |= {"spec", "annotations", "nodeSelector", "affinity"}
    values = chart_values(chart)
    for path in sorted(leaves(values, frozenset(whole)))[parity::2]:
        *parents, last = path.split(".")
        at = values
        for key in parents:
            at = at[key]
        del at[last]
    assert rendered_with_only(chart, values) == without_random(render(chart, apis=OPTIONAL_APIS))


@pytest.mark.parametrize("path", sorted(DATA.glob("asya-operator-*.yaml")), ids=lambda it: it.stem)
def test_values_of_every_released_chart_still_render(path: Path) -> None:
    """One file for each released version, and one for the Go system's chart."""
    rendered = rendered_with_only("asya-operator", yaml.safe_load(path.read_text()))
    assert rendered.deployment()["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "asya-operator",
        "app.kubernetes.io/instance": "asya-operator",
    }
    assert rendered.transport("rabbitmq")["config"]["host"]


def test_values_of_the_go_chart_are_taken_over() -> None:
    values = yaml.safe_load((DATA / "asya-operator-go.yaml").read_text())
    values["operator"]["transports"]["rabbitmq"]["config"]["host"] = "mq.example.com"
    rendered = rendered_with_only("asya-operator", values, {"queues": {"template": "asya-{actor}"}})
    rabbitmq = rendered.transport("rabbitmq")["config"]
    assert rabbitmq["host"] == "mq.example.com"
    assert rabbitmq["passwordSecretRef"] == {"name": "rabbitmq-secret", "key": "password"}
    assert rendered.env("ASYA_QUEUE_TEMPLATE") == "asya-{actor}"
    assert rendered.env("ASYA_RUNTIME_SCRIPT_PATH") == "/runtime/asya_runtime.py"
    assert rendered.container()["resources"]["limits"]["memory"] == "512Mi"


def test_transports_that_the_go_chart_read_stay_as_they_were() -> None:
    """It read them at the top level, and its own defaults below `operator` had no effect."""
    values = yaml.safe_load((DATA / "asya-operator-go.yaml").read_text())
    config = {"host": "mq", "port": 5672, "username": "asya", "passwordSecretRef": {"name": "mq", "key": "password"}}
    values["transports"] = {"rabbitmq": {"enabled": True, "type": "rabbitmq", "config": config}}
    rendered = rendered_with_only("asya-operator", values)
    assert rendered.transport("rabbitmq") == values["transports"]["rabbitmq"]
    assert rendered.transport("sqs")["enabled"] is False


def test_files_of_the_charts_are_the_generated_ones() -> None:
    for chart in CHARTS_WITH_DEFAULTS:
        values = (CHARTS / chart / "values.yaml").read_text()
        assert (CHARTS / chart / "files/defaults.yaml").read_text() == values, "run `make generate`"
    for crd in (ROOT / "crds").glob("asya.sh_*.yaml"):
        for copy in ("asya-operator/files/crds", "asya/crds"):
            assert (CHARTS / copy / crd.name).read_text() == crd.read_text(), "run `make generate`"
