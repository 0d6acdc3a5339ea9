"""What each value of asya-operator does: path of the key -> a value, and what must then be so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rendering import Object, Rendered

Check = Callable[[Rendered], bool]


@dataclass(frozen=True)
class Row:
    """`value` is given to the key, `given` are values that it needs besides: then `check` holds, and without it not."""

    value: Any
    check: Check
    given: Object = field(default_factory=dict)


def env(name: str, wanted: str) -> Check:
    return lambda r: r.env(name) == wanted


def config(transport: str, key: str, wanted: Any) -> Check:
    def check(r: Rendered) -> bool:
        value = r.transport(transport)["config"]
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value == wanted

    return check


def arg(wanted: str) -> Check:
    return lambda r: wanted in r.args()


def labels(r: Rendered) -> Object:
    return r.deployment()["metadata"]["labels"]


def template(r: Rendered) -> Object:
    return r.deployment()["spec"]["template"]["metadata"]


def mounted(r: Rendered, secret: str) -> bool:
    """Whether the Secret is mounted where the operator looks for the transport's credentials."""
    for volume in r.pod().get("volumes", []):
        names = [it["secret"]["name"] for it in volume.get("projected", {}).get("sources", [])]
        if secret in names:
            transport = volume["name"].removeprefix("transport-")
            where = {it["name"]: it["mountPath"] for it in r.container()["volumeMounts"]}
            return where[volume["name"]] == f"/etc/asya/transports/{transport}"
    return False


def operator_rules(r: Rendered) -> list[Object]:
    return r.one("ClusterRole", "asya-system-asya-operator")["rules"]


def writes_accounts(r: Rendered) -> list[list[str]]:
    """What the operator may do to ServiceAccounts besides looking at them."""
    return [it["verbs"] for it in operator_rules(r) if it["resources"] == ["serviceaccounts"]]


def subject(r: Rendered) -> str:
    return r.one("ClusterRoleBinding", "asya-system-asya-operator")["subjects"][0]["name"]


def test_pod(r: Rendered) -> Object:
    return r.one("Pod", "asya-operator-test-crd")["spec"]["containers"][0]


def egress_ports(r: Rendered) -> list[int]:
    rules = r.one("NetworkPolicy", "asya-operator")["spec"]["egress"]
    return [port["port"] for rule in rules for port in rule.get("ports", [])]


