"""What each value of asya-agents does: path of the key -> a value, and what must then be so."""

from __future__ import annotations

from typing import Any

from operator_rows import DIGEST, Check, Row
from rendering import Object, Rendered, merged

WRITES: Object = {
    "k8s-write": {"enabled": True, "namespaces": ["shop"]},
    "people": {"user": "{sub}"},
    "rbac": {"role": {"resources": [{"name": "deployments", "apiGroup": "apps"}]}},
}
INSTALLS: Object = {
    "helm": {
        "enabled": True,
        "namespaces": ["shop"],
        "repositories": [{"name": "own", "url": "https://charts.example"}],
    },
    "people": {"user": "{sub}"},
}
FETCHES: Object = {"http-get": {"enabled": True, "allow": ["api.example.com"]}}
AGENT: Object = {"agent": {"enabled": True}}
POLICY: Object = {"networkPolicy": {"enabled": True}}
HELM = "asya-system-asya-operator-helm"
WRITE = "asya-system-asya-operator-k8s-write"
EGRESS = {"ports": [{"protocol": "TCP", "port": 7777}]}


def pod(r: Rendered, actor: str = "k8s-read") -> Object:
    return r.one("AsyncActor", actor)["spec"]["workload"]["template"]["spec"]


def container(r: Rendered, actor: str = "k8s-read") -> Object:
    return pod(r, actor)["containers"][0]


def env(actor: str, name: str, wanted: str) -> Check:
    return lambda r: {it["name"]: it["value"] for it in container(r, actor)["env"]}.get(name) == wanted


def agent(path: str, wanted: Any) -> Check:
    def check(r: Rendered) -> bool:
        value: Any = r.one("Agent")["spec"]
        for key in path.split("."):
            value = value[key]
        return value == wanted

    return check


def write_rules(r: Rendered, kind: str) -> list[Object]:
    return r.one(kind, WRITE)["rules"]


