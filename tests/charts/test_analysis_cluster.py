"""The chart of cluster analysis on a real API server, with the real operator under the account that it gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from live import GONE, LIMIT, Cluster, Hooks, Operator, await_, install
from rendering import ROOT
from test_analysis import PAGE

pytestmark = pytest.mark.cluster
CHART = "asya-analysis"
# Where the sample of K8sGPT's operator is.
SPACE = "k8sgpt-operator-system"
SAMPLE = "k8sgpt-sample"
CRDS = [f"{plural}.core.k8sgpt.ai" for plural in ("k8sgpts", "results", "mutations")]
ACCOUNT = f"system:serviceaccount:asya-system:{CHART}"
MUTATIONS = "mutations.core.k8sgpt.ai"
LABEL = f"analysis.asya.sh/k8sgpt={SAMPLE}"


def sample() -> str:
    """As the page has it."""
    return re.findall(r"<< EOF\n(.*?)^EOF", PAGE.read_text(), flags=re.S | re.M)[0]


@pytest.fixture
def space(cluster: Cluster, hooks: Hooks) -> Iterator[str]:
    """A namespace with what the page asks for; the kind AsyncActor, of which nobody makes anything here."""
    cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds/asya.sh_asyncactors.yaml"))
    cluster.kubectl("create", "namespace", SPACE)
    secret = ("create", "secret", "generic", "-n", SPACE)
    cluster.kubectl(*secret, "asya-analysis-database", "--from-literal=url=postgres://nobody@localhost/x")
    cluster.kubectl(*secret, "k8sgpt-sample-secret", "--from-literal=openai-api-key=none")
    yield SPACE
    free = ("--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    for it in (cluster.get("k8sgpts", "-A") or {"items": []})["items"]:
        name = (it["metadata"]["name"], "-n", it["metadata"]["namespace"])
        cluster.run("kubectl", "patch", "k8sgpt", *name, *free, check=False)
    cluster.kubectl("delete", "namespace", SPACE, f"--timeout={LIMIT}s")
    cluster.run("kubectl", "delete", "clusterrolebinding", "-l", "analysis.asya.sh/k8sgpt", check=False)
    cluster.kubectl("delete", "crd", *CRDS, "--ignore-not-found", f"--timeout={GONE}s")


def names(cluster: Cluster, *arguments: str) -> set[str]:
    return {it["metadata"]["name"] for it in cluster.get(*arguments)["items"]}


def conditions(cluster: Cluster) -> dict[str, dict[str, Any]]:
    status = cluster.get("k8sgpt", SAMPLE, "-n", SPACE).get("status", {})
    return {it["type"]: it for it in status.get("conditions", [])}


def test_the_sample_becomes_actors_and_leaves_nothing(
    cluster: Cluster, each_helm: str, hooks: Hooks, space: str, tmp_path: Path
) -> None:
    install(cluster, each_helm, hooks=hooks, chart=CHART)
    assert all(cluster.get("crd", it) for it in CRDS)
    assert not cluster.get("k8sgpts", "-A")["items"], "the chart makes none"
    operator = Operator(cluster, tmp_path, CHART)
    try:
        cluster.kubectl("apply", "-f", "-", stdin=sample())
        parts = {f"{SAMPLE}-{part}" for part in ("watch", "analyze", "findings", "results", "explain")}
        await_("its actors", lambda: names(cluster, "asyncactors", "-n", space, "-l", LABEL) >= parts)
        binding = cluster.get("clusterrolebinding", "-l", LABEL)["items"]
        assert [it["roleRef"]["name"] for it in binding] == ["asya-analysis-watch"]
        await_("a status", lambda: "Ready" in conditions(cluster))
        assert conditions(cluster)["ConfigurationWarning"]["status"] == "True"
        assert cluster.get("lease", "asya-analysis.asya.sh", "-n", "asya-system")
        # What the watcher got, and what the operator has not.
        watcher = f"system:serviceaccount:{space}:{SAMPLE}-watch"
        assert cluster.may(watcher, "list", "pods", "default")
        assert not cluster.may(watcher, "list", "secrets", "default")
        assert not cluster.may(watcher, "get", "pods", "default")
        assert not cluster.may(ACCOUNT, "list", "secrets", space)
        assert not cluster.may(ACCOUNT, "create", "deployments", space)
        cluster.kubectl("delete", "k8sgpts", "--all", "-A", f"--timeout={LIMIT}s")
        await_("no binding", lambda: not cluster.get("clusterrolebinding", "-l", LABEL)["items"])
    finally:
        said = operator.stop()
    assert "forbidden" not in said.lower(), said
    cluster.run(each_helm, "uninstall", CHART, "-n", "asya-system", f"--timeout={LIMIT}s")
    part = ("-l", f"app.kubernetes.io/instance={CHART}")
    for kind in ("clusterroles", "clusterrolebindings"):
        assert not names(cluster, kind, *part), kind
    for kind in ("deployments", "serviceaccounts", "roles", "rolebindings", "services", "jobs"):
        assert not names(cluster, kind, "-n", "asya-system", *part), kind
    assert all(cluster.get("crd", it) for it in CRDS), "CRDs stay until somebody deletes them"
    cluster.kubectl("delete", "crd", *CRDS, f"--timeout={GONE}s")


def test_changes_are_made_with_the_rights_of_the_chart_and_approved_by_people(
    cluster: Cluster, each_helm: str, hooks: Hooks, space: str, tmp_path: Path
) -> None:
    install(cluster, each_helm, "--set", "remediation.enabled=true", hooks=hooks, chart=CHART)
    shipped = list(yaml.safe_load_all((ROOT / "crds/remedy/approval.yaml").read_text()))
    for it in shipped:
        found = cluster.get(it["kind"].lower(), it["metadata"]["name"])
        assert found["spec"] == it["spec"], "with the defaults of the API server it is what remedy compares with"
    operator = Operator(cluster, tmp_path, CHART)
    try:
        manifest = yaml.safe_load(sample())
        limits = {"namespaces": {"include": ["default"]}}
        manifest["spec"]["ai"]["autoRemediation"] = {"enabled": True, "limits": limits}
        cluster.apply(manifest)
        await_("remedy", lambda: f"{SAMPLE}-remedy" in names(cluster, "asyncactors", "-n", space, "-l", LABEL))
        remedy = f"system:serviceaccount:{space}:{SAMPLE}-remedy"
        await_("its rights", lambda: cluster.may(remedy, "patch", "deployments.apps", "default"))
        assert not cluster.may(remedy, "patch", "deployments.apps", space), "not beyond the limits"
        assert not cluster.may(remedy, "patch", "secrets", "default")
        assert not cluster.may(remedy, "list", "pods", "default")
        assert cluster.may(remedy, "create", MUTATIONS, space)
        assert not cluster.may(remedy, "create", MUTATIONS, "default")
        for account in (remedy, ACCOUNT):
            assert not cluster.may(account, "approve", MUTATIONS, space)
        assert not cluster.may(ACCOUNT, "patch", "deployments.apps", "default"), "the operator gives what it has not"
        cluster.kubectl("delete", "k8sgpts", "--all", "-A", f"--timeout={LIMIT}s")
        await_("no right is left", lambda: not cluster.may(remedy, "patch", "deployments.apps", "default"))
    finally:
        said = operator.stop()
    assert "forbidden" not in said.lower(), said
    cluster.run(each_helm, "uninstall", CHART, "-n", "asya-system", f"--timeout={LIMIT}s")
    assert not cluster.run("kubectl", "get", "clusterrole", "asya-analysis-remedy", check=False).stdout


def test_the_operator_may_go_first(cluster: Cluster, each_helm: str, hooks: Hooks, space: str, tmp_path: Path) -> None:
    install(cluster, each_helm, hooks=hooks, chart=CHART)
    manifest = yaml.safe_load(sample())
    manifest["metadata"]["finalizers"] = ["k8sgpt.ai/finalizer"]
    cluster.apply(manifest)
    hooks.done.clear()
    cluster.run(each_helm, "uninstall", CHART, "-n", "asya-system", f"--timeout={LIMIT}s")
    assert [it.split(":")[0] for it in hooks.done] == ["finalizers remove --analysis"] * 2, hooks.done
    assert all("Succeeded" in it for it in hooks.done), hooks.done
    assert not cluster.get("k8sgpt", SAMPLE, "-n", space)["metadata"].get("finalizers")
    cluster.kubectl("delete", "k8sgpts", "--all", "-A", f"--timeout={LIMIT}s")


def test_kinds_of_the_original_are_taken_over_with_their_objects(
    cluster: Cluster, each_helm: str, hooks: Hooks, space: str
) -> None:
    """As the original's chart leaves them: among the templates of its release, without the newer fields."""
    crd = yaml.safe_load((ROOT / "crds/core.k8sgpt.ai_k8sgpts.yaml").read_text())
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del fields["properties"]["suppress"]
    fields["x-kubernetes-validations"] = []
    cluster.apply(crd)
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{CRDS[0]}", f"--timeout={LIMIT}s")
    cluster.kubectl("apply", "-f", "-", stdin=sample())
    uid = cluster.get("k8sgpt", SAMPLE, "-n", space)["metadata"]["uid"]
    install(cluster, each_helm, hooks=hooks, chart=CHART)
    assert cluster.get("k8sgpt", SAMPLE, "-n", space)["metadata"]["uid"] == uid
    newer = '{"spec": {"suppress": [{"kind": "Pod"}]}}'
    cluster.kubectl("patch", "k8sgpt", SAMPLE, "-n", space, "--type=merge", "-p", newer)
    assert cluster.get("k8sgpt", SAMPLE, "-n", space)["spec"]["suppress"] == [{"kind": "Pod"}]


def test_without_the_database_it_is_said(
    cluster: Cluster, each_helm: str, hooks: Hooks, space: str, tmp_path: Path
) -> None:
    cluster.kubectl("delete", "secret", "asya-analysis-database", "-n", space)
    install(cluster, each_helm, hooks=hooks, chart=CHART)
    operator = Operator(cluster, tmp_path, CHART)
    try:
        cluster.kubectl("apply", "-f", "-", stdin=sample())
        await_("the reason", lambda: conditions(cluster).get("Ready", {}).get("reason") == "NoDatabase")
        assert "asya-analysis-database" in conditions(cluster)["Ready"]["message"]
        cluster.kubectl("delete", "k8sgpts", "--all", "-A", f"--timeout={LIMIT}s")
    finally:
        operator.stop()
