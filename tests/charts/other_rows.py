"""What each value of the other charts does: chart -> path of the key -> a value and what must then be so."""

from __future__ import annotations

import json
from typing import Any

from agents_rows import ROWS as AGENTS
from analysis_rows import ROWS as ANALYSIS
from operator_rows import Check, Row
from rendering import Object, Rendered

ONE: Object = {"name": "one", "transport": "rabbitmq", "image": "i:1", "handler": "m.f"}
TOOLS: Object = {"routes": {"tools": [{"name": "echo", "route": ["echo"]}]}}
TRIAL: Object = {"trialBroker": {"enabled": True}}
POSTGRES: Object = {"postgresql": {"enabled": True}}
EXTERNAL: Object = {"externalDatabase": {"host": "db.example.com", "password": "p"}}
EXISTING: Object = {"externalDatabase": {"host": "db.example.com", "existingSecret": "s"}}
OPEN: Object = {"auth": {"mode": "off"}}
CLOSED: Object = {"auth": {"mode": "on", "tokensSecretRef": {"name": "t"}}}
LOOKING: Object = {**CLOSED, "clusterTools": {"enabled": True}}
SHARED: Object = {
    "auth": {
        "mode": "on",
        "tokensSecretRef": {"name": "t"},
        "callbacks": {"mode": "secret", "secretRef": {"name": "c"}},
    }
}
OIDC: Object = {"auth": {"mode": "on", "oidc": {"issuer": "https://issuer.example", "audience": "asya"}}}
INGRESS: Object = {"ingress": {"enabled": True}, **OPEN}
ROUTE: Object = {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}, **OPEN}
MONITOR: Object = {"serviceMonitor": {"enabled": True}}
HPA: Object = {"autoscaling": {"enabled": True}, **EXTERNAL}


def spec(path: str, wanted: Any, name: str = "one") -> Check:
    def check(r: Rendered) -> bool:
        value: Any = r.one("AsyncActor", name)["spec"]
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        return value == wanted

    return check


def runs(test: str) -> Check:
    return lambda r: r.has("Pod", f"asya-operator-one-{test}")


def timeout(test: str, seconds: int) -> Check:
    return (
        lambda r: f"--timeout={seconds}s" in r.one("Pod", f"asya-operator-one-{test}")["spec"]["containers"][0]["args"]
    )


def url(r: Rendered) -> str:
    return r.one("Secret", "asya-operator-asya-gateway-db")["stringData"]["database-url"]


def monitor(r: Rendered) -> Object:
    return r.one("ServiceMonitor")["spec"]["endpoints"][0]


def migration(r: Rendered) -> Object:
    return r.one("Job")["spec"]


def service(r: Rendered) -> Object:
    return r.one("Service", "asya-operator-asya-gateway")["spec"]


def routes(r: Rendered) -> str:
    return r.one("ConfigMap", "gateway-routes")["data"]["routes.yaml"]


def looked_at(r: Rendered) -> list[str]:
    """What the gateway may look at in the whole cluster."""
    return [resource for rule in r.one("ClusterRole")["rules"] for resource in rule["resources"]]


def postgres(r: Rendered) -> Object:
    return r.one("StatefulSet")["spec"]


def broker(r: Rendered) -> Object:
    return r.one("StatefulSet", "asya-trial-broker")["spec"]


def env(name: str, wanted: Any) -> Check:
    return lambda r: r.env(name) == wanted


def from_secret(name: str, key: str) -> Object:
    return {"secretKeyRef": {"name": name, "key": key}}


