"""The charts on a real API server, with Helm 3 and Helm 4, in each documented order.

There is no kubelet. A hook's Job is run here: the operator's real binary, with the Job's arguments and environment and
the token of the Job's own ServiceAccount, so that its role is what decides. Then its pod is reported as done.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cases import CASES
from rendering import CHARTS, OPTIONAL_APIS, ROOT, Rendered, render

pytestmark = pytest.mark.cluster
OPERATOR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/asya-operator"
CRD = "asyncactors.asya.sh"
# Long enough for a machine that builds something else at the same time.
LIMIT = 60.0
# Their CRDs are not at hand.
UNKNOWN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate", "ClusterTriggerAuthentication"}


class Cluster:
    """kubectl as the administrator."""

    def __init__(self, kubeconfig: str, tools: str) -> None:
        self.kubeconfig = kubeconfig
        self.env = {**os.environ, "KUBECONFIG": kubeconfig, "PATH": f"{tools}:{os.environ['PATH']}"}

    def run(self, *command: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, env=self.env, input=stdin, capture_output=True, text=True, timeout=2 * LIMIT)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return self.run("kubectl", *arguments, **options).stdout

    def get(self, *arguments: str) -> Any:
        done = self.run("kubectl", "get", *arguments, "-o", "json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None

    def apply(self, *objects: dict[str, Any]) -> None:
        if objects:
            self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def may(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        said = self.run(
            "kubectl", "auth", "can-i", verb, resource, "-n", namespace, "--as", account, check=False
        ).stdout
        return said.strip() == "yes"


class Hooks(threading.Thread):
    """Runs the pods of a namespace's Jobs with the operator's binary, as the kubelet would with its image."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(daemon=True)
        self.cluster, self.namespace = cluster, namespace
        self.done: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.3):
            pods = self.cluster.get("pods", "-n", self.namespace, "-l", "batch.kubernetes.io/job-name")
            for pod in (pods or {}).get("items", []):
                if pod["status"].get("phase") == "Pending":
                    self.execute(pod)

    def execute(self, pod: dict[str, Any]) -> None:
        spec = pod["spec"]
        container = spec["containers"][0]
        token = self.cluster.kubectl("create", "token", spec["serviceAccountName"], "-n", self.namespace).strip()
        config = yaml.safe_load(Path(self.cluster.kubeconfig).read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        own = Path(self.cluster.kubeconfig).with_name(f"hook-{pod['metadata']['uid']}")
        own.write_text(yaml.safe_dump(config))
        env = {it["name"]: it["value"] for it in container["env"]}
        ran = subprocess.run(
            [OPERATOR, *container["args"]],
            env={**env, "KUBECONFIG": str(own), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        own.unlink()
        phase = "Succeeded" if ran.returncode == 0 else "Failed"
        self.done.append(f"{' '.join(container['args'])}: {phase} {ran.stdout}{ran.stderr}")
        self.cluster.run(
            *("kubectl", "patch", "pod", pod["metadata"]["name"], "-n", self.namespace, "--subresource=status"),
            *("--type=merge", "-p", json.dumps({"status": {"phase": phase}})),
            check=False,
        )

    def stop(self) -> None:
        self.stopped.set()
        self.join()


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    kubeconfig, tools = os.environ.get("ASYA_TEST_KUBECONFIG"), os.environ.get("ASYA_TEST_KUBERNETES_TOOLS")
    if not kubeconfig or not tools:
        pytest.skip("run by tests/servers/all.sh run")
    return Cluster(kubeconfig, tools)


@pytest.fixture
def hooks(cluster: Cluster) -> Iterator[Hooks]:
    if not OPERATOR.exists():
        pytest.skip(f"{OPERATOR} is not built")
    cluster.kubectl("create", "namespace", "asya-system")
    it = Hooks(cluster, "asya-system")
    it.start()
    yield it
    it.stop()
    cluster.kubectl("delete", "namespace", "asya-system", "asya", "--ignore-not-found", f"--timeout={LIMIT}s")
    cluster.kubectl("delete", "crd", CRD, "--ignore-not-found")
    for kind in ("clusterrole", "clusterrolebinding"):
        cluster.kubectl("delete", kind, "-l", "app.kubernetes.io/part-of=asya", "--ignore-not-found")


def install(cluster: Cluster, helm: str, *arguments: str, hooks: Hooks, chart: str = "asya-operator") -> None:
    done = cluster.run(
        *(helm, "install", chart, str(CHARTS / chart), "-n", "asya-system", f"--timeout={LIMIT}s"),
        *arguments,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + "\n".join(hooks.done)


def await_(what: str, condition: Any) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"not within {LIMIT} s: {what}"
        time.sleep(0.2)


def manager(cluster: Cluster) -> list[str]:
    crd = cluster.get("crd", CRD, "--show-managed-fields")
    return [it["manager"] for it in crd["metadata"]["managedFields"]]


def test_helm_first_brings_the_crd(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    assert cluster.get("crd", CRD) is None
    install(cluster, each_helm, hooks=hooks)
    assert "asya-operator" in manager(cluster)
    cluster.run(
        each_helm, "upgrade", "asya-operator", str(CHARTS / "asya-operator"), "-n", "asya-system", "--reuse-values"
    )
    assert [it.split(":")[0] for it in hooks.done] == ["crds apply", "crds apply"]


def test_kubectl_first_is_taken_over(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    cluster.kubectl("apply", "-f", str(ROOT / "crds" / f"asya.sh_{CRD.split('.')[0]}.yaml"))
    install(cluster, each_helm, hooks=hooks)
    assert "asya-operator" in manager(cluster)


def test_crds_only_then_operator(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    cluster.run(
        each_helm, "install", "asya-crds", str(CHARTS / "asya-operator"), "-n", "asya-system", "--set=crdsOnly=true"
    )
    install(cluster, each_helm, "--set=crds.install=none", hooks=hooks)
    cluster.run(each_helm, "uninstall", "asya-crds", "-n", "asya-system")
    assert cluster.get("crd", CRD), "crds.keep keeps it"


def test_all_in_one_release_on_an_empty_cluster(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    install(cluster, each_helm, "--set=trialBroker.enabled=true", hooks=hooks, chart="asya")
    names = [it["metadata"]["name"] for it in cluster.get("asyncactors", "-n", "asya-system")["items"]]
    assert names == ["error-end", "happy-end"]
    password = cluster.get("secret", "asya-trial-broker", "-n", "asya-system")["data"]["password"]
    cluster.run(
        *(each_helm, "upgrade", "asya", str(CHARTS / "asya"), "-n", "asya-system", "--set=trialBroker.enabled=true")
    )
    assert cluster.get("secret", "asya-trial-broker", "-n", "asya-system")["data"]["password"] == password


def test_uninstalling_lets_actors_go(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    install(cluster, each_helm, hooks=hooks)
    cluster.kubectl("create", "namespace", "asya")
    hooks.done.clear()
    actor = yaml.safe_load((ROOT / "examples/manifests/minimal.yaml").read_text())
    actor["metadata"] |= {"namespace": "asya", "finalizers": ["asya.sh/finalizer", "example.com/mine"]}
    cluster.apply(actor)
    cluster.run(each_helm, "uninstall", "asya-operator", "-n", "asya-system", f"--timeout={LIMIT}s")
    assert all("finalizers remove: Succeeded" in it for it in hooks.done), hooks.done
    assert len(hooks.done) == 2, "before and after"
    left = cluster.get("asyncactor", actor["metadata"]["name"], "-n", "asya")
    assert left["metadata"]["finalizers"] == ["example.com/mine"], "\n".join(hooks.done)
    cluster.kubectl(
        *("patch", "asyncactor", actor["metadata"]["name"], "-n", "asya", "--type=merge"),
        *("-p", '{"metadata": {"finalizers": null}}'),
    )
    cluster.kubectl("delete", "crd", CRD, f"--timeout={LIMIT}s")


def test_scaler_certificates_survive_upgrades(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    cluster.kubectl("create", "namespace", "keda")
    try:
        install(cluster, each_helm, "--set=replicaCount=2", hooks=hooks)
        before = cluster.get("secret", "asya-operator-scaler-tls", "-n", "asya-system")["data"]
        cluster.run(
            *(each_helm, "upgrade", "asya-operator", str(CHARTS / "asya-operator"), "-n", "asya-system"),
            "--set=replicaCount=3",
        )
        assert cluster.get("secret", "asya-operator-scaler-tls", "-n", "asya-system")["data"] == before
    finally:
        cluster.kubectl("delete", "namespace", "keda", "--wait=false")


PROJECTED = "--set=transports.rabbitmq.projectTo={asya}"


def test_operator_writes_only_the_secrets_that_it_may(cluster: Cluster, each_helm: str, hooks: Hooks) -> None:
    cluster.kubectl("create", "namespace", "asya")
    install(cluster, each_helm, PROJECTED, hooks=hooks)
    account = "system:serviceaccount:asya-system:asya-operator"
    assert not cluster.may(account, "get", "secrets", "asya-system")
    assert not cluster.may(account, "list", "secrets", "asya")
    assert cluster.may(account, "get", "secrets/asya-transport-rabbitmq", "asya")

    def create(name: str, kind: str = "Opaque") -> str:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "asya"}, "type": kind}
        if kind != "Opaque":
            secret["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
        done = cluster.run("kubectl", "create", "--as", account, "-f", "-", stdin=json.dumps(secret), check=False)
        return done.stdout + done.stderr

    # A new policy takes a moment to be enforced.
    await_("the policy", lambda: "asya-transport-" in create("other"))
    assert "of the type Opaque" in create("asya-transport-token", "kubernetes.io/service-account-token")
    assert "created" in create("asya-transport-rabbitmq")
    cluster.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "--all")


@pytest.mark.parametrize("case", CASES)
def test_server_accepts_every_rendering(case: str, cluster: Cluster) -> None:
    chart, values = CASES[case]
    rendered = render(chart, values, apis=OPTIONAL_APIS)
    known = Rendered(it for it in rendered if it["kind"] not in UNKNOWN)
    namespaces = {it["metadata"].get("namespace") for it in known} - {None}
    cluster.kubectl("apply", "-f", str(ROOT / "crds/asya.sh_asyncactors.yaml"))
    for namespace in namespaces:
        cluster.run("kubectl", "create", "namespace", namespace, check=False)
    # Pods are refused while their account does not exist.
    cluster.apply(*known.kind("ServiceAccount"))
    for namespace in namespaces:
        await_("the default account", lambda: cluster.get("serviceaccount", "default", "-n", namespace))  # noqa: B023
    try:
        cluster.kubectl(
            *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"),
            stdin=yaml.safe_dump_all(known),
        )
    finally:
        for namespace in namespaces - {"default"}:
            cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={LIMIT}s")


class Operator:
    """The real operator, as the chart's Deployment would start it, under the chart's ServiceAccount."""

    def __init__(self, cluster: Cluster, folder: Path, **overrides: str) -> None:
        pod = cluster.get("deployment", "asya-operator", "-n", "asya-system")["spec"]["template"]["spec"]
        container = pod["containers"][0]
        token = cluster.kubectl("create", "token", pod["serviceAccountName"], "-n", "asya-system").strip()
        config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        env = {it["name"]: it["value"] for it in container["env"] if "value" in it}
        # Ports of its own, for these a test machine may have given to others.
        args = [it for it in container["args"] if "bind-address" not in it]
        self.log = folder / "operator.log"
        self.process = subprocess.Popen(
            [OPERATOR, *args, "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:0"],
            env={
                **env,
                "KUBECONFIG": str(folder / "kubeconfig"),
                "ASYA_OPERATOR_NAMESPACE": "asya-system",
                "ASYA_POD_NAME": "asya-operator-0",
                **overrides,
            },
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def stop(self) -> str:
        self.process.terminate()
        self.process.wait(LIMIT)
        return self.log.read_text()


@pytest.mark.parametrize(
    "values",
    [(), ("--set=watchNamespaces={asya}",), (PROJECTED,)],
    ids=["all namespaces", "one namespace", "credentials"],
)
def test_operator_has_the_rights_that_it_needs(
    values: tuple[str, ...], cluster: Cluster, hooks: Hooks, keda_crds: Path, tmp_path: Path
) -> None:
    cluster.kubectl("create", "namespace", "asya")
    cluster.kubectl("apply", "--server-side", "-f", str(keda_crds))
    runtime = ROOT / "runtime-py/src/asya_runtime/__init__.py"
    install(cluster, "helm", *values, hooks=hooks)
    # There is no broker: an actor is let go at once when it is deleted.
    operator = Operator(cluster, tmp_path, ASYA_RUNTIME_SCRIPT_PATH=str(runtime), ASYA_DELETION_TIMEOUT="1s")
    try:
        for manifest in ("first-hello", "stateful", "no-scaling"):
            actor = yaml.safe_load((ROOT / f"examples/manifests/{manifest}.yaml").read_text())
            actor["metadata"]["namespace"] = "asya"
            cluster.apply(actor)
        await_("a status", lambda: all(it.get("status", {}).get("status") for it in actors(cluster)))
        assert all("asya.sh/finalizer" in it["metadata"]["finalizers"] for it in actors(cluster))
        assert cluster.get("lease", "asya-operator.asya.sh", "-n", "asya-system")
        if PROJECTED in values:
            secret = "asya-transport-rabbitmq"
            await_("the credentials", lambda: cluster.get("secrets", "-n", "asya")["items"])
            assert cluster.get("secret", secret, "-n", "asya")["type"] == "Opaque"
        cluster.kubectl("delete", "asyncactors", "--all", "-n", "asya", f"--timeout={LIMIT}s")
        await_("no credentials", lambda: not cluster.get("secrets", "-n", "asya")["items"])
    finally:
        said = operator.stop()
        cluster.kubectl("delete", "--ignore-not-found", "-f", str(keda_crds))
    assert "forbidden" not in said.lower(), said
    # The other order of docs/uninstall.md: actors, operator, CRD.
    cluster.run("helm", "uninstall", "asya-operator", "-n", "asya-system", f"--timeout={LIMIT}s")
    cluster.kubectl("delete", "crd", CRD, f"--timeout={LIMIT}s")


def actors(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.get("asyncactors", "-n", "asya")["items"]