ROWS: dict[str, Row] = {
    "global.imageRegistry": Row("r.io/t", lambda r: container(r)["image"] == "r.io/t/asya-crew:latest"),
    "transport": Row("sqs", lambda r: all(it["spec"]["transport"] == "sqs" for it in r.kind("AsyncActor"))),
    "image.repository": Row("x/crew", lambda r: container(r)["image"] == "x/crew:latest"),
    "image.tag": Row("dev", lambda r: container(r)["image"] == "asya-crew:dev"),
    "image.digest": Row(DIGEST, lambda r: container(r)["image"] == f"asya-crew@{DIGEST}"),
    "image.pullPolicy": Row("Never", lambda r: container(r)["imagePullPolicy"] == "Never"),
    "imagePullSecrets": Row(["pull"], lambda r: pod(r)["imagePullSecrets"] == [{"name": "pull"}]),
    "scaling": Row(
        {"enabled": False}, lambda r: r.one("AsyncActor", "k8s-read")["spec"]["scaling"]["enabled"] is False
    ),
    "resources": Row({"limits": {"memory": "1Gi"}}, lambda r: container(r)["resources"]["limits"]["memory"] == "1Gi"),
    "nodeSelector": Row({"a": "b"}, lambda r: pod(r)["nodeSelector"] == {"a": "b"}),
    "tolerations": Row([{"key": "a"}], lambda r: pod(r)["tolerations"] == [{"key": "a"}]),
    "affinity": Row({"podAntiAffinity": {}}, lambda r: pod(r)["affinity"] == {"podAntiAffinity": {}}),
    "serviceAccount.create": Row(
        False, lambda r: not r.has("ServiceAccount") and pod(r)["serviceAccountName"] == "default"
    ),
    "serviceAccount.name": Row("ops", lambda r: pod(r)["serviceAccountName"] == "ops-k8s-read"),
    "serviceAccount.annotations": Row(
        {"a": "b"}, lambda r: all(it["metadata"]["annotations"] == {"a": "b"} for it in r.kind("ServiceAccount"))
    ),
    "people.groups": Row(
        "oidc:{group}", env("k8s-read", "ASYA_KUBE_GROUP_CLAIM", "oidc:{group}"), {"people": {"user": "{sub}"}}
    ),
    "people.user": Row("{sub}", env("k8s-read", "ASYA_KUBE_USER_CLAIM", "{sub}")),
    "k8s-read.enabled": Row(False, lambda r: not r.has("AsyncActor", "k8s-read")),
    "k8s-read.namespaces": Row(
        ["shop"],
        lambda r: (
            env("k8s-read", "ASYA_KUBE_NAMESPACES", "shop")(r)
            and r.one("Role", "asya-system-asya-operator-k8s-read")["metadata"]["namespace"] == "shop"
            and not r.has("ClusterRole", "asya-system-asya-operator-k8s-read")
        ),
    ),
    "analyze.enabled": Row(False, lambda r: not r.has("AsyncActor", "analyze")),
    "analyze.namespaces": Row(["shop"], env("analyze", "ASYA_KUBE_NAMESPACES", "shop")),
    "k8s-write.enabled": Row(
        True, lambda r: r.has("AsyncActor", "k8s-write"), {**WRITES, "k8s-write": {"namespaces": ["shop"]}}
    ),
    "k8s-write.namespaces": Row(["a", "b"], env("k8s-write", "ASYA_KUBE_NAMESPACES", "a,b"), WRITES),
    "k8s-write.kinds": Row(
        ["rbac.authorization.k8s.io/Role"],
        env("k8s-write", "ASYA_KUBE_WRITE_KINDS", "rbac.authorization.k8s.io/Role"),
        WRITES,
    ),
    "helm.enabled": Row(
        True,
        lambda r: r.has("AsyncActor", "helm") and pod(r, "helm")["volumes"][0]["emptyDir"]["sizeLimit"] == "256Mi",
        {**INSTALLS, "helm": {**INSTALLS["helm"], "enabled": False}},
    ),
    "helm.namespaces": Row(["a", "b"], env("helm", "ASYA_HELM_NAMESPACES", "a,b"), INSTALLS),
    "helm.repositories": Row(
        [{"name": "x", "url": "oci://r.example/x", "charts": ["redis"]}],
        env("helm", "ASYA_HELM_REPOSITORIES", '[{"charts":["redis"],"name":"x","url":"oci://r.example/x"}]'),
        INSTALLS,
    ),
    "helm.kinds": Row(["batch/*"], env("helm", "ASYA_HELM_KINDS", "batch/*"), INSTALLS),
    "helm.role.resources": Row(
        [{"name": "services", "apiGroup": ""}],
        lambda r: r.one("Role", HELM)["rules"][0]["resources"] == ["services"],
        INSTALLS,
    ),
    "helm.role.verbs": Row(
        ["get"],
        lambda r: r.one("Role", HELM)["rules"][0]["verbs"] == ["get"],
        merged(INSTALLS, {"helm": {"role": {"resources": [{"name": "services", "apiGroup": ""}]}}}),
    ),
    "helm.timeout": Row("1m", env("helm", "ASYA_HELM_TIMEOUT", "1m"), INSTALLS),
    "helm.image.repository": Row("x/h", lambda r: container(r, "helm")["image"] == "x/h:latest", INSTALLS),
    "helm.image.tag": Row("dev", lambda r: container(r, "helm")["image"] == "asya-crew-helm:dev", INSTALLS),
    "helm.image.digest": Row(DIGEST, lambda r: container(r, "helm")["image"] == f"asya-crew-helm@{DIGEST}", INSTALLS),
    "helm.resources": Row(
        {"limits": {"memory": "1Gi"}},
        lambda r: container(r, "helm")["resources"]["limits"]["memory"] == "1Gi",
        INSTALLS,
    ),
    "http-get.enabled": Row(True, lambda r: r.has("AsyncActor", "http-get"), {"http-get": {"allow": ["a.example"]}}),
    "http-get.allow": Row(
        ["a.example", "b.example"], env("http-get", "ASYA_HTTP_ALLOW", "a.example,b.example"), FETCHES
    ),
    "approval.enabled": Row(False, lambda r: not r.has("AsyncActor", "approval")),
    "approval.timeout": Row("2h", env("approval", "ASYA_APPROVAL_TIMEOUT", "2h")),
    "approval.fourEyes": Row(True, env("approval", "ASYA_APPROVAL_FOUR_EYES", "true")),
    "rbac.create": Row(False, lambda r: not r.has("ClusterRole")),
    "rbac.role.resources": Row(
        [{"name": "statefulsets", "apiGroup": "apps"}],
        lambda r: write_rules(r, "Role")
        == [{"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get", "patch"]}],
        WRITES,
    ),
    "rbac.role.verbs": Row(
        ["get", "patch", "create"], lambda r: "create" in write_rules(r, "Role")[0]["verbs"], WRITES
    ),
    "rbac.clusterRole.resources": Row(
        [{"name": "nodes", "apiGroup": ""}],
        lambda r: any(rule["resources"] == ["nodes"] for rule in write_rules(r, "ClusterRole")),
        WRITES,
    ),
    "rbac.clusterRole.verbs": Row(
        ["get"],
        lambda r: [rule["verbs"] for rule in write_rules(r, "ClusterRole") if rule["resources"] == ["nodes"]]
        == [["get"]],
        {**WRITES, "rbac": {"clusterRole": {"resources": [{"name": "nodes", "apiGroup": ""}]}}},
    ),
    "env.OPENAI_API_KEY_NAME": Row("key", agent("apiKey.secretRef.name", "key"), AGENT),
    "env.OPENAI_API_KEY": Row("sk-abc", lambda r: r.one("Secret")["stringData"]["api-key"] == "sk-abc"),
    "agent.enabled": Row(True, lambda r: r.has("Agent")),
    "agent.name": Row("helper", lambda r: r.has("Agent", "helper"), AGENT),
    "agent.spec": Row({"prompt": "p"}, agent("prompt", "p"), AGENT),
    "networkPolicy.enabled": Row(True, lambda r: r.has("NetworkPolicy", "k8s-read")),
    "networkPolicy.ports": Row(
        [9999],
        lambda r: r.one("NetworkPolicy", "k8s-read")["spec"]["egress"][1]["ports"]
        == [{"protocol": "TCP", "port": 9999}],
        POLICY,
    ),
    "networkPolicy.egress": Row(
        [EGRESS], lambda r: EGRESS in r.one("NetworkPolicy", "k8s-read")["spec"]["egress"], POLICY
    ),
}
