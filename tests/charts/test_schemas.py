"""What the charts render is valid for the real API server and the real KEDA."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from cases import CASES
from rendering import OPTIONAL_APIS, ROOT, Rendered, render
from schemas import write_crds, write_kubernetes

# Kinds of Prometheus' and cert-manager's operators: their schemas are not at hand.
UNKNOWN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate"}


@pytest.fixture(scope="session")
def schemas(openapi: Path, keda_crds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("schemas")
    write_kubernetes(openapi, out)
    write_crds(keda_crds, out)
    write_crds(ROOT / "crds", out)
    return out


def kubeconform(schemas: Path, objects: Rendered) -> subprocess.CompletedProcess[str]:
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
