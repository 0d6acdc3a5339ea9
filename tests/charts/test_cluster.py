"""The charts on a real API server, with Helm 3 and Helm 4, in each documented order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cases import CASES
from live import CRD, CRDS, GONE, LIMIT, Cluster, Hooks, Operator, await_, install
from rendering import CHARTS, OPTIONAL_APIS, ROOT, Object, Rendered, render

pytestmark = pytest.mark.cluster
# Their CRDs are not at hand.
UNKNOWN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate", "ClusterTriggerAuthentication"}


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
    cluster.kubectl("delete", "crd", CRD, f"--timeout={GONE}s")


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
    for crd in CRDS:
        cluster.kubectl("apply", "-f", str(ROOT / "crds" / f"asya.sh_{crd.split('.')[0]}.yaml"))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd}", f"--timeout={LIMIT}s")
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
    assert "forbidden" not in said.lower(), said
    # The other order of docs/uninstall.md: actors, operator, CRD.
    cluster.run("helm", "uninstall", "asya-operator", "-n", "asya-system", f"--timeout={LIMIT}s")
    cluster.kubectl("delete", "crd", CRD, f"--timeout={GONE}s")


def actors(cluster: Cluster) -> list[Object]:
    return cluster.get("asyncactors", "-n", "asya")["items"]
