"""Each chart passes `helm lint`, renders with Helm 3 and 4, and knows exactly its own values."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from cases import CASES
from rendering import CHARTS, OPTIONAL_APIS, RenderError, chart_values, leaves, merged, nested, render

NAMES = sorted(it.parent.name for it in CHARTS.glob("*/Chart.yaml"))
# Values without which a chart has nothing to render.
NEEDED = {"asya": ["--set", "trialBroker.enabled=true"]}


@pytest.mark.parametrize("chart", NAMES)
def test_lint(chart: str, each_helm: str) -> None:
    done = subprocess.run(
        [each_helm, "lint", "--strict", CHARTS / chart, *NEEDED.get(chart, [])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_both_helms_render_the_same(case: str, each_helm: str) -> None:
    chart, values = CASES[case]
    ours = [it for it in render(chart, values, apis=OPTIONAL_APIS, helm=each_helm) if it["kind"] != "Secret"]
    assert ours == [it for it in render(chart, values, apis=OPTIONAL_APIS) if it["kind"] != "Secret"]


@pytest.mark.parametrize("chart", NAMES)
def test_own_values_satisfy_the_schema(chart: str) -> None:
    jsonschema.validate(chart_values(chart), schema(chart))


@pytest.mark.parametrize("chart", NAMES)
def test_a_slip_at_any_level_is_refused(chart: str) -> None:
    values = chart_values(chart)
    levels = {path.rsplit(".", 1)[0] for path in leaves(values) if "." in path}
    for level in sorted(levels):
        if not free(level):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(merged(values, nested(f"{level}.sliip", 1)), schema(chart))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "sliip": 1}, schema(chart))


def free(level: str) -> bool:
    """Maps whose keys are Kubernetes' or the user's own, or another chart's."""
    parts = set(level.split("."))
    own = {"podSecurityContext", "securityContext", "limits", "requests", "labels", "global", "routes", "defaults"}
    own |= {"interplex"}
    return bool(
        parts
        & (
            own
            | {
                "workload",
                "scaling",
                "asya-operator",
                "asya-crew",
                "asya-gateway",
                "asya-analysis",
                "asya-agents",
                "spec",
            }
        )
    )


@pytest.mark.parametrize("chart", NAMES)
def test_every_chart_says_what_it_runs_on(chart: str) -> None:
    said = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    assert said["kubeVersion"] == ">=1.29.0-0"
    assert (CHARTS / chart / "README.md").exists()


@pytest.mark.parametrize("chart", NAMES)
def test_readme_names_every_value(chart: str) -> None:
    text = (CHARTS / chart / "README.md").read_text()
    whole = frozenset({"resources", "defaultResources", "podSecurityContext", "securityContext", "labels"})
    whole |= {"workload", "scaling", "requests", "limits"}
    for path in leaves(chart_values(chart), whole):
        assert f"`{path}`" in text, path


def schema(chart: str) -> dict:
    return json.loads(Path(CHARTS / chart / "values.schema.json").read_text())


@pytest.mark.parametrize("chart", NAMES)
def test_older_kubernetes_is_refused(chart: str) -> None:
    values = {"asya": {"trialBroker": {"enabled": True}}}.get(chart, {})
    with pytest.raises(RenderError, match="1.29.0-0"):
        render(chart, values, kube_version="1.28.9")
    assert render(chart, values, kube_version="1.29.0") or chart == "asya-actor"
