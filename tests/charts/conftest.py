"""Which of the tools are there. tests/charts.sh says what is missing, and fails for it in CI."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import CRDS, LIMIT, OPERATOR, Cluster, Hooks


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


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    kubeconfig, tools = os.environ.get("ASYA_TEST_KUBECONFIG"), os.environ.get("ASYA_TEST_KUBERNETES_TOOLS")
    if not kubeconfig or not tools:
        pytest.skip("run by tests/servers/all.sh run")
    return Cluster(kubeconfig, tools)


@pytest.fixture
def hooks(cluster: Cluster) -> Iterator[Hooks]:
    for program in ("asya-operator", "asya-sidecar", "minikubelet"):
        if not OPERATOR.with_name(program).exists():
            pytest.fail(f"{program} is not built: run 'cargo build --workspace'")
    cluster.kubectl("create", "namespace", "asya-system")
    it = Hooks(cluster, "asya-system")
    it.start()
    yield it
    it.stop()
    cluster.kubectl("delete", "namespace", "asya-system", "asya", "--ignore-not-found", f"--timeout={LIMIT}s")
    cluster.kubectl("delete", "crd", *CRDS, "--ignore-not-found")
    for kind in ("clusterrole", "clusterrolebinding"):
        cluster.kubectl("delete", kind, "-l", "app.kubernetes.io/part-of=asya", "--ignore-not-found")
