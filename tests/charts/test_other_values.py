"""Every value of the other charts has an effect, and it is the documented one."""

from __future__ import annotations

import json

import pytest
import yaml
from other_rows import GATEWAY_TOO, ONE, TABLES
from rendering import CHARTS, OPTIONAL_APIS, ROOT, RenderError, chart_values, leaves, merged, nested, notes, render
from test_operator_values import holds

WHOLE = frozenset({"resources", "podSecurityContext", "securityContext", "labels", "workload", "scaling", "spec"})
# What only NOTES.txt shows; tested below.
SAID = {
    "asya-actor": {"infrastructure.operatorNamespace"},
    "asya-analysis": {"metricsService", "kubernetesClusterDomain", "interplex.enabled"},
}
LEGACY = {"auth": {"mode": "on", "tokensSecretRef": {"name": "t"}, "callbacks": {"mode": "legacy"}}}
ROWS = [(chart, path) for chart, table in TABLES.items() for path in table]


@pytest.mark.parametrize("chart", TABLES)
def test_every_key_has_a_row(chart: str) -> None:
    assert set(leaves(chart_values(chart), WHOLE)) == set(TABLES[chart]) | SAID.get(chart, set())


@pytest.mark.parametrize(("chart", "path"), ROWS)
def test_value_has_its_effect(chart: str, path: str) -> None:
    row = TABLES[chart][path]
    assert row.check(render(chart, merged(row.given, nested(path, row.value)), apis=OPTIONAL_APIS))
    try:
        without = render(chart, row.given, apis=OPTIONAL_APIS)
    except RenderError:
        return  # it cannot be without the value at all
    assert not holds(row.check, without), "true without the value as well"


