"""Every value of asya-operator has an effect, and it is the documented one."""

from __future__ import annotations

import pytest
from operator_rows import ROWS, Check, egress_ports
from rendering import OPTIONAL_APIS, Rendered, RenderError, chart_values, leaves, merged, nested, notes, render

# Keys whose value is one thing to a person: a row gives the whole of it.
WHOLE = frozenset({"resources", "defaultResources", "podSecurityContext", "securityContext", "labels", "annotations"})
OPERATOR = "asya-operator"


def test_every_key_has_a_row() -> None:
    assert set(leaves(chart_values(OPERATOR), WHOLE)) == set(ROWS)


@pytest.mark.parametrize("path", ROWS)
def test_value_has_its_effect(path: str) -> None:
    row = ROWS[path]
    assert row.check(render(OPERATOR, merged(row.given, nested(path, row.value)), apis=OPTIONAL_APIS))
    # A transport's type is its name unless it has a name of its own: the row gives such a one.
    if not path.endswith(".type"):
        without = render(OPERATOR, row.given, apis=OPTIONAL_APIS)
        assert not holds(row.check, without), "true without the value as well"


def holds(check: Check, rendered: Rendered) -> bool:
    try:
        return check(rendered)
    except (AssertionError, KeyError, TypeError, IndexError):
        return False


def test_literal_sqs_install_of_the_documentation() -> None:
    rendered = render(
        OPERATOR,
        sets=(
            r"serviceAccount.annotations.eks\.amazonaws\.com/role-arn=arn:aws:iam::123456789012:role/asya-operator",
            "transports.sqs.enabled=true",
            "transports.sqs.config.region=us-east-1",
            "transports.sqs.config.actorRoleArn=arn:aws:iam::123456789012:role/asya-actor",
        ),
    )
    account = rendered.one("ServiceAccount", OPERATOR)
    assert account["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/asya-operator"
    }
    sqs = rendered.transport("sqs")
    assert sqs["enabled"]
    assert sqs["config"]["actorRoleArn"] == "arn:aws:iam::123456789012:role/asya-actor"


def test_documented_labels_find_the_pods() -> None:
    rendered = render(OPERATOR)
    labels = rendered.deployment()["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "asya-operator"
    assert rendered.deployment()["metadata"]["name"] == "asya-operator"


def test_newer_spelling_wins_over_the_older() -> None:
    rendered = render(
        OPERATOR,
        {
            "operator": {
                "gatewayURL": "http://old",
                "transports": {"rabbitmq": {"config": {"host": "old", "port": 1}}},
            },
            "gatewayURL": "http://new",
            "transports": {"rabbitmq": {"config": {"host": "new"}}},
            "runtime": {"localPath": "/old.py", "local": {"path": "/new.py"}},
        },
    )
    assert rendered.transport("rabbitmq")["config"]["host"] == "new"
    assert rendered.transport("rabbitmq")["config"]["port"] == 1
    assert rendered.env("ASYA_GATEWAY_URL") == "http://new"
    assert rendered.env("ASYA_RUNTIME_SCRIPT_PATH") == "/new.py"


def test_older_spellings_are_named_in_the_notes() -> None:
    said = notes(
        OPERATOR,
        {
            "operator": {"gatewayURL": "http://old", "transports": {"rabbitmq": {"enabled": True}}},
            "runtime": {"localPath": "/runtime/asya_runtime.py", "githubRelease": "v1"},
        },
    )
    for older in ("operator.gatewayURL", "operator.transports", "runtime.localPath", "runtime.githubRelease"):
        assert older in said
    assert "spelling" not in notes(OPERATOR)


def test_runtime_below_a_mount_is_not_taken_from_the_node() -> None:
    rendered = render(
        OPERATOR,
        {
            "runtime": {"local": {"path": "/mine/asya_runtime.py"}},
            "volumes": [{"name": "mine", "configMap": {"name": "my-runtime"}}],
            "volumeMounts": [{"name": "mine", "mountPath": "/mine"}],
        },
    )
    assert rendered.env("ASYA_RUNTIME_SCRIPT_PATH") == "/mine/asya_runtime.py"
    assert not any("hostPath" in it for it in rendered.pod()["volumes"])


def test_relative_runtime_path_is_the_image_s_own_file() -> None:
    values = {"runtime": {"local": {"path": "../src/asya-runtime/asya_runtime.py"}}}
    assert render(OPERATOR, values).env("ASYA_RUNTIME_SCRIPT_PATH") == "/runtime/asya_runtime.py"
    assert "no absolute path" in notes(OPERATOR, values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"runtime": {"source": "github", "github": {"version": "v1"}}}, "runtime.github.sha256"),
        ({"replicaCout": 2}, "replicaCout"),
        ({"transports": {"rabbitmq": {"config": {"hosts": "x"}}}}, "hosts"),
        ({"transports": {"big": {"enabled": True}}}, "type"),
        ({"queues": {"template": "q-{actor}"}}, "template"),
        ({"gatewayURL": "gateway:8080"}, "gatewayURL"),
        ({"controller": {"queueHealthCheckInterval": "5 minutes"}}, "queueHealthCheckInterval"),
        ({"scaler": {"push": {"enabled": True, "tls": {"source": "cert-manager"}}}}, "issuerRef.name"),
        ({"scaler": {"push": {"enabled": True, "tls": {"source": "secret"}}}}, "serverSecret"),
        ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
    ],
)
def test_wrong_value_is_refused_with_its_name(values: dict, sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence.replace(".", r"\.")):
        render(OPERATOR, values)


