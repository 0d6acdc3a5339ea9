"""A values file of the chart of K8sGPT's operator: every key has its effect, or it is said that it has none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from analysis_rows import board, monitor
from operator_rows import Check, template
from rendering import CHARTS, OPTIONAL_APIS, Object, RenderError, leaves, merged, notes, render

CHART = "asya-analysis"
GIVEN: Object = yaml.safe_load((Path(__file__).parent / "data/k8sgpt-operator.yaml").read_text())
# Maps that are one thing to a person.
WHOLE = frozenset({"additionalLabels", "resources", "containerSecurityContext", "podSecurityContext", "nodeSelector"})
WHOLE |= {"annotations", "labels", "kubeRbacProxy", "metricsService", "grafanaOperator", "image"}

EFFECTS: dict[str, Check] = {
    "serviceMonitor.enabled": lambda r: r.has("ServiceMonitor"),
    "serviceMonitor.additionalLabels": lambda r: monitor(r)["metadata"]["labels"]["release"] == "prometheus",
    "serviceMonitor.namespace": lambda r: monitor(r)["metadata"]["namespace"] == "monitoring",
    "grafanaDashboard.enabled": lambda r: r.has("ConfigMap"),
    "grafanaDashboard.namespace": lambda r: board(r)["namespace"] == "grafana",
    "grafanaDashboard.folder.annotation": lambda r: "grafana_folder" in board(r)["annotations"],
    "grafanaDashboard.folder.name": lambda r: list(board(r)["annotations"].values()) == ["ai"],
    "grafanaDashboard.label.key": lambda r: "grafana_dashboard" not in board(r)["labels"],
    "grafanaDashboard.label.value": lambda r: board(r)["labels"]["dashboards"] == "yes",
    "controllerManager.annotations": lambda r: template(r)["annotations"]["team"] == "sre",
    "controllerManager.labels": lambda r: template(r)["labels"]["tier"] == "tools",
    "controllerManager.manager.containerSecurityContext": lambda r: (
        r.container()["securityContext"]["runAsUser"] == 1000
        and r.container()["securityContext"]["readOnlyRootFilesystem"] is True
    ),
    "controllerManager.manager.resources": lambda r: r.container()["resources"] == {
        "limits": {"cpu": "700m", "memory": "300Mi"}, "requests": {"cpu": "10m", "memory": "64Mi"}
    },
    "controllerManager.replicas": lambda r: r.deployment()["spec"]["replicas"] == 2,
    "controllerManager.nodeSelector": lambda r: r.pod()["nodeSelector"] == {"disk": "ssd"},
    "controllerManager.podSecurityContext": lambda r: r.pod()["securityContext"]["fsGroup"] == 2000,
}  # fmt: skip
SAID = {
    "grafanaDashboard.grafanaOperator",
    "controllerManager.kubeRbacProxy",
    "controllerManager.manager.image",
    "controllerManager.manager.sinkWebhookTimeout",
    "controllerManager.manager.enableResultLogging",
    "metricsService",
    "kubernetesClusterDomain",
}


def test_every_key_of_the_file_has_an_effect_or_a_word() -> None:
    assert set(leaves(GIVEN, WHOLE)) == set(EFFECTS) | SAID | {"interplex.enabled"}


@pytest.mark.parametrize("key", EFFECTS)
def test_a_key_of_the_original_has_its_effect(key: str) -> None:
    assert EFFECTS[key](render(CHART, GIVEN, apis=OPTIONAL_APIS))


def test_the_pod_stays_restricted_and_runs_our_program() -> None:
    rendered = render(CHART, GIVEN, apis=OPTIONAL_APIS)
    assert rendered.container()["image"] == "asya-operator:latest"
    assert rendered.pod()["securityContext"]["runAsUser"] == 65532
    assert rendered.pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_what_has_no_effect_is_named_in_the_notes_and_nothing_else_is() -> None:
    sentence = next(it for it in notes(CHART, GIVEN).splitlines() if "have no effect" in it)
    assert set(re.search(r"here: (.*)\.$", sentence)[1].split(", ")) == SAID
    assert "no effect here" not in notes(CHART)


def test_ours_wins_where_both_are_given() -> None:
    ours: Object = {
        "replicaCount": 3,
        "resources": {"limits": {"memory": "1Gi"}},
        "dashboards": {"labels": {"mine": "1"}},
        "serviceMonitor": {"labels": {"release": "other"}},
    }
    rendered = render(CHART, merged(GIVEN, ours), apis=OPTIONAL_APIS)
    assert rendered.deployment()["spec"]["replicas"] == 3
    assert rendered.container()["resources"]["limits"]["memory"] == "1Gi"
    assert "mine" in board(rendered)["labels"] and "dashboards" not in board(rendered)["labels"]
    assert monitor(rendered)["metadata"]["labels"]["release"] == "other"


def test_interplex_is_refused_with_what_to_do() -> None:
    with pytest.raises(RenderError, match="interplex.enabled: .* kept in the database"):
        render(CHART, {"interplex": {"enabled": True}})
    with pytest.raises(RenderError, match="interplex.enabled"):
        render(CHART, sets=("interplex.enabled=true",))


def test_the_table_of_the_readme_has_every_key() -> None:
    text = (CHARTS / CHART / "README.md").read_text()
    table = text.split("## From the chart of K8sGPT's operator")[1].split("## ")[0]
    for key in leaves(GIVEN, WHOLE):
        parents = key.split(".")
        written = {f"`{key}`", f"`{'.'.join(parents[:-1])}`", f"`.{parents[-1]}`"}
        assert any(it in table for it in written), key