def test_actor_takes_every_field_of_the_resource_and_no_other() -> None:
    crd = yaml.safe_load((ROOT / "crds/asya.sh_asyncactors.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema = json.loads((CHARTS / "asya-actor/values.schema.json").read_text())["properties"]
    ours = {"image", "imagePullPolicy", "resources", "healthChecks"}
    assert set(schema["default"]["properties"]) == set(spec) | ours
    own = {"name", "namespace", "labels", "annotations"}
    assert set(schema["actors"]["items"]["properties"]) == set(spec) | ours | own


def test_actor_inherits_key_by_key_and_overrides_lists() -> None:
    values = {
        "transport": "rabbitmq",
        "default": {"scaling": {"pollingInterval": 3}, "env": [{"name": "A", "value": "default"}]},
        "actors": [
            {"name": "a", "image": "i:1", "scaling": {"maxReplicas": 3}},
            {"name": "b", "image": "i:1", "transport": "sqs", "env": [{"name": "B", "value": "own"}]},
        ],
    }
    a, b = (it["spec"] for it in render("asya-actor", values).kind("AsyncActor"))
    assert (a["scaling"]["maxReplicas"], a["scaling"]["pollingInterval"]) == (3, 3)
    assert b["scaling"]["maxReplicas"] == 10
    assert (a["transport"], b["transport"]) == ("rabbitmq", "sqs")
    assert a["env"] == [{"name": "A", "value": "default"}]
    assert b["env"] == [{"name": "B", "value": "own"}]


def test_go_chart_s_names_of_scaling_are_read() -> None:
    values = {
        "transport": "rabbitmq",
        "default": {"scaling": {"minReplicaCount": 1, "maxReplicaCount": 20}},
        "actors": [{"name": "a", "image": "i:1", "scaling": {"advanced": {"triggers": [{"type": "cron"}]}}}],
    }
    scaling = render("asya-actor", values).one("AsyncActor")["spec"]["scaling"]
    assert "minReplicaCount" not in scaling
    assert scaling["triggers"] == [{"type": "cron"}]
    assert "advanced" not in scaling


@pytest.mark.parametrize(
    ("chart", "values", "sentence"),
    [
        ("asya-actor", {"name": "a", "image": "i:1"}, "actor a needs a transport"),
        ("asya-actor", {"name": "a", "transport": "rabbitmq"}, "actor a needs image and handler"),
        ("asya-actor", {**ONE, "actors": [{"name": "b"}]}, "give name or actors, not both"),
        ("asya-actor", {"transport": "sqs", "actors": [{"name": "b", "imgae": "i"}]}, "imgae"),
        ("asya-crew", {"transport": ""}, "happy-end needs a transport"),
        ("asya-crew", {"park": {"enabled": True}}, "park needs a database"),
        ("asya-crew", {"fan-in": {"enabled": True}}, "fan-in needs a database"),
        ("asya-crew", {"http-call": {"enabled": True}}, "set ASYA_HTTP_ENDPOINT"),
        (
            "asya-gateway",
            {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}},
            "nobody is asked who they are",
        ),
        ("asya-gateway", {"httpRoute": {"enabled": True}, "auth": {"mode": "off"}}, "needs httpRoute.parentRefs"),
        ("asya-gateway", {**LEGACY, "ingress": {"enabled": True}}, "may report the end of any envelope"),
        ("asya-gateway", {**LEGACY, "service": {"type": "LoadBalancer"}}, "may report the end of any envelope"),
        (
            "asya-gateway",
            {**LEGACY, "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}},
            "may report the end of any envelope",
        ),
        ("asya-gateway", {"replicaCount": 2}, "more than one replica needs a database"),
        ("asya-gateway", {"externalDatabase": {"host": "h"}}, "existingSecret"),
        ("asya", {}, "say which broker"),
        (
            "asya",
            {"trialBroker": {"enabled": True}, "asya-gateway": {"enabled": True}},
            "set asya-operator.gatewayURL to http://asya-gateway.asya-system.svc.cluster.local",
        ),
        (
            "asya",
            {
                "asya-operator": {"enabled": False},
                "asya-gateway": {"enabled": True},
            },
            "the gateway needs a broker",
        ),
        (
            "asya",
            {"asya-operator": {"transports": {"rabbitmq": {"config": {"host": "mine"}}}}},
            "passwordSecretRef.name of your own",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(chart: str, values: dict, sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence):
        render(chart, values)


@pytest.mark.parametrize("chart", ["asya-actor", "asya-crew", "asya-gateway"])
def test_notes_say_a_next_command(chart: str) -> None:
    assert "kubectl" in notes(chart, ONE if chart == "asya-actor" else {})


def test_callbacks_without_a_token_stay_possible_inside_the_cluster() -> None:
    assert render("asya-gateway", LEGACY).env("ASYA_GATEWAY_CALLBACK_AUTH") == "legacy"


def test_notes_say_where_the_operator_is() -> None:
    said = notes("asya-actor", {**ONE, "infrastructure": {"operatorNamespace": "elsewhere", "sqs": {"region": "r"}}})
    assert "kubectl -n elsewhere logs" in said
    assert "have no effect" in said


def test_gateway_of_the_umbrella_and_the_operator_know_each_other_and_the_broker() -> None:
    rendered = render("asya", GATEWAY_TOO)
    operator = next(it for it in rendered.kind("Deployment") if it["metadata"]["name"] != "asya-gateway")
    env = {it["name"]: it for it in operator["spec"]["template"]["spec"]["containers"][0]["env"]}
    service = rendered.one("Service", "asya-gateway")
    assert service["spec"]["ports"][0]["port"] == 80
    namespace = service["metadata"]["namespace"]
    assert env["ASYA_GATEWAY_URL"]["value"] == f"http://asya-gateway.{namespace}.svc.cluster.local"
    secret = rendered.one("Secret", "asya-trial-broker")["stringData"]
    host = f"asya-trial-broker.{namespace}.svc.cluster.local"
    assert secret["url"] == f"amqp://asya:{secret['password']}@{host}:5672/"


def test_umbrella_with_sqs_needs_no_broker() -> None:
    values = {"asya-operator": {"transports": {"rabbitmq": {"enabled": False}, "sqs": {"enabled": True}}}}
    rendered = render("asya", {**values, "asya-crew": {"transport": "sqs"}})
    assert not rendered.has("StatefulSet")
    assert not any("projected" in it for it in rendered.pod().get("volumes", []))


def test_end_actors_are_the_program_unless_their_handler_is_python() -> None:
    ours = render("asya-crew")
    for actor in ours:
        container = actor["spec"]["workload"]["template"]["spec"]["containers"][0]
        assert actor["spec"]["embedded"] is True
        assert [variable["name"] for variable in container["env"]] == ["ASYA_HANDLER"]
    env = [{"name": "ASYA_HANDLER", "value": "handlers.end_handlers.happy_end_handler"}]
    workload = {"template": {"spec": {"containers": [{"name": "asya-runtime", "image": "go:1", "env": env}]}}}
    python = render("asya-crew", {"happy-end": {"workload": workload}}).one("AsyncActor", "happy-end")["spec"]
    assert "embedded" not in python
    container = python["workload"]["template"]["spec"]["containers"][0]
    assert {variable["name"] for variable in container["env"]} == {
        "ASYA_HANDLER",
        "ASYA_HANDLER_MODE",
        "ASYA_ENABLE_VALIDATION",
    }


def keeping(actor: str, url: str, **more: object) -> dict:
    spec = {"env": [{"name": "ASYA_DATABASE_URL", "value": url}]}
    return {actor: {"enabled": True, "spec": spec, **more}}


@pytest.mark.parametrize("actor", ["fan-in", "park", "schedule"])
@pytest.mark.parametrize(
    "more",
    [
        {"scaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 2}},
        {"scaling": {"enabled": True, "minReplicas": 0, "maxReplicas": 1}},
        {"scaling": {"enabled": False}, "workload": {"replicas": 2}},
    ],
)
def test_sqlite_is_for_exactly_one_replica(actor: str, more: dict) -> None:
    for url in ("sqlite:/data/state.db", "/data/state.db"):
        with pytest.raises(RenderError, match=f"{actor} keeps its state in a SQLite file"):
            render("asya-crew", keeping(actor, url, **more))
        alone = {"scaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 1}}
        assert render("asya-crew", keeping(actor, url, **alone)).has("AsyncActor", actor)
        assert render("asya-crew", keeping(actor, url, scaling={"enabled": False})).has("AsyncActor", actor)
    for url in ("postgres://db/asya", "postgresql://db/asya", "$(URL_OF_THE_DATABASE)"):
        assert render("asya-crew", keeping(actor, url, **more)).has("AsyncActor", actor)


def test_sqlite_in_the_container_is_seen_too() -> None:
    env = [{"name": "ASYA_DATABASE_URL", "value": "state.db"}, {"name": "ASYA_HANDLER", "value": "asya_crew.fan_in"}]
    workload = {"template": {"spec": {"containers": [{"name": "asya-runtime", "image": "i:1", "env": env}]}}}
    with pytest.raises(RenderError, match="fan-in keeps its state in a SQLite file"):
        render("asya-crew", {"fan-in": {"enabled": True, "workload": workload}})


def test_end_actors_are_told_of_the_fan_in_and_a_database_may_be_given_by_hand() -> None:
    own = [{"name": "ASYA_DATABASE_URL", "value": "postgres://db"}]
    rendered = render("asya-crew", {"fan-in": {"enabled": True, "name": "collect", "spec": {"env": own}}})
    told = [{"name": "ASYA_FAN_IN_ACTORS", "value": "collect"}]
    assert {it["metadata"]["name"]: it["spec"].get("env") for it in rendered} == {
        "happy-end": told,
        "error-end": told,
        "collect": own,
    }
    assert all("env" not in it["spec"] for it in render("asya-crew"))