def scaler_source(r: Rendered) -> str:
    rule = r.one("NetworkPolicy", "asya-operator-scaler")["spec"]["ingress"][0]
    return rule["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]


DIGEST = "sha256:" + "a" * 64
PUSH = {"scaler": {"push": {"enabled": True}}}
CERT_MANAGER = {"scaler": {"push": {"enabled": True, "tls": {"source": "cert-manager", "issuerRef": {"name": "ca"}}}}}
OWN_SECRETS = {
    "scaler": {"push": {"enabled": True, "tls": {"source": "secret", "serverSecret": "s", "clientSecret": "c"}}}
}
GITHUB = {"runtime": {"source": "github", "github": {"version": "v1.0.0", "sha256": "b" * 64}}}
SQS = {"transports": {"sqs": {"enabled": True}}}
MONITOR = {"serviceMonitor": {"enabled": True}}
PODS = {"podMonitor": {"enabled": True}}
RULE = {"prometheusRule": {"enabled": True}}
BOARDS = {"dashboards": {"enabled": True}}
AGENTS = {"agents": {"enabled": True}}
POLICY = {"networkPolicy": {"enabled": True}}

ROWS: dict[str, Row] = {
    "global.imageRegistry": Row(
        "r.example.com/t",
        lambda r: (
            r.container()["image"] == "r.example.com/t/asya-operator:latest"
            and r.env("ASYA_SIDECAR_IMAGE") == "r.example.com/t/asya-sidecar:latest"
        ),
    ),
    "global.imagePullSecrets": Row(
        ["pull"],
        lambda r: (
            r.pod().get("imagePullSecrets") == [{"name": "pull"}] and r.env("ASYA_SIDECAR_IMAGE_PULL_SECRETS") == "pull"
        ),
    ),
    "replicaCount": Row(
        3,
        lambda r: (
            r.deployment()["spec"]["replicas"] == 3
            and r.has("PodDisruptionBudget")
            and r.has("Service", "asya-operator-scaler")
        ),
    ),
    "image.repository": Row("x/op", lambda r: r.container()["image"] == "x/op:latest"),
    "image.tag": Row("dev", lambda r: r.container()["image"] == "asya-operator:dev"),
    "image.digest": Row(DIGEST, lambda r: r.container()["image"] == f"asya-operator@{DIGEST}"),
    "image.pullPolicy": Row("Never", lambda r: r.container()["imagePullPolicy"] == "Never"),
    "imagePullSecrets": Row([{"name": "pull"}], lambda r: r.pod().get("imagePullSecrets") == [{"name": "pull"}]),
    "nameOverride": Row("op", lambda r: labels(r)["app.kubernetes.io/name"] == "op"),
    "fullnameOverride": Row("other", lambda r: r.deployment()["metadata"]["name"] == "other"),
    "serviceAccount.create": Row(
        False, lambda r: not r.has("ServiceAccount", "asya-operator") and subject(r) == "default"
    ),
    "serviceAccount.annotations": Row(
        {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/asya-operator"},
        lambda r: r.one("ServiceAccount", "asya-operator")["metadata"].get("annotations")
        == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/asya-operator"},
    ),
    "serviceAccount.name": Row(
        "sa", lambda r: r.pod()["serviceAccountName"] == "sa" and r.has("ServiceAccount", "sa") and subject(r) == "sa"
    ),
    "rbac.create": Row(False, lambda r: not r.kind("ClusterRole") and not r.kind("Role")),
    "rbac.extraRules": Row(
        [{"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["patch"]}],
        lambda r: any(it["apiGroups"] == ["argoproj.io"] for it in operator_rules(r)),
    ),
    "commonLabels": Row({"team": "a"}, lambda r: all(it["metadata"].get("labels", {}).get("team") == "a" for it in r)),
    "podLabels": Row({"team": "a"}, lambda r: template(r)["labels"].get("team") == "a"),
    "podAnnotations": Row({"note": "a"}, lambda r: template(r)["annotations"].get("note") == "a"),
    "podSecurityContext": Row(
        {"fsGroup": 7},
        lambda r: r.pod()["securityContext"]["fsGroup"] == 7,
    ),
    "securityContext": Row({"runAsUser": 7}, lambda r: r.container()["securityContext"].get("runAsUser") == 7),
    "resources": Row({"limits": {"cpu": "1"}}, lambda r: r.container()["resources"]["limits"]["cpu"] == "1"),
    "nodeSelector": Row({"a": "b"}, lambda r: r.pod().get("nodeSelector") == {"a": "b"}),
    "tolerations": Row([{"operator": "Exists"}], lambda r: r.pod().get("tolerations") == [{"operator": "Exists"}]),
    "affinity": Row({"nodeAffinity": {}}, lambda r: "nodeAffinity" in r.pod()["affinity"]),
    "topologySpreadConstraints": Row(
        [{"maxSkew": 2, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}],
        lambda r: r.pod()["topologySpreadConstraints"][0]["maxSkew"] == 2,
    ),
    "priorityClassName": Row("p", lambda r: r.pod().get("priorityClassName") == "p"),
    "terminationGracePeriodSeconds": Row(33, lambda r: r.pod()["terminationGracePeriodSeconds"] == 33),
    "podDisruptionBudget.enabled": Row(True, lambda r: r.has("PodDisruptionBudget")),
    "podDisruptionBudget.maxUnavailable": Row(
        "50%", lambda r: r.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == "50%", {"replicaCount": 2}
    ),
    "extraEnv": Row([{"name": "A", "value": "b"}], env("A", "b")),
    "volumes": Row(
        [{"name": "v", "emptyDir": {}}], lambda r: {"name": "v", "emptyDir": {}} in r.pod().get("volumes", [])
    ),
    "volumeMounts": Row(
        [{"name": "v", "mountPath": "/v"}],
        lambda r: {"name": "v", "mountPath": "/v"} in r.container().get("volumeMounts", []),
        {"volumes": [{"name": "v", "emptyDir": {}}]},
    ),
    "logLevel": Row("debug", env("ASYA_LOG_LEVEL", "debug")),
    "logFormat": Row("text", env("ASYA_LOG_FORMAT", "text")),
    "leaderElection.enabled": Row(False, lambda r: "--leader-elect" not in r.args()),
    "controller.maxConcurrentReconciles": Row(7, env("ASYA_MAX_CONCURRENT_RECONCILES", "7")),
    "controller.queueHealthCheckInterval": Row("0", env("ASYA_QUEUE_HEALTH_CHECK_INTERVAL", "0")),
    "controller.disableQueueManagement": Row(True, env("ASYA_DISABLE_QUEUE_MANAGEMENT", "true")),
    "controller.resyncInterval": Row("1h", env("ASYA_RESYNC_INTERVAL", "1h")),
    "metrics.enabled": Row(
        False, lambda r: arg("--metrics-bind-address=0")(r) and not r.has("Service", "asya-operator-metrics")
    ),
    "metrics.port": Row(
        9090,
        lambda r: arg("--metrics-bind-address=:9090")(r)
        and r.one("Service", "asya-operator-metrics")["spec"]["ports"][0]["port"] == 9090
        and {"name": "metrics", "containerPort": 9090} in r.container()["ports"],
    ),
    "health.port": Row(
        9091,
        lambda r: arg("--health-probe-bind-address=:9091")(r)
        and {"name": "health", "containerPort": 9091} in r.container()["ports"],
    ),
    "watchNamespaces": Row(
        ["a", "b"],
        lambda r: r.env("ASYA_WATCH_NAMESPACES") == "a,b"
        and {
            it["metadata"]["namespace"]
            for it in r.kind("Role")
            if it["metadata"]["name"] == "asya-system-asya-operator"
        }
        == {"a", "b"}
        and not any("deployments" in it["resources"] for it in operator_rules(r)),
    ),
    "queues.template": Row("asya-{actor}", env("ASYA_QUEUE_TEMPLATE", "asya-{actor}")),
    "gatewayURL": Row("http://g:8080", env("ASYA_GATEWAY_URL", "http://g:8080")),
    "sidecar.image": Row("r.io/s@" + DIGEST, env("ASYA_SIDECAR_IMAGE", "r.io/s@" + DIGEST)),
    "sidecar.imagePullPolicy": Row("Always", env("ASYA_SIDECAR_IMAGE_PULL_POLICY", "Always")),
    "sidecar.imagePullSecrets": Row(["a", {"name": "b"}], env("ASYA_SIDECAR_IMAGE_PULL_SECRETS", "a,b")),
    "sidecar.native": Row(False, env("ASYA_NATIVE_SIDECAR", "false")),
    "sidecar.defaultResources": Row(
        {"limits": {"memory": "1Gi"}},
        lambda r: '"memory":"1Gi"' in r.env("ASYA_SIDECAR_RESOURCES"),
    ),
    "agents.enabled": Row(
        True,
        lambda r: (
            r.env("ASYA_AGENTS") == "true"
            and ["create", "delete"] in [it["verbs"] for it in operator_rules(r) if it["resources"] == ["asyncactors"]]
            and writes_accounts(r) == [["create", "patch"]]
        ),
    ),
    "agents.image": Row("r.io/crew:1", env("ASYA_AGENT_IMAGE", "r.io/crew:1"), AGENTS),
    "agents.imagePullPolicy": Row("Always", env("ASYA_AGENT_IMAGE_PULL_POLICY", "Always"), AGENTS),
    "agents.secrets": Row(
        ["openai"],
        lambda r: (
            [it for it in operator_rules(r) if "secrets" in it["resources"]]
            == [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["openai"], "verbs": ["get"]}]
        ),
        AGENTS,
    ),
    "sidecar.env": Row(
        [{"name": "ASYA_PAYLOAD_STORE", "value": "s3://b/p"}],
        env("ASYA_SIDECAR_ENV", '[{"name":"ASYA_PAYLOAD_STORE","value":"s3://b/p"}]'),
    ),
    "rollout.policy": Row("Rolling", env("ASYA_ROLLOUT_POLICY", "Rolling")),
    "rollout.maxConcurrent": Row(2, env("ASYA_ROLLOUT_MAX_CONCURRENT", "2")),
    "deletion.timeout": Row("1m", env("ASYA_DELETION_TIMEOUT", "1m")),
    "transports.rabbitmq.enabled": Row(False, lambda r: r.transport("rabbitmq")["enabled"] is False),
    "transports.rabbitmq.type": Row(
        "rabbitmq",
        lambda r: "big" in r.env("ASYA_TRANSPORT_CONFIG") and r.transport("big")["type"] == "rabbitmq",
        {"transports": {"big": {"enabled": True, "type": "rabbitmq", "config": {"host": "b"}}}},
    ),
    "transports.rabbitmq.projectTo": Row(
        ["team-a"],
        lambda r: config("rabbitmq", "projectTo", ["team-a"])(r)
        and r.has("ValidatingAdmissionPolicyBinding")
        and [
            it["metadata"]["namespace"]
            for it in r.kind("Role")
            if any("secrets" in x["resources"] for x in it["rules"])
        ]
        == ["team-a"],
    ),
    "transports.sqs.enabled": Row(True, lambda r: r.transport("sqs")["enabled"] is True),
    "transports.sqs.type": Row(
        "sqs",
        lambda r: "big" in r.env("ASYA_TRANSPORT_CONFIG") and r.transport("big")["type"] == "sqs",
        {"transports": {"big": {"enabled": True, "type": "sqs", "config": {"region": "r"}}}},
    ),
    "transports.sqs.projectTo": Row(
        ["team-a"], lambda r: config("sqs", "projectTo", ["team-a"])(r) and r.has("ValidatingAdmissionPolicy"), SQS
    ),
    "transports.sqs.config.actorRoleArn": Row(
        "arn:aws:iam::1:role/asya-actor",
        lambda r: config("sqs", "actorRoleArn", "arn:aws:iam::1:role/asya-actor")(r)
        and writes_accounts(r) == [["create", "update", "patch", "delete"]],
        SQS,
    ),
    "transports.sqs.config.accountId": Row(123456789012, config("sqs", "accountId", "123456789012")),
    "runtime.source": Row(
        "github",
        env("ASYA_RUNTIME_SOURCE", "github"),
        {"runtime": {"github": {"version": "v1", "sha256": "b" * 64}}},
    ),
    "runtime.local.path": Row(
        "/etc/asya-runtime/asya_runtime.py",
        lambda r: r.env("ASYA_RUNTIME_SCRIPT_PATH") == "/etc/asya-runtime/asya_runtime.py"
        and {"name": "runtime", "mountPath": "/etc/asya-runtime/asya_runtime.py", "readOnly": True}
        in r.container().get("volumeMounts", []),
    ),
    "runtime.github.repo": Row("me/mine", env("ASYA_RUNTIME_GITHUB_REPO", "me/mine"), GITHUB),
    "runtime.github.version": Row("v2.0.0", env("ASYA_RUNTIME_GITHUB_VERSION", "v2.0.0"), GITHUB),
    "runtime.github.sha256": Row("c" * 64, env("ASYA_RUNTIME_GITHUB_SHA256", "c" * 64), GITHUB),
    "runtime.namespace": Row("asya-e2e", env("ASYA_RUNTIME_NAMESPACE", "asya-e2e")),
    "scaler.push.enabled": Row(
        True,
        lambda r: arg("--scaler-bind-address=:8082")(r)
        and r.env("ASYA_SCALER_ADDRESS") == "asya-operator-scaler.asya-system.svc:8082"
        and r.one("Service", "asya-operator-scaler")["spec"]["clusterIP"] == "None"
        and r.has("ClusterTriggerAuthentication", r.env("ASYA_SCALER_AUTHENTICATION"))
        and r.has("Secret", "asya-operator-scaler-tls"),
    ),
    "scaler.push.port": Row(
        9000,
        lambda r: arg("--scaler-bind-address=:9000")(r)
        and r.env("ASYA_SCALER_ADDRESS").endswith(":9000")
        and r.one("Service", "asya-operator-scaler")["spec"]["ports"][0]["port"] == 9000,
        PUSH,
    ),
    "scaler.push.default": Row(False, env("ASYA_SCALER_DEFAULT", "false"), PUSH),
    "scaler.push.kedaNamespace": Row(
        "k",
        lambda r: scaler_source(r) == "k"
        and r.one("Secret", "asya-operator-scaler-client")["metadata"]["namespace"] == "k",
        PUSH,
    ),
    "scaler.push.tls.source": Row(
        "secret",
        lambda r: not r.kind("Secret"),
        {"scaler": {"push": {"enabled": True, "tls": {"serverSecret": "s", "clientSecret": "c"}}}},
    ),
    "scaler.push.tls.issuerRef.group": Row(
        "g", lambda r: all(it["spec"]["issuerRef"]["group"] == "g" for it in r.kind("Certificate")), CERT_MANAGER
    ),
    "scaler.push.tls.issuerRef.kind": Row(
        "Issuer",
        lambda r: all(it["spec"]["issuerRef"]["kind"] == "Issuer" for it in r.kind("Certificate")),
        CERT_MANAGER,
    ),
    "scaler.push.tls.issuerRef.name": Row(
        "other", lambda r: {it["spec"]["issuerRef"]["name"] for it in r.kind("Certificate")} == {"other"}, CERT_MANAGER
    ),
    "scaler.push.tls.serverSecret": Row(
        "mine", lambda r: {"name": "scaler-tls", "secret": {"secretName": "mine"}} in r.pod()["volumes"], OWN_SECRETS
    ),
    "scaler.push.tls.clientSecret": Row(
        "mine",
        lambda r: {it["name"] for it in r.one("ClusterTriggerAuthentication")["spec"]["secretTargetRef"]} == {"mine"},
        OWN_SECRETS,
    ),
    "crds.install": Row(
        "template",
        lambda r: r.has("CustomResourceDefinition", "asyncactors.asya.sh") and not r.has("Job", "asya-operator-crds"),
    ),
    "crds.keep": Row(
        False,
        lambda r: "helm.sh/resource-policy"
        not in (r.one("CustomResourceDefinition", "agents.asya.sh")["metadata"].get("annotations") or {}),
        {"crds": {"install": "template"}},
    ),
    "crdsOnly": Row(True, lambda r: [it["kind"] for it in r] == ["CustomResourceDefinition"] * 2),
    "hooks.finalizers": Row(False, lambda r: not r.has("Job", "asya-operator-finalizers")),
    "hooks.serviceAccountName": Row(
        "mine",
        lambda r: r.one("Job", "asya-operator-crds")["spec"]["template"]["spec"]["serviceAccountName"] == "mine",
        {"rbac": {"create": False}},
    ),
    "serviceMonitor.enabled": Row(True, lambda r: r.has("ServiceMonitor")),
    "serviceMonitor.interval": Row(
        "5s", lambda r: r.one("ServiceMonitor")["spec"]["endpoints"][0]["interval"] == "5s", MONITOR
    ),
    "serviceMonitor.labels": Row(
        {"release": "p"}, lambda r: r.one("ServiceMonitor")["metadata"]["labels"].get("release") == "p", MONITOR
    ),
    "podMonitor.enabled": Row(
        True, lambda r: r.one("PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "asya-metrics"
    ),
    "podMonitor.interval": Row(
        "5s", lambda r: r.one("PodMonitor")["spec"]["podMetricsEndpoints"][0]["interval"] == "5s", PODS
    ),
    "podMonitor.labels": Row(
        {"release": "p"}, lambda r: r.one("PodMonitor")["metadata"]["labels"].get("release") == "p", PODS
    ),
    "prometheusRule.enabled": Row(True, lambda r: r.has("PrometheusRule")),
    "prometheusRule.labels": Row(
        {"release": "p"}, lambda r: r.one("PrometheusRule")["metadata"]["labels"].get("release") == "p", RULE
    ),
    "dashboards.enabled": Row(True, lambda r: len(r.one("ConfigMap")["data"]) == 2),
    "dashboards.labels": Row(
        {"grafana_dashboard": "yes"},
        lambda r: r.one("ConfigMap")["metadata"]["labels"]["grafana_dashboard"] == "yes",
        BOARDS,
    ),
    "dashboards.annotations": Row(
        {"folder": "Asya"}, lambda r: r.one("ConfigMap")["metadata"].get("annotations") == {"folder": "Asya"}, BOARDS
    ),
    "dashboards.namespace": Row("m", lambda r: r.one("ConfigMap")["metadata"]["namespace"] == "m", BOARDS),
    "networkPolicy.enabled": Row(
        True, lambda r: {53, 443, 6443, 5672} <= set(egress_ports(r)) if r.has("NetworkPolicy") else False
    ),
    "networkPolicy.metricsFrom": Row(
        [{"podSelector": {}}],
        lambda r: r.one("NetworkPolicy", "asya-operator")["spec"]["ingress"][0].get("from") == [{"podSelector": {}}],
        POLICY,
    ),
    "networkPolicy.egress": Row(
        [{"ports": [{"protocol": "TCP", "port": 7777}]}], lambda r: 7777 in egress_ports(r), POLICY
    ),
    "tests.image": Row("k:1", lambda r: test_pod(r)["image"] == "k:1"),
    "tests.imagePullPolicy": Row("Never", lambda r: test_pod(r)["imagePullPolicy"] == "Never"),
    "operator": Row(
        {"gatewayURL": "http://old", "transports": {"rabbitmq": {"config": {"host": "old"}}}},
        lambda r: config("rabbitmq", "host", "old")(r) and r.env("ASYA_GATEWAY_URL") == "http://old",
    ),
}

# What goes into the transports' configuration as it is.
for _transport, _settings in {
    "rabbitmq": {
        "host": "h",
        "port": 5671,
        "vhost": "/v",
        "tls": True,
        "username": "u",
        "exchange": "e",
        "managementURL": "http://m:15672",
        "perNamespaceUsers": True,
        "queues.autoCreate": False,
        "queues.forceRecreate": True,
        "queues.dlq.enabled": False,
        "queues.dlq.maxRetryCount": 9,
        "queues.dlq.retentionDays": 3,
    },
    "sqs": {
        "region": "eu-west-1",
        "endpoint": "http://localstack:4566",
        "visibilityTimeout": 60,
        "waitTimeSeconds": 5,
        "queues.autoCreate": False,
        "queues.forceRecreate": True,
        "queues.dlq.enabled": False,
        "queues.dlq.maxRetryCount": 9,
        "queues.dlq.retentionDays": 3,
        "tags": {"team": "ml"},
    },
}.items():
    for _key, _value in _settings.items():
        ROWS[f"transports.{_transport}.config.{_key}"] = Row(_value, config(_transport, _key, _value))

# Secrets: named in the configuration, mounted, and optional.
for _path, _default in {
    "rabbitmq.config.passwordSecretRef": "password",
    "rabbitmq.config.managementPasswordSecretRef": "management-password",
    "sqs.config.credentials.accessKeyIdSecretRef": "AWS_ACCESS_KEY_ID",
    "sqs.config.credentials.secretAccessKeySecretRef": "AWS_SECRET_ACCESS_KEY",
}.items():
    _transport, _key = _path.split(".config.")
    _on = {"transports": {_transport: {"enabled": True}}}

    def _named(r: Rendered, transport: str = _transport, key: str = _key, default: str = _default) -> bool:
        return config(transport, key, {"name": "s", "key": default})(r) and mounted(r, "s")

    ROWS[f"transports.{_path}.name"] = Row("s", _named, _on)
    _given: Object = {"name": "s"}
    for _part in reversed(["transports", _transport, "config", *_key.split(".")]):
        _given = {_part: _given}
    ROWS[f"transports.{_path}.key"] = Row("k", config(_transport, _key, {"name": "s", "key": "k"}), _given)
