"""Values files of the Go system's gateway, crew and actor charts: each of their keys has its effect, or is refused with
a sentence. Those of its operator's chart: test_reuse_values.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import Object, Rendered, RenderError, leaves, merged, notes, render

DATA = Path(__file__).parent / "data"
WHOLE = frozenset({"resources", "affinity", "nodeSelector", "podAnnotations", "podLabels"})
Check = Callable[[Rendered], Any]


def given(chart: str) -> Object:
    return yaml.safe_load((DATA / f"{chart}-go.yaml").read_text())


def deployment(r: Rendered) -> Object:
    return r.deployment()["spec"]


def service(r: Rendered) -> Object:
    return r.one("Service", "the-gateway")["spec"]


def port(r: Rendered) -> Object:
    return service(r)["ports"][0]


def autoscaler(r: Rendered) -> Object:
    return r.one("HorizontalPodAutoscaler")["spec"]


def account(r: Rendered) -> Object:
    return r.one("ServiceAccount")


def routes(r: Rendered) -> Object:
    return yaml.safe_load(r.one("ConfigMap", "gateway-routes")["data"]["routes.yaml"])


def postgres(r: Rendered) -> Object:
    return r.one("StatefulSet", "the-gateway-postgresql")["spec"]


def migration(r: Rendered) -> Object:
    return r.one("Job")["spec"]


def database(r: Rendered) -> str:
    return r.one("Secret", "the-gateway-db")["stringData"]["database-url"]


def spec(r: Rendered, name: str) -> Object:
    return r.one("AsyncActor", name)["spec"]


def runtime(r: Rendered, name: str) -> Object:
    return spec(r, name)["workload"]["template"]["spec"]["containers"][0]


def checks(r: Rendered) -> list[str]:
    return [it["metadata"]["name"] for it in r.kind("Pod")]


def arguments(r: Rendered, test: str) -> list[str]:
    return r.one("Pod", f"asya-operator-{test}")["spec"]["containers"][0]["args"]


# What must be so where the whole file is given.
GATEWAY: dict[str, Check] = {
    "replicaCount": lambda r: "replicas" not in deployment(r),  # the autoscaler's
    "image.repository": lambda r: r.container()["image"].startswith("registry.example.com/gateway:"),
    "image.tag": lambda r: r.container()["image"].endswith(":0.1.0"),
    "image.pullPolicy": lambda r: r.container()["imagePullPolicy"] == "Always",
    "imagePullSecrets": lambda r: r.pod()["imagePullSecrets"] == [{"name": "pull"}],
    "nameOverride": lambda r: deployment(r)["selector"]["matchLabels"]["app.kubernetes.io/name"] == "gw",
    "fullnameOverride": lambda r: r.deployment()["metadata"]["name"] == "the-gateway",
    "serviceAccount.create": lambda r: r.has("ServiceAccount", "gw-account"),
    "serviceAccount.automount": lambda r: account(r)["automountServiceAccountToken"] is False,
    "serviceAccount.annotations.team": lambda r: account(r)["metadata"]["annotations"] == {"team": "ml"},
    "serviceAccount.name": lambda r: r.pod()["serviceAccountName"] == "gw-account",
    "podAnnotations": lambda r: deployment(r)["template"]["metadata"]["annotations"]["a"] == "b",
    "podLabels": lambda r: deployment(r)["template"]["metadata"]["labels"]["c"] == "d",
    "podSecurityContext.fsGroup": lambda r: r.pod()["securityContext"]["fsGroup"] == 2000,
    "securityContext.runAsUser": lambda r: r.container()["securityContext"]["runAsUser"] == 1000,
    "service.type": lambda r: service(r)["type"] == "ClusterIP",
    "service.port": lambda r: port(r)["port"] == 8081,
    "service.targetPort": lambda r: port(r)["targetPort"] == 9090,
    "resources": lambda r: r.container()["resources"]["limits"]["cpu"] == "700m",
    "autoscaling.enabled": lambda r: autoscaler(r)["scaleTargetRef"]["name"] == "the-gateway",
    "autoscaling.minReplicas": lambda r: autoscaler(r)["minReplicas"] == 3,
    "autoscaling.maxReplicas": lambda r: autoscaler(r)["maxReplicas"] == 5,
    "autoscaling.targetCPUUtilizationPercentage": lambda r: (
        autoscaler(r)["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    ),
    "nodeSelector": lambda r: r.pod()["nodeSelector"] == {"disk": "ssd"},
    "tolerations": lambda r: r.pod()["tolerations"] == [{"key": "gpu", "operator": "Exists"}],
    "affinity": lambda r: r.pod()["affinity"] == {"nodeAffinity": {}},
    # Of a name that is given twice the last one counts.
    "env": lambda r: r.container()["env"][-1] == {"name": "ASYA_LOG_LEVEL", "value": "debug"},
    "volumes": lambda r: {"name": "extra", "emptyDir": {}} in r.pod()["volumes"],
    "volumeMounts": lambda r: {"name": "extra", "mountPath": "/extra"} in r.container()["volumeMounts"],
    "config.port": lambda r: (
        r.env("ASYA_GATEWAY_PORT") == "9090" and r.container()["ports"][0]["containerPort"] == 9090
    ),
    "config.rabbitmqURL": lambda r: r.one("Secret", "the-gateway-broker")["stringData"]["url"] == "amqp://u:p@mq:5672/",
    "config.rabbitmqExchange": lambda r: r.env("ASYA_RABBITMQ_EXCHANGE") == "other",
    "config.sqsEndpoint": lambda r: r.env("ASYA_SQS_ENDPOINT") == "http://sqs:4566",
    "config.sqsRegion": lambda r: r.env("ASYA_SQS_REGION") == "eu-west-1",
    "routes.createConfigMap": lambda r: r.env("ASYA_CONFIG_PATH") == "/config/routes.yaml",
    "routes.defaults.progress": lambda r: routes(r)["defaults"]["progress"] is False,
    "routes.defaults.timeout": lambda r: routes(r)["defaults"]["timeout"] == 77,
    "routes.tools": lambda r: routes(r)["tools"] == given("asya-gateway")["routes"]["tools"],
    "postgresql.enabled": lambda r: r.has("StatefulSet", "the-gateway-postgresql"),
    "postgresql.auth.database": lambda r: database(r).endswith("/gw"),
    "postgresql.auth.username": lambda r: database(r).startswith("postgresql://gw:"),
    "postgresql.auth.password": lambda r: ":secret@the-gateway-postgresql:" in database(r),
    "postgresql.primary.persistence.enabled": lambda r: len(postgres(r)["volumeClaimTemplates"]) == 1,
    "postgresql.primary.persistence.size": lambda r: (
        postgres(r)["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "3Gi"
    ),
    "postgresql.primary.resources": lambda r: (
        postgres(r)["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "300Mi"
    ),
    "migration.enabled": lambda r: migration(r)["template"]["spec"]["containers"][0]["args"] == ["migrate"],
    "migration.resources": lambda r: (
        migration(r)["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "300m"
    ),
    "migration.backoffLimit": lambda r: migration(r)["backoffLimit"] == 2,
}
# Said in the notes: the program of the image migrates.
GATEWAY_SAID = {f"migration.image.{key}" for key in ("repository", "tag", "pullPolicy")}
# Count without postgresql.enabled.
EXTERNAL: dict[str, Check] = {
    "externalDatabase.host": lambda r: "@db.example.com:" in r.env("ASYA_DATABASE_URL"),
    "externalDatabase.port": lambda r: ":5433/" in r.env("ASYA_DATABASE_URL"),
    "externalDatabase.database": lambda r: r.env("ASYA_DATABASE_URL").endswith("/gw"),
    "externalDatabase.username": lambda r: r.env("ASYA_DATABASE_URL").startswith("postgresql://gw@"),
    "externalDatabase.existingSecret": lambda r: r.env("PGPASSWORD")["secretKeyRef"]["name"] == "db",
    "externalDatabase.existingSecretKey": lambda r: r.env("PGPASSWORD")["secretKeyRef"]["key"] == "pw",
    # Counts where no Secret is named.
    "externalDatabase.password": lambda r: not r.has("Secret", "the-gateway-db"),
}

CREW: dict[str, Check] = {
    "happy-end.enabled": lambda r: r.has("AsyncActor", "happy"),
    "happy-end.name": lambda r: r.has("AsyncActor", "happy"),
    "happy-end.transport": lambda r: spec(r, "happy")["transport"] == "sqs",
    "happy-end.scaling.enabled": lambda r: spec(r, "happy")["scaling"]["enabled"] is True,
    "happy-end.scaling.minReplicaCount": lambda r: spec(r, "happy")["scaling"]["minReplicas"] == 2,
    "happy-end.scaling.maxReplicas": lambda r: spec(r, "happy")["scaling"]["maxReplicas"] == 4,
    "happy-end.scaling.pollingInterval": lambda r: spec(r, "happy")["scaling"]["pollingInterval"] == 11,
    "happy-end.scaling.cooldownPeriod": lambda r: spec(r, "happy")["scaling"]["cooldownPeriod"] == 61,
    "happy-end.scaling.queueLength": lambda r: spec(r, "happy")["scaling"]["queueLength"] == 6,
    "happy-end.workload.kind": lambda r: spec(r, "happy")["workload"]["kind"] == "StatefulSet",
    "happy-end.workload.template.spec.containers": lambda r: (
        runtime(r, "happy")["image"] == "asya-crew:0.1.0"
        and [it["name"] for it in runtime(r, "happy")["env"]]
        == ["ASYA_HANDLER_MODE", "ASYA_ENABLE_VALIDATION", "ASYA_HANDLER", "ASYA_S3_BUCKET"]
    ),
    "error-end.enabled": lambda r: r.has("AsyncActor", "error"),
    "error-end.name": lambda r: r.has("AsyncActor", "error") and not r.has("AsyncActor", "error-end"),
    "error-end.transport": lambda r: spec(r, "error")["transport"] == "sqs",
}

ACTOR: dict[str, Check] = {
    "namespace": lambda r: {it["metadata"]["namespace"] for it in r.kind("AsyncActor")} == {"team"},
    "transport": lambda r: spec(r, "split")["transport"] == "rabbitmq",
    "actors": lambda r: (
        [it["metadata"]["name"] for it in r.kind("AsyncActor")] == ["split", "read"]
        and (runtime(r, "split")["image"], runtime(r, "read")["image"]) == ("split:1", "read:1")
        and (spec(r, "split")["handler"], spec(r, "read")["transport"]) == ("m.split", "sqs")
        and spec(r, "split")["scaling"]["maxReplicas"] == 30
        and spec(r, "split")["env"] == [{"name": "A", "value": "own"}]
        and "asya-operator-read-queue" not in checks(r)
    ),
    "default.scaling.enabled": lambda r: spec(r, "read")["scaling"]["enabled"] is True,
    "default.scaling.minReplicaCount": lambda r: spec(r, "read")["scaling"]["minReplicas"] == 1,
    "default.scaling.maxReplicaCount": lambda r: spec(r, "read")["scaling"]["maxReplicas"] == 20,
    "default.scaling.pollingInterval": lambda r: spec(r, "read")["scaling"]["pollingInterval"] == 11,
    "default.scaling.cooldownPeriod": lambda r: spec(r, "read")["scaling"]["cooldownPeriod"] == 61,
    "default.scaling.queueLength": lambda r: spec(r, "read")["scaling"]["queueLength"] == 6,
    "default.scaling.advanced.triggers": lambda r: spec(r, "read")["scaling"]["triggers"] == [{"type": "cron"}],
    "default.workload.kind": lambda r: spec(r, "split")["workload"]["kind"] == "StatefulSet",
    "default.imagePullPolicy": lambda r: runtime(r, "split")["imagePullPolicy"] == "Always",
    "default.handler": lambda r: spec(r, "read")["handler"] == "m.other",
    "default.env": lambda r: spec(r, "read")["env"] == [{"name": "A", "value": "default"}],
    "default.resources": lambda r: runtime(r, "split")["resources"]["limits"]["cpu"] == "600m",
    "default.healthChecks.preInstall.enabled": lambda r: "asya-operator-precheck" not in checks(r),
    "default.healthChecks.crew.enabled": lambda r: "asya-operator-split-crew" in checks(r),
    "default.healthChecks.crew.requiredActors": lambda r: "happy" in arguments(r, "split-crew"),
    "default.healthChecks.queue.enabled": lambda r: "asya-operator-split-queue" in checks(r),
    "default.healthChecks.queue.timeoutSeconds": lambda r: "--timeout=31s" in arguments(r, "split-queue"),
    "default.healthChecks.deployment.enabled": lambda r: "asya-operator-split-deployment" in checks(r),
    "default.healthChecks.deployment.timeoutSeconds": lambda r: "--timeout=61s" in arguments(r, "split-deployment"),
    "default.healthChecks.status.enabled": lambda r: "asya-operator-split-status" not in checks(r),
    "tests.image": lambda r: {it["spec"]["containers"][0]["image"] for it in r.kind("Pod")} == {"kubectl:1"},
    "tests.imagePullPolicy": lambda r: (
        {it["spec"]["containers"][0]["imagePullPolicy"] for it in r.kind("Pod")} == {"Always"}
    ),
}
# Said in the notes.
ACTOR_SAID = {
    "infrastructure.operatorNamespace",
    "infrastructure.rabbitmq.podName",
    *(f"infrastructure.sqs.{key}" for key in ("secretName", "endpoint", "region")),
}
TABLES = {
    "asya-gateway": (GATEWAY | EXTERNAL, GATEWAY_SAID),
    "asya-crew": (CREW, set()),
    "asya-actor": (ACTOR, ACTOR_SAID),
}
ROWS = [(chart, key) for chart, (table, _) in TABLES.items() for key in table]


@pytest.mark.parametrize("chart", TABLES)
def test_every_key_of_the_file_has_a_row(chart: str) -> None:
    table, said = TABLES[chart]
    assert set(leaves(given(chart), WHOLE)) == set(table) | said


@pytest.mark.parametrize(("chart", "key"), ROWS)
def test_a_key_of_the_go_chart_has_its_effect(chart: str, key: str) -> None:
    values = given(chart)
    if key in EXTERNAL:
        values = merged(values, {"postgresql": {"enabled": False}})
    assert TABLES[chart][0][key](render(chart, values)), key


def test_an_end_actor_may_be_left_out() -> None:
    rendered = render("asya-crew", merged(given("asya-crew"), {"error-end": {"enabled": False}}))
    assert [it["metadata"]["name"] for it in rendered.kind("AsyncActor")] == ["happy"]


def test_without_an_autoscaler_the_number_of_replicas_counts() -> None:
    values = merged(given("asya-gateway"), {"autoscaling": {"enabled": False}})
    assert deployment(render("asya-gateway", values))["replicas"] == 2


def test_a_password_counts_where_no_secret_is_named() -> None:
    values = merged(given("asya-gateway"), {"postgresql": {"enabled": False}})
    values["externalDatabase"]["existingSecret"] = ""
    assert database(render("asya-gateway", values)) == "postgresql://gw:hidden@db.example.com:5433/gw"


def test_one_actor_is_given_at_the_top() -> None:
    """The other mode of the Go system's chart."""
    values = {
        "name": "one",
        "namespace": "team",
        "transport": "sqs",
        "scaling": {"minReplicaCount": 2, "maxReplicaCount": 7},
        "workload": {
            "kind": "StatefulSet",
            "template": {"spec": {"containers": [{"name": "asya-runtime", "image": "i:1"}]}},
        },
    }
    rendered = render("asya-actor", values)
    assert rendered.one("AsyncActor", "one")["metadata"]["namespace"] == "team"
    one = spec(rendered, "one")
    assert (one["transport"], one["workload"]["kind"], runtime(rendered, "one")["image"]) == (
        "sqs",
        "StatefulSet",
        "i:1",
    )
    assert (one["scaling"]["minReplicas"], one["scaling"]["maxReplicas"]) == (2, 7)