_DEFAULT = "default.healthChecks"
ACTOR: dict[str, Row] = {
    "name": Row("two", lambda r: r.has("AsyncActor", "two"), ONE),
    "namespace": Row("ns", lambda r: r.one("AsyncActor")["metadata"]["namespace"] == "ns", ONE),
    "transport": Row("sqs", spec("transport", "sqs"), ONE),
    "image": Row("i:2", spec("workload.template.spec.containers.0.image", "i:2"), ONE),
    "handler": Row("m.g", spec("handler", "m.g"), ONE),
    "env": Row([{"name": "A", "value": "b"}], spec("env", [{"name": "A", "value": "b"}]), ONE),
    "spec": Row({"timeout": {"processing": 9}}, spec("timeout.processing", 9), ONE),
    "actors": Row(
        [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:1"}],
        lambda r: [it["metadata"]["name"] for it in r.kind("AsyncActor")] == ["a", "b"],
        {"transport": "rabbitmq"},
    ),
    "default.scaling": Row({"maxReplicas": 7}, spec("scaling.maxReplicas", 7), ONE),
    "default.workload": Row({"kind": "StatefulSet"}, spec("workload.kind", "StatefulSet"), ONE),
    "default.imagePullPolicy": Row("Never", spec("workload.template.spec.containers.0.imagePullPolicy", "Never"), ONE),
    "default.resources": Row(
        {"limits": {"cpu": "9"}}, spec("workload.template.spec.containers.0.resources.limits.cpu", "9"), ONE
    ),
    f"{_DEFAULT}.preInstall.enabled": Row(False, lambda r: not r.has("Pod", "asya-operator-precheck"), ONE),
    f"{_DEFAULT}.crew.enabled": Row(False, lambda r: not runs("crew")(r), ONE),
    f"{_DEFAULT}.crew.requiredActors": Row(
        ["x-sink"],
        lambda r: "x-sink" in r.one("Pod", "asya-operator-one-crew")["spec"]["containers"][0]["args"],
        ONE,
    ),
    f"{_DEFAULT}.queue.enabled": Row(False, lambda r: not runs("queue")(r), ONE),
    f"{_DEFAULT}.queue.timeoutSeconds": Row(7, timeout("queue", 7), ONE),
    f"{_DEFAULT}.deployment.enabled": Row(False, lambda r: not runs("deployment")(r), ONE),
    f"{_DEFAULT}.deployment.timeoutSeconds": Row(7, timeout("deployment", 7), ONE),
    f"{_DEFAULT}.status.enabled": Row(False, lambda r: not runs("status")(r), ONE),
    "tests.image": Row(
        "k:1", lambda r: all(it["spec"]["containers"][0]["image"] == "k:1" for it in r.kind("Pod")), ONE
    ),
    "tests.imagePullPolicy": Row(
        "Never", lambda r: all(it["spec"]["containers"][0]["imagePullPolicy"] == "Never" for it in r.kind("Pod")), ONE
    ),
}

CREW: dict[str, Row] = {
    "global.imageRegistry": Row(
        "r.io/t", spec("workload.template.spec.containers.0.image", "r.io/t/asya-crew:latest", "happy-end")
    ),
    "transport": Row("sqs", lambda r: [it["spec"]["transport"] for it in r] == ["sqs", "sqs"]),
}
for _name in ("happy-end", "error-end"):
    _other = {"happy-end": "error-end", "error-end": "happy-end"}[_name]

    def _image(r: Rendered, name: str = _name) -> bool:
        container = r.one("AsyncActor", name)["spec"]["workload"]["template"]["spec"]["containers"][0]
        forced = [it["name"] for it in container["env"][:2]]
        return container["image"] == "mine:1" and forced == ["ASYA_HANDLER_MODE", "ASYA_ENABLE_VALIDATION"]

    def _gone(r: Rendered, name: str = _name, other: str = _other) -> bool:
        return not r.has("AsyncActor", name) and r.has("AsyncActor", other)

    CREW |= {
        f"{_name}.enabled": Row(False, _gone),
        f"{_name}.name": Row("x", lambda r: r.has("AsyncActor", "x")),
        f"{_name}.transport": Row("sqs", spec("transport", "sqs", _name)),
        f"{_name}.scaling": Row({"maxReplicas": 3}, spec("scaling.maxReplicas", 3, _name)),
        f"{_name}.workload": Row(
            {"template": {"spec": {"containers": [{"name": "asya-runtime", "image": "mine:1"}]}}}, _image
        ),
        f"{_name}.spec": Row({"timeout": {"processing": 9}}, spec("timeout.processing", 9, _name)),
    }

DATABASE = {"database": {"existingSecret": "db"}}


def variable(actor: str, name: str, value: object) -> Check:
    """An actor has this variable, with this value or from this place."""

    def check(r: Rendered) -> bool:
        env = {it["name"]: it for it in r.one("AsyncActor", actor)["spec"].get("env", [])}
        given = env.get(name, {})
        return given.get("value", given.get("valueFrom")) == value

    return check


def reference(secret: str, key: str) -> object:
    return {"secretKeyRef": {"name": secret, "key": key}}


_PARK = {"park": {"enabled": True}}
CREW |= {
    "database.existingSecret": Row(
        "s", variable("schedule", "ASYA_DATABASE_URL", reference("s", "url")), {"schedule": {"enabled": True}}
    ),
    "database.key": Row("k", variable("park", "ASYA_DATABASE_URL", reference("db", "k")), {**_PARK, **DATABASE}),
}
for _name in ("fan-in", "schedule", "park", "http-call"):
    _given: Object = {_name: {"enabled": True}, **DATABASE}
    if _name == "http-call":
        _given[_name]["spec"] = {"env": [{"name": "ASYA_HTTP_ENDPOINT", "value": "https://x.example"}]}

    def _mine(r: Rendered, name: str = _name) -> bool:
        actor = r.one("AsyncActor", name)["spec"]
        container = actor["workload"]["template"]["spec"]["containers"][0]
        return container["image"] == "mine:1" and actor["embedded"] is True

    _env = [{"name": "ASYA_HANDLER", "value": f"asya_crew.{_name.replace('-', '_')}"}]
    _containers = [{"name": "asya-runtime", "image": "mine:1", "env": _env}]
    CREW |= {
        f"{_name}.enabled": Row(
            True,
            lambda r, name=_name: r.has("AsyncActor", name),
            {key: value if key != _name else {**value, "enabled": False} for key, value in _given.items()},
        ),
        f"{_name}.name": Row("x", lambda r: r.has("AsyncActor", "x"), _given),
        f"{_name}.transport": Row("sqs", spec("transport", "sqs", _name), _given),
        f"{_name}.scaling": Row({"maxReplicas": 77}, spec("scaling.maxReplicas", 77, _name), _given),
        f"{_name}.workload": Row({"template": {"spec": {"containers": _containers}}}, _mine, _given),
        f"{_name}.spec": Row({"timeout": {"processing": 9}}, spec("timeout.processing", 9, _name), _given),
    }

GATEWAY: dict[str, Row] = {
    "global.imageRegistry": Row("r.io/t", lambda r: r.container()["image"] == "r.io/t/asya-gateway:latest"),
    "global.imagePullSecrets": Row(["p"], lambda r: r.pod().get("imagePullSecrets") == [{"name": "p"}]),
    "replicaCount": Row(2, lambda r: r.deployment()["spec"]["replicas"] == 2, EXTERNAL),
    "image.repository": Row("x/g", lambda r: r.container()["image"] == "x/g:latest"),
    "image.tag": Row("v1", lambda r: r.container()["image"] == "asya-gateway:v1"),
    "image.digest": Row("sha256:" + "a" * 64, lambda r: r.container()["image"].endswith("@sha256:" + "a" * 64)),
    "image.pullPolicy": Row("Never", lambda r: r.container()["imagePullPolicy"] == "Never"),
    "imagePullSecrets": Row([{"name": "p"}], lambda r: r.pod().get("imagePullSecrets") == [{"name": "p"}]),
    "nameOverride": Row("g", lambda r: r.deployment()["metadata"]["labels"]["app.kubernetes.io/name"] == "g"),
    "fullnameOverride": Row("g", lambda r: r.deployment()["metadata"]["name"] == "g"),
    "serviceAccount.create": Row(False, lambda r: not r.has("ServiceAccount")),
    "serviceAccount.automount": Row(False, lambda r: r.one("ServiceAccount")["automountServiceAccountToken"] is False),
    "serviceAccount.annotations": Row(
        {"a": "b"}, lambda r: r.one("ServiceAccount")["metadata"].get("annotations") == {"a": "b"}
    ),
    "serviceAccount.name": Row("sa", lambda r: r.pod()["serviceAccountName"] == "sa"),
    "podAnnotations": Row(
        {"a": "b"}, lambda r: r.deployment()["spec"]["template"]["metadata"]["annotations"].get("a") == "b"
    ),
    "podLabels": Row({"a": "b"}, lambda r: r.deployment()["spec"]["template"]["metadata"]["labels"].get("a") == "b"),
    "podSecurityContext": Row({"fsGroup": 7}, lambda r: r.pod()["securityContext"]["fsGroup"] == 7),
    "securityContext": Row({"runAsUser": 7}, lambda r: r.container()["securityContext"].get("runAsUser") == 7),
    "service.type": Row("NodePort", lambda r: service(r)["type"] == "NodePort", OPEN),
    "service.port": Row(81, lambda r: service(r)["ports"][0]["port"] == 81),
    "service.targetPort": Row(8081, lambda r: service(r)["ports"][0]["targetPort"] == 8081),
    "ingress.enabled": Row(True, lambda r: r.one("Ingress")["spec"]["rules"][0]["host"] == "asya-gateway.local", OPEN),
    "ingress.className": Row("nginx", lambda r: r.one("Ingress")["spec"].get("ingressClassName") == "nginx", INGRESS),
    "ingress.annotations": Row(
        {"a": "b"}, lambda r: r.one("Ingress")["metadata"].get("annotations") == {"a": "b"}, INGRESS
    ),
    "ingress.hosts": Row(
        [{"host": "h", "paths": [{"path": "/x"}]}],
        lambda r: r.one("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/x",
        INGRESS,
    ),
    "ingress.tls": Row(
        [{"secretName": "t"}], lambda r: r.one("Ingress")["spec"].get("tls") == [{"secretName": "t"}], INGRESS
    ),
    "httpRoute.enabled": Row(
        True,
        lambda r: r.one("HTTPRoute")["spec"]["rules"][0]["backendRefs"]
        == [{"name": "asya-operator-asya-gateway", "port": 80}],
        {"httpRoute": {"parentRefs": [{"name": "public"}]}, **OPEN},
    ),
    "httpRoute.annotations": Row(
        {"a": "b"}, lambda r: r.one("HTTPRoute")["metadata"].get("annotations") == {"a": "b"}, ROUTE
    ),
    "httpRoute.parentRefs": Row(
        [{"name": "g", "namespace": "edge"}],
        lambda r: r.one("HTTPRoute")["spec"]["parentRefs"] == [{"name": "g", "namespace": "edge"}],
        ROUTE,
    ),
    "httpRoute.hostnames": Row(["h"], lambda r: r.one("HTTPRoute")["spec"].get("hostnames") == ["h"], ROUTE),
    "httpRoute.timeout": Row(
        "90s", lambda r: r.one("HTTPRoute")["spec"]["rules"][0]["timeouts"] == {"request": "90s"}, ROUTE
    ),
    "podDisruptionBudget.enabled": Row(False, lambda r: not r.has("PodDisruptionBudget"), HPA),
    "podDisruptionBudget.maxUnavailable": Row(
        2, lambda r: r.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 2, HPA
    ),
    "serviceMonitor.enabled": Row(True, lambda r: r.has("ServiceMonitor")),
    "serviceMonitor.interval": Row("9s", lambda r: monitor(r)["interval"] == "9s", MONITOR),
    "serviceMonitor.labels": Row(
        {"a": "b"}, lambda r: r.one("ServiceMonitor")["metadata"]["labels"].get("a") == "b", MONITOR
    ),
    "serviceMonitor.tokenSecretRef.name": Row(
        "s", lambda r: monitor(r).get("authorization") == {"credentials": {"name": "s", "key": "token"}}, MONITOR
    ),
    "serviceMonitor.tokenSecretRef.key": Row(
        "k",
        lambda r: monitor(r).get("authorization") == {"credentials": {"name": "s", "key": "k"}},
        {"serviceMonitor": {"enabled": True, "tokenSecretRef": {"name": "s"}}},
    ),
    "payloads.store": Row("s3://b/p", env("ASYA_PAYLOAD_STORE", "s3://b/p")),
    "payloads.threshold": Row(99, env("ASYA_PAYLOAD_THRESHOLD", "99")),
    "logsURL": Row("https://l/{id}", env("ASYA_GATEWAY_LOGS_URL", "https://l/{id}")),
    "resources": Row({"limits": {"cpu": "9"}}, lambda r: r.container()["resources"]["limits"]["cpu"] == "9"),
    "autoscaling.enabled": Row(
        True, lambda r: r.has("HorizontalPodAutoscaler") and "replicas" not in r.deployment()["spec"], EXTERNAL
    ),
    "autoscaling.minReplicas": Row(2, lambda r: r.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2, HPA),
    "autoscaling.maxReplicas": Row(3, lambda r: r.one("HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 3, HPA),
    "autoscaling.targetCPUUtilizationPercentage": Row(
        50,
        lambda r: r.one("HorizontalPodAutoscaler")["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
        == 50,
        HPA,
    ),
    "env": Row([{"name": "A", "value": "b"}], env("A", "b")),
    "volumes": Row(
        [{"name": "v", "emptyDir": {}}], lambda r: {"name": "v", "emptyDir": {}} in r.pod().get("volumes", [])
    ),
    "volumeMounts": Row(
        [{"name": "v", "mountPath": "/v"}],
        lambda r: {"name": "v", "mountPath": "/v"} in r.container().get("volumeMounts", []),
    ),
    "nodeSelector": Row({"a": "b"}, lambda r: r.pod().get("nodeSelector") == {"a": "b"}),
    "tolerations": Row([{"operator": "Exists"}], lambda r: r.pod().get("tolerations") == [{"operator": "Exists"}]),
    "affinity": Row({"nodeAffinity": {}}, lambda r: r.pod().get("affinity") == {"nodeAffinity": {}}),
    "config.port": Row(
        "9090", lambda r: r.env("ASYA_GATEWAY_PORT") == "9090" and r.container()["ports"][0]["containerPort"] == 9090
    ),
    "config.rabbitmqURL": Row(
        "amqp://u:p@h/",
        lambda r: r.one("Secret", "asya-operator-asya-gateway-broker")["stringData"]["url"] == "amqp://u:p@h/",
    ),
    "config.rabbitmqURLSecretRef.name": Row(
        "s", lambda r: r.env("ASYA_RABBITMQ_URL") == from_secret("s", "url") and not r.kind("Secret")
    ),
    "config.rabbitmqURLSecretRef.key": Row(
        "k",
        env("ASYA_RABBITMQ_URL", from_secret("s", "k")),
        {"config": {"rabbitmqURLSecretRef": {"name": "s"}}},
    ),
    "config.rabbitmqExchange": Row("e", env("ASYA_RABBITMQ_EXCHANGE", "e")),
    "config.sqsEndpoint": Row("http://s", env("ASYA_SQS_ENDPOINT", "http://s")),
    "config.sqsRegion": Row("r", env("ASYA_SQS_REGION", "r")),
    "config.logLevel": Row("debug", env("ASYA_LOG_LEVEL", "debug")),
    "auth.mode": Row("on", env("ASYA_GATEWAY_AUTH", "on"), {"auth": {"tokensSecretRef": {"name": "t"}}}),
    "auth.tokensSecretRef.name": Row(
        "s", lambda r: {"name": "tokens", "secret": {"secretName": "s"}} in r.pod()["volumes"], CLOSED
    ),
    "auth.tokensSecretRef.key": Row("k", env("ASYA_GATEWAY_TOKENS_FILE", "/var/run/secrets/asya.sh/tokens/k"), CLOSED),
    "auth.oidc.issuer": Row("https://i", env("ASYA_GATEWAY_OIDC_ISSUER", "https://i"), OIDC),
    "auth.oidc.audience": Row("b", env("ASYA_GATEWAY_OIDC_AUDIENCE", "b"), OIDC),
    "auth.oidc.groupsClaim": Row("c", env("ASYA_GATEWAY_OIDC_GROUPS_CLAIM", "c"), OIDC),
    "auth.oidc.rolesClaim": Row("c", env("ASYA_GATEWAY_OIDC_ROLES_CLAIM", "c"), OIDC),
    "auth.oidc.roles": Row("ops=admin", env("ASYA_GATEWAY_OIDC_ROLES", "ops=admin"), OIDC),
    "auth.callbacks.mode": Row("legacy", env("ASYA_GATEWAY_CALLBACK_AUTH", "legacy"), CLOSED),
    "auth.callbacks.secretRef.name": Row(
        "s", lambda r: {"name": "callbacks", "secret": {"secretName": "s"}} in r.pod()["volumes"], SHARED
    ),
    "auth.callbacks.secretRef.key": Row(
        "k", env("ASYA_GATEWAY_CALLBACK_TOKEN_FILE", "/var/run/secrets/asya.sh/callbacks/k"), SHARED
    ),
    "queues.template": Row("asya-{actor}", env("ASYA_QUEUE_TEMPLATE", "asya-{actor}")),
    "queues.namespace": Row("ns", env("ASYA_NAMESPACE", "ns")),
    "queues.actors": Row(["mail", "ocr"], env("ASYA_GATEWAY_ACTORS", "mail,ocr")),
    "kubernetes.enabled": Row(
        False,
        lambda r: r.env("ASYA_GATEWAY_KUBERNETES") == "off" and not r.has("Role") and not r.has("RoleBinding"),
    ),
    "kubernetes.namespaces": Row(
        ["b"],
        lambda r: r.env("ASYA_GATEWAY_KUBERNETES_NAMESPACES") == "b"
        and [it["metadata"]["namespace"] for it in r.kind("Role")] == ["asya-system", "b"],
    ),
    "agents.configMap": Row(
        "mine",
        lambda r: {"name": "agents", "configMap": {"name": "mine", "optional": True}} in r.pod()["volumes"]
        and r.env("ASYA_GATEWAY_AGENTS_DIR") == "/agents",
    ),
    "agents.keySecretRef.name": Row(
        "k", lambda r: {"name": "subject-key", "secret": {"secretName": "k"}} in r.pod()["volumes"]
    ),
    "agents.keySecretRef.key": Row(
        "own.pem",
        env("ASYA_GATEWAY_SUBJECT_KEY_FILE", "/var/run/secrets/asya.sh/subject/own.pem"),
        {"agents": {"keySecretRef": {"name": "k"}}},
    ),
    "agents.accounts": Row(["team/agent-*"], env("ASYA_GATEWAY_INTERNAL_ACCOUNTS", "team/agent-*")),
    "clusterTools.enabled": Row(
        True,
        lambda r: r.env("ASYA_GATEWAY_CLUSTER_TOOLS") == "true"
        and r.has("ClusterRoleBinding")
        and {verb for rule in r.one("ClusterRole")["rules"] for verb in rule["verbs"]} == {"get", "list"},
        CLOSED,
    ),
    "clusterTools.logs": Row(False, lambda r: "pods/log" not in looked_at(r), LOOKING),
    "clusterTools.secrets": Row(True, lambda r: "secrets" in looked_at(r), LOOKING),
    "routes.createConfigMap": Row(
        False, lambda r: r.env("ASYA_CONFIG_PATH") == "/config/routes.yaml" and not r.kind("ConfigMap")
    ),
    "routes.defaults.progress": Row(False, lambda r: "progress: false" in routes(r), TOOLS),
    "routes.defaults.timeout": Row(99, lambda r: "timeout: 99" in routes(r), TOOLS),
    "routes.tools": Row(
        [{"name": "t"}], lambda r: "name: t" in routes(r) and r.env("ASYA_CONFIG_PATH") == "/config/routes.yaml"
    ),
    "routes.routes": Row({"all": ["a"]}, lambda r: "all:" in routes(r), TOOLS),
    "postgresql.enabled": Row(
        True,
        lambda r: r.env("ASYA_DATABASE_URL") == from_secret("asya-operator-asya-gateway-db", "database-url")
        and r.has("StatefulSet"),
    ),
    "postgresql.image": Row(
        "p:1", lambda r: postgres(r)["template"]["spec"]["containers"][0]["image"] == "p:1", POSTGRES
    ),
    "postgresql.auth.database": Row("d", lambda r: url(r).endswith("/d"), POSTGRES),
    "postgresql.auth.username": Row("u", lambda r: url(r).startswith("postgresql://u:"), POSTGRES),
    "postgresql.auth.password": Row("p w/", lambda r: ":p%20w%2F@" in url(r), POSTGRES),
    "postgresql.primary.persistence.enabled": Row(False, lambda r: "volumeClaimTemplates" not in postgres(r), POSTGRES),
    "postgresql.primary.persistence.size": Row(
        "1Gi", lambda r: '"storage": "1Gi"' in json.dumps(postgres(r)["volumeClaimTemplates"]), POSTGRES
    ),
    "postgresql.primary.resources": Row(
        {"limits": {"memory": "9Gi"}}, lambda r: '"memory": "9Gi"' in json.dumps(postgres(r)), POSTGRES
    ),
    "migration.enabled": Row(False, lambda r: not r.has("Job"), EXTERNAL),
    "migration.resources": Row({"limits": {"cpu": "9"}}, lambda r: '"cpu": "9"' in json.dumps(migration(r)), EXTERNAL),
    "migration.backoffLimit": Row(9, lambda r: migration(r)["backoffLimit"] == 9, EXTERNAL),
    "externalDatabase.host": Row("db2", lambda r: "@db2:5432/" in url(r), {"externalDatabase": {"password": "p"}}),
    "externalDatabase.port": Row(5433, lambda r: ":5433/" in url(r), EXTERNAL),
    "externalDatabase.database": Row("d", lambda r: url(r).endswith("/d"), EXTERNAL),
    "externalDatabase.username": Row("u", lambda r: url(r).startswith("postgresql://u:"), EXTERNAL),
    "externalDatabase.password": Row("q", lambda r: ":q@" in url(r), EXTERNAL),
    "externalDatabase.existingSecret": Row("t", env("PGPASSWORD", from_secret("t", "password")), EXISTING),
    "externalDatabase.existingSecretKey": Row("k", env("PGPASSWORD", from_secret("s", "k")), EXISTING),
    "tests.image": Row(
        "c:1",
        lambda r: r.one("Pod", "asya-operator-asya-gateway-test-connection")["spec"]["containers"][0]["image"] == "c:1",
    ),
    "tests.imagePullPolicy": Row(
        "Never",
        lambda r: {it["spec"]["containers"][0]["imagePullPolicy"] for it in r.kind("Pod")} == {"Never"},
    ),
}


def transports(r: Rendered, key: str) -> Any:
    return r.transport("rabbitmq")["config"].get(key)


def _gateway_broker(secret: str, key: str) -> Check:
    def check(r: Rendered) -> bool:
        pod = r.one("Deployment", "asya-gateway")["spec"]["template"]["spec"]
        env = {it["name"]: it for it in pod["containers"][0]["env"]}
        return env["ASYA_RABBITMQ_URL"]["valueFrom"] == from_secret(secret, key)

    return check


GATEWAY_TOO: Object = {
    **TRIAL,
    "asya-gateway": {"enabled": True},
    "asya-operator": {"gatewayURL": "http://asya-gateway.asya-system.svc.cluster.local"},
}
ALL: dict[str, Row] = {
    "global.imageRegistry": Row("r.io/t", lambda r: r.container()["image"] == "r.io/t/asya-operator:latest", TRIAL),
    "global.imagePullSecrets": Row(["p"], lambda r: r.pod().get("imagePullSecrets") == [{"name": "p"}], TRIAL),
    "trialBroker.enabled": Row(
        True,
        lambda r: r.has("StatefulSet", "asya-trial-broker")
        and transports(r, "host") == "asya-trial-broker.asya-system.svc.cluster.local"
        and r.one("Secret", "asya-trial-broker")["stringData"]["username"] == transports(r, "username"),
        {"asya-operator": {"transports": {"rabbitmq": {"config": {}}}}},
    ),
    "trialBroker.image": Row("b:1", lambda r: broker(r)["template"]["spec"]["containers"][0]["image"] == "b:1", TRIAL),
    "trialBroker.imagePullPolicy": Row(
        "Never", lambda r: broker(r)["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Never", TRIAL
    ),
    "trialBroker.persistence.enabled": Row(False, lambda r: "volumeClaimTemplates" not in broker(r), TRIAL),
    "trialBroker.persistence.size": Row(
        "1Gi", lambda r: '"storage": "1Gi"' in json.dumps(broker(r)["volumeClaimTemplates"]), TRIAL
    ),
    "trialBroker.persistence.storageClass": Row(
        "fast", lambda r: broker(r)["volumeClaimTemplates"][0]["spec"].get("storageClassName") == "fast", TRIAL
    ),
    "trialBroker.resources": Row(
        {"limits": {"memory": "9Gi"}}, lambda r: '"memory": "9Gi"' in json.dumps(broker(r)), TRIAL
    ),
    "asya-operator.enabled": Row(False, lambda r: not r.has("Deployment"), TRIAL),
    "asya-operator.transports.rabbitmq.config.host": Row("h", lambda r: transports(r, "host") == "h", TRIAL),
    "asya-operator.transports.rabbitmq.config.username": Row("u", lambda r: transports(r, "username") == "u", TRIAL),
    "asya-operator.transports.rabbitmq.config.passwordSecretRef.name": Row(
        "s", lambda r: transports(r, "passwordSecretRef")["name"] == "s", TRIAL
    ),
    "asya-operator.transports.rabbitmq.config.passwordSecretRef.key": Row(
        "k", lambda r: transports(r, "passwordSecretRef")["key"] == "k", TRIAL
    ),
    "asya-operator.transports.rabbitmq.config.managementURL": Row(
        "http://m", lambda r: transports(r, "managementURL") == "http://m", TRIAL
    ),
    "asya-crew.enabled": Row(False, lambda r: not r.kind("AsyncActor"), TRIAL),
    "asya-operator.gatewayURL": Row("http://g", lambda r: r.env("ASYA_GATEWAY_URL") == "http://g", TRIAL),
    "asya-gateway.enabled": Row(
        True, lambda r: len(r.kind("Deployment")) == 2, {**TRIAL, "asya-operator": {"gatewayURL": "http://g"}}
    ),
    "asya-analysis.enabled": Row(True, lambda r: r.has("ClusterRole", "asya-analysis-watch"), TRIAL),
    "asya-agents.enabled": Row(True, lambda r: r.has("AsyncActor", "k8s-read"), TRIAL),
    "asya-gateway.fullnameOverride": Row("g", lambda r: r.has("Service", "g"), GATEWAY_TOO),
    "asya-gateway.config.rabbitmqURLSecretRef.name": Row("s", _gateway_broker("s", "url"), GATEWAY_TOO),
    "asya-gateway.config.rabbitmqURLSecretRef.key": Row("k", _gateway_broker("asya-trial-broker", "k"), GATEWAY_TOO),
}

TABLES: dict[str, dict[str, Row]] = {
    "asya-actor": ACTOR,
    "asya-agents": AGENTS,
    "asya-analysis": ANALYSIS,
    "asya-crew": CREW,
    "asya-gateway": GATEWAY,
    "asya": ALL,
}
