"""What the charts render and the operator makes is valid for the real API server and the real KEDA."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cases import CASES
from rendering import OPTIONAL_APIS, ROOT, Rendered, render
from schemas import write_crds, write_kubernetes

# Kinds of Prometheus' and cert-manager's operators and of the Gateway API: their schemas are not at hand.
UNKNOWN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate", "HTTPRoute"}
# What the operator makes of actors; its own tests compare it with these files.
GOLDEN = sorted((ROOT / "operator/tests").glob("golden*/*.objects.yaml"))
# Stands in the files for a template that has a file of its own.
TEMPLATE_ELSEWHERE = "<the injected template>"
JOB_TEMPLATE = ROOT / "operator/tests/golden/job.objects.yaml"


@pytest.fixture(scope="session")
def schemas(openapi: Path, keda_crds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("schemas")
    write_kubernetes(openapi, out)
    write_crds(keda_crds, out)
    write_crds(ROOT / "crds", out)
    return out


def kubeconform(schemas: Path, objects: list[Any]) -> subprocess.CompletedProcess[str]:
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    return subprocess.run(
        ["kubeconform", "-summary", "-schema-location", location, "-"],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("case", CASES)
def test_rendered_objects_are_valid(case: str, schemas: Path) -> None:
    chart, values = CASES[case]
    rendered = Rendered(it for it in render(chart, values, apis=OPTIONAL_APIS) if it["kind"] not in UNKNOWN)
    done = kubeconform(schemas, rendered)
    assert done.returncode == 0, done.stdout + done.stderr


def test_unknown_fields_would_be_found(schemas: Path) -> None:
    rendered = render("asya-operator")
    rendered.pod()["serviceAcountName"] = "slip"
    assert "serviceAcountName" in kubeconform(schemas, rendered).stdout
    crew = render("asya-crew")
    crew[0]["spec"]["transprot"] = "slip"
    assert "transprot" in kubeconform(schemas, crew).stdout


def without_future(it: Any) -> Any:
    """Without the fields by which a file shows that what no schema knows yet is kept."""
    if isinstance(it, list):
        return [without_future(each) for each in it]
    if isinstance(it, dict):
        return {key: without_future(value) for key, value in it.items() if not key.endswith("OfTheFuture")}
    return it


def golden(path: Path) -> list[Any]:
    """The objects of a golden file; a pod template alone as an object that holds it."""
    found = []
    for it in map(without_future, yaml.safe_load_all(path.read_text())):
        if path.name.startswith("binding") and it.get("kind") == "Deployment":
            # Of the object that is there, to which this is applied.
            it["spec"]["selector"] = {"matchLabels": {}}
            it["spec"]["template"]["spec"].setdefault("containers", [{"name": "server"}])
        if it.keys() == {"metadata", "spec"}:
            it = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": it}
        job = it.get("spec", {}).get("jobTargetRef", {})
        if job.get("template") == TEMPLATE_ELSEWHERE:
            job["template"] = golden(JOB_TEMPLATE)[-1]["template"]
        if "kind" in it:
            found.append(it)
    return found


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_objects_of_actors_are_valid(path: Path, schemas: Path) -> None:
    objects = golden(path)
    done = kubeconform(schemas, objects)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(objects)} resource" in done.stdout or not objects, done.stdout


def test_every_kind_of_an_actor_is_among_them() -> None:
    kinds = {it["kind"] for path in GOLDEN for it in golden(path)}
    keda = {"ScaledObject", "ScaledJob", "TriggerAuthentication"}
    assert keda | {"Deployment", "StatefulSet", "PodTemplate", "Service", "ServiceAccount"} <= kinds


@pytest.mark.parametrize(
    ("file", "kind", "field"),
    [
        ("golden_keda/rabbitmq", "ScaledObject", "cooldwnPeriod"),
        ("golden_keda/job", "ScaledJob", "rolout"),
        ("golden_keda/rabbitmq", "TriggerAuthentication", "secretTargtRef"),
        ("golden/minimal", "Deployment", "replcas"),
        ("golden/statefulset", "StatefulSet", "servicName"),
    ],
)
def test_a_slip_in_an_object_of_an_actor_would_be_found(file: str, kind: str, field: str, schemas: Path) -> None:
    objects = golden(ROOT / f"operator/tests/{file}.objects.yaml")
    next(it for it in objects if it["kind"] == kind)["spec"][field] = 1
    done = kubeconform(schemas, objects)
    assert done.returncode != 0 and field in done.stdout, done.stdout