@pytest.mark.parametrize(
    ("chart", "scaling"),
    [
        ("asya-actor", {"default": {"scaling": {"minReplicaCount": 1, "minReplicas": 3}}}),
        ("asya-actor", {"actors": [{"name": "it", "scaling": {"minReplicaCount": 1, "minReplicas": 3}}]}),
        ("asya-crew", {"happy-end": {"name": "it", "scaling": {"minReplicaCount": 1, "minReplicas": 3}}}),
    ],
)
def test_of_two_spellings_the_newer_wins(chart: str, scaling: Object) -> None:
    actors = {"transport": "rabbitmq", "actors": [{"name": "it"}]}
    values = merged(actors, scaling) if chart == "asya-actor" else scaling
    for entry in values.get("actors", []):
        entry |= {"image": "i:1", "handler": "m.f"}
    it = spec(render(chart, values), "it")["scaling"]
    assert it["minReplicas"] == 3 and "minReplicaCount" not in it


def test_a_way_in_that_the_go_chart_never_made_is_refused_until_it_is_said_who_may_come() -> None:
    """Its ingress values were read by no template: they must not open a gateway that asks nobody."""
    hosts = [{"host": "gw.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]}]
    ingress = {"enabled": True, "className": "nginx", "annotations": {}, "hosts": hosts, "tls": []}
    values = merged(given("asya-gateway"), {"ingress": ingress})
    with pytest.raises(RenderError, match=r"auth\.mode"):
        render("asya-gateway", values)
    made = render("asya-gateway", merged(values, {"auth": {"mode": "off"}})).one("Ingress")["spec"]
    assert (made["ingressClassName"], made["rules"][0]["host"]) == ("nginx", "gw.example.com")


def test_what_has_no_effect_any_more_is_said() -> None:
    assert "migration.image has no effect" in notes("asya-gateway", given("asya-gateway"))
    said = notes("asya-actor", given("asya-actor"))
    assert "kubectl -n operators logs" in said
    assert "infrastructure.rabbitmq and infrastructure.sqs have no effect" in said
    assert "migration.image" not in notes("asya-gateway")
