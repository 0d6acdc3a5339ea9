"""Which of the tools are there. tests/charts.sh says what is missing, and fails for it in CI."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session", params=["helm", "helm4"])
def each_helm(request: pytest.FixtureRequest) -> str:
    """Helm 3 and Helm 4."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not there")
    return request.param


@pytest.fixture(scope="session")
def openapi() -> Path:
    """Kubernetes' own OpenAPI files."""
    folder = os.environ.get("ASYA_TEST_OPENAPI", "")
    if not folder or not shutil.which("kubeconform"):
        pytest.skip("kubeconform or the schemas of Kubernetes are not there")
    return Path(folder)


@pytest.fixture(scope="session")
def keda_crds() -> Path:
    folder = Path(os.environ.get("ASYA_TEST_KEDA_CONFIG", "/nonexistent")) / "crd/bases"
    if not folder.is_dir():
        pytest.skip("KEDA's CRDs are not there")
    return folder
