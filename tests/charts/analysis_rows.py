"""What each value of asya-analysis does: path of the key -> a value, and what must then be so."""

from __future__ import annotations

from operator_rows import DIGEST, Row, arg, env, labels, template
from rendering import Object, Rendered

NAME = "asya-operator-asya-analysis"
CLUSTER = f"asya-system-{NAME}"
MONITOR: Object = {"serviceMonitor": {"enabled": True}}
RULE: Object = {"prometheusRule": {"enabled": True}}
BOARDS: Object = {"dashboards": {"enabled": True}}
POLICY: Object = {"networkPolicy": {"enabled": True}}
REMEDY: Object = {"remediation": {"enabled": True}}
EXTRA = {"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["list", "watch"]}


def account(r: Rendered) -> str:
    return r.one("ClusterRoleBinding", CLUSTER)["subjects"][0]["name"]


def own_rules(r: Rendered) -> list[Object]:
    return r.one("ClusterRole", CLUSTER)["rules"]


def watch_rules(r: Rendered, name: str = "asya-analysis-watch") -> list[Object]:
    return r.one("ClusterRole", name)["rules"]


def binds(r: Rendered) -> list[str]:
    return [name for rule in own_rules(r) if rule["verbs"] == ["bind"] for name in rule["resourceNames"]]


def egress(r: Rendered) -> list[Object]:
    return r.one("NetworkPolicy")["spec"]["egress"]


def check(r: Rendered) -> Object:
    return r.one("Pod", f"{NAME}-test-crds")["spec"]["containers"][0]


def monitor(r: Rendered) -> Object:
    return r.one("ServiceMonitor")


def board(r: Rendered) -> Object:
    return r.one("ConfigMap")["metadata"]


ROWS: dict[str, Row] = {
    "global.imageRegistry": Row(
        "r.example.com/t",
        lambda r: (
            r.container()["image"] == "r.example.com/t/asya-operator:latest"
            and r.env("ASYA_ANALYSIS_IMAGE") == "r.example.com/t/asya-crew:latest"
        ),
    ),
    "global.imagePullSecrets": Row(["pull"], lambda r: r.pod()["imagePullSecrets"] == [{"name": "pull"}]),
    "replicaCount": Row(3, lambda r: r.deployment()["spec"]["replicas"] == 3 and r.has("PodDisruptionBudget")),
    "image.repository": Row("x/op", lambda r: r.container()["image"] == "x/op:latest"),
    "image.tag": Row("dev", lambda r: r.container()["image"] == "asya-operator:dev"),
    "image.digest": Row(DIGEST, lambda r: r.container()["image"] == f"asya-operator@{DIGEST}"),
    "image.pullPolicy": Row("Never", lambda r: r.container()["imagePullPolicy"] == "Never"),
    "imagePullSecrets": Row([{"name": "pull"}], lambda r: r.pod()["imagePullSecrets"] == [{"name": "pull"}]),
    "nameOverride": Row("an", lambda r: labels(r)["app.kubernetes.io/name"] == "an"),
    "fullnameOverride": Row("other", lambda r: r.deployment()["metadata"]["name"] == "other"),
    "actors.image": Row("x/crew:1", env("ASYA_ANALYSIS_IMAGE", "x/crew:1")),
    "actors.imagePullPolicy": Row("Never", env("ASYA_ANALYSIS_IMAGE_PULL_POLICY", "Never")),
    "actors.transport": Row("sqs", env("ASYA_ANALYSIS_TRANSPORT", "sqs")),
    "database.existingSecret": Row("pg", env("ASYA_ANALYSIS_DATABASE_SECRET", "pg")),
    "database.key": Row("address", env("ASYA_ANALYSIS_DATABASE_KEY", "address")),
    "analysis.watchRole": Row(
        "watchers",
        lambda r: (
            bool(watch_rules(r, "watchers"))
            and binds(r) == ["watchers"]
            and r.env("ASYA_ANALYSIS_WATCH_ROLE") == "watchers"
        ),
    ),
    "analysis.secrets": Row(
        "metadata",
        lambda r: {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]} in watch_rules(r),
    ),
    "analysis.extraRules": Row([EXTRA], lambda r: EXTRA in watch_rules(r)),
    "remediation.enabled": Row(
        True,
        lambda r: (
            r.has("ValidatingAdmissionPolicy", "asya-remedy-approval")
            and r.has("ClusterRole", "asya-analysis-approver")
            and binds(r) == ["asya-analysis-watch", "asya-analysis-remedy", "asya-analysis-remedy-policy"]
            and r.env("ASYA_ANALYSIS_REMEDIATION") == "true"
        ),
    ),
    "remediation.kinds": Row(
        ["StatefulSet", "Pod"],
        lambda r: (
            r.one("ClusterRole", "asya-analysis-remedy")["rules"]
            == [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]},
                {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get", "patch"]},
            ]
        ),
        REMEDY,
    ),
    "serviceAccount.create": Row(False, lambda r: not r.has("ServiceAccount", NAME) and account(r) == "default"),
    "serviceAccount.annotations": Row(
        {"a": "b"}, lambda r: r.one("ServiceAccount", NAME)["metadata"].get("annotations") == {"a": "b"}
    ),
    "serviceAccount.name": Row(
        "sa", lambda r: r.pod()["serviceAccountName"] == "sa" and r.has("ServiceAccount", "sa") and account(r) == "sa"
    ),
    "rbac.create": Row(False, lambda r: not r.kind("ClusterRole") and not r.kind("Role")),
    "rbac.extraRules": Row([EXTRA], lambda r: EXTRA in own_rules(r)),
    "commonLabels": Row({"team": "a"}, lambda r: all(it["metadata"].get("labels", {}).get("team") == "a" for it in r)),
    "podLabels": Row({"team": "a"}, lambda r: template(r)["labels"].get("team") == "a"),
    "podAnnotations": Row({"note": "a"}, lambda r: template(r)["annotations"].get("note") == "a"),
    "podSecurityContext": Row({"fsGroup": 7}, lambda r: r.pod()["securityContext"]["fsGroup"] == 7),
    "securityContext": Row({"runAsUser": 7}, lambda r: r.container()["securityContext"].get("runAsUser") == 7),
    "resources": Row({"limits": {"cpu": "1"}}, lambda r: r.container()["resources"]["limits"]["cpu"] == "1"),
    "nodeSelector": Row({"a": "b"}, lambda r: r.pod().get("nodeSelector") == {"a": "b"}),
    "tolerations": Row([{"key": "a"}], lambda r: r.pod().get("tolerations") == [{"key": "a"}]),
    "affinity": Row({"nodeAffinity": {}}, lambda r: "nodeAffinity" in r.pod()["affinity"]),
    "topologySpreadConstraints": Row(
        [{"maxSkew": 2, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}],
        lambda r: r.pod()["topologySpreadConstraints"][0]["maxSkew"] == 2,
    ),
    "priorityClassName": Row("high", lambda r: r.pod().get("priorityClassName") == "high"),
    "terminationGracePeriodSeconds": Row(77, lambda r: r.pod()["terminationGracePeriodSeconds"] == 77),
    "podDisruptionBudget.enabled": Row(True, lambda r: r.has("PodDisruptionBudget")),
    "podDisruptionBudget.maxUnavailable": Row(
        2, lambda r: r.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 2, {"replicaCount": 3}
    ),
    "extraEnv": Row([{"name": "A", "value": "b"}], env("A", "b")),
    "logLevel": Row("debug", env("ASYA_LOG_LEVEL", "debug")),
    "logFormat": Row("text", env("ASYA_LOG_FORMAT", "text")),
    "leaderElection.enabled": Row(False, lambda r: "--leader-elect" not in r.args()),
    "metrics.enabled": Row(
        False, lambda r: arg("--metrics-bind-address=0")(r) and not r.has("Service", f"{NAME}-metrics")
    ),
    "metrics.port": Row(
        9090,
        lambda r: (
            arg("--metrics-bind-address=:9090")(r)
            and r.one("Service", f"{NAME}-metrics")["spec"]["ports"][0]["port"] == 9090
            and {"name": "metrics", "containerPort": 9090} in r.container()["ports"]
        ),
    ),
    "health.port": Row(
        9091,
        lambda r: (
            arg("--health-probe-bind-address=:9091")(r)
            and {"name": "health", "containerPort": 9091} in r.container()["ports"]
        ),
    ),
    "watchNamespaces": Row(
        ["a", "b"],
        lambda r: (
            r.env("ASYA_WATCH_NAMESPACES") == "a,b"
            and [it["metadata"]["namespace"] for it in r.kind("Role") if it["metadata"]["name"] == CLUSTER]
            == ["a", "b"]
            and not any("secrets" in rule["resources"] for rule in own_rules(r))
        ),
    ),
    "crds.install": Row(
        "template",
        lambda r: r.has("CustomResourceDefinition", "results.core.k8sgpt.ai") and not r.has("Job", f"{NAME}-crds"),
    ),
    "crds.keep": Row(
        False,
        lambda r: not any(
            it["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
            for it in r.kind("CustomResourceDefinition")
        ),
        {"crds": {"install": "template"}},
    ),
    "crdsOnly": Row(True, lambda r: [it["kind"] for it in r] == ["CustomResourceDefinition"] * 3),
    "hooks.finalizers": Row(False, lambda r: not r.has("Job", f"{NAME}-finalizers")),
    "hooks.serviceAccountName": Row(
        "mine",
        lambda r: r.one("Job", f"{NAME}-crds")["spec"]["template"]["spec"]["serviceAccountName"] == "mine",
        {"rbac": {"create": False}},
    ),
    "serviceMonitor.enabled": Row(True, lambda r: r.has("ServiceMonitor")),
    "serviceMonitor.interval": Row("5s", lambda r: monitor(r)["spec"]["endpoints"][0]["interval"] == "5s", MONITOR),
    "serviceMonitor.labels": Row({"a": "b"}, lambda r: monitor(r)["metadata"]["labels"]["a"] == "b", MONITOR),
    "serviceMonitor.namespace": Row(
        "m",
        lambda r: (
            monitor(r)["metadata"]["namespace"] == "m"
            and monitor(r)["spec"]["namespaceSelector"] == {"matchNames": ["asya-system"]}
        ),
        MONITOR,
    ),
    "serviceMonitor.additionalLabels": Row({"a": "b"}, lambda r: monitor(r)["metadata"]["labels"]["a"] == "b", MONITOR),
    "prometheusRule.enabled": Row(True, lambda r: r.has("PrometheusRule")),
    "prometheusRule.labels": Row({"a": "b"}, lambda r: r.one("PrometheusRule")["metadata"]["labels"]["a"] == "b", RULE),
    "dashboards.enabled": Row(True, lambda r: list(r.one("ConfigMap")["data"]) == ["asya-analysis.json"]),
    "dashboards.labels": Row({"a": "b"}, lambda r: board(r)["labels"].get("a") == "b", BOARDS),
    "dashboards.annotations": Row({"a": "b"}, lambda r: board(r)["annotations"] == {"a": "b"}, BOARDS),
    "dashboards.namespace": Row("m", lambda r: board(r)["namespace"] == "m", BOARDS),
    "networkPolicy.enabled": Row(
        True, lambda r: {port["port"] for rule in egress(r) for port in rule["ports"]} == {53, 443, 6443}
    ),
    "networkPolicy.metricsFrom": Row(
        [{"podSelector": {}}],
        lambda r: r.one("NetworkPolicy")["spec"]["ingress"][0]["from"] == [{"podSelector": {}}],
        POLICY,
    ),
    "networkPolicy.egress": Row([{"ports": [{"port": 7}]}], lambda r: {"ports": [{"port": 7}]} in egress(r), POLICY),
    "tests.image": Row("k:1", lambda r: check(r)["image"] == "k:1"),
    "tests.imagePullPolicy": Row("Never", lambda r: check(r)["imagePullPolicy"] == "Never"),
    # The original's, of which test_k8sgpt_values.py has every key.
    "controllerManager": Row({"replicas": 4}, lambda r: r.deployment()["spec"]["replicas"] == 4),
    "grafanaDashboard": Row({"enabled": True}, lambda r: r.has("ConfigMap")),
}