def test_absent_apis_are_left_out_and_said() -> None:
    values = {"replicaCount": 2, "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    kinds = {it["kind"] for it in render(OPERATOR, values)}
    assert kinds.isdisjoint({"ServiceMonitor", "PrometheusRule", "ClusterTriggerAuthentication"})
    said = notes(OPERATOR, values)
    for key in ("serviceMonitor.enabled", "prometheusRule.enabled", "KEDA"):
        assert key in said


def test_notes_say_the_next_command() -> None:
    said = notes(OPERATOR)
    for command in ("kubectl -n asya-system rollout status deployment/asya-operator", "helm test", "kubectl apply"):
        assert command in said


def test_scaler_certificates_belong_together() -> None:
    rendered = render(OPERATOR, {"replicaCount": 2})
    server = rendered.one("Secret", "asya-operator-scaler-tls")["data"]
    client = rendered.one("Secret", "asya-operator-scaler-client")["data"]
    assert server["ca.crt"] == client["ca.crt"]
    assert server["tls.crt"] != client["tls.crt"]


def test_two_secrets_cannot_give_the_same_file() -> None:
    values = {
        "passwordSecretRef": {"name": "a", "key": "password"},
        "managementPasswordSecretRef": {"name": "b", "key": "password"},
    }
    with pytest.raises(RenderError, match="both give the key"):
        render(OPERATOR, {"transports": {"rabbitmq": {"config": values}}})


def test_policy_lets_the_push_scaler_ask_sidecars_where_nobody_else_tells_what_is_in_hand() -> None:
    def ports(push: bool, **config: object) -> list[int]:
        values = {
            "networkPolicy": {"enabled": True},
            "scaler": {"push": {"enabled": push}},
            "metrics": {"port": 9090},
            "transports": {"rabbitmq": {"config": config}},
        }
        return egress_ports(render(OPERATOR, values, apis=OPTIONAL_APIS))

    assert 8080 in ports(push=True)
    assert 8080 not in ports(push=True, managementURL="http://mq:15672")
    assert 8080 not in ports(push=False)


def test_notes_say_that_tls_needs_its_port() -> None:
    def said(**config: object) -> bool:
        return "has tls: true and port 5672" in notes(OPERATOR, {"transports": {"rabbitmq": {"config": config}}})

    assert said(tls=True)
    assert not said(tls=True, port=5671)
    assert not said()
