"""asya-agents: nothing is granted by default, and what is needed is asked for in a sentence."""

from __future__ import annotations

import base64

import pytest
from agents_rows import AGENT, INSTALLS, WRITES
from rendering import Object, Rendered, RenderError, merged, notes, render

CHART = "asya-agents"
SEED: Object = {
    "namespace": "thothscript",
    "replicaCount": 1,
    "image": {"repository": "ghcr.io/jordojordo/thothscript-operator", "tag": "0.1.0", "pullPolicy": "Always"},
    "service": {"type": "ClusterIP", "port": 80},
    "websocket": {"port": 3000, "secure": False},
    "rbac": {
        "create": True,
        "role": {
            "resources": [{"name": "pods", "apiGroup": ""}, {"name": "deployments", "apiGroup": "apps"}],
            "verbs": ["get", "watch", "list", "create", "update", "patch", "delete"],
        },
        "clusterRole": {
            "resources": [{"name": "namespaces", "apiGroup": ""}],
            "verbs": ["get", "list", "watch", "create", "update", "delete"],
        },
    },
    "serviceAccount": {"create": True, "name": "thothscript-operator"},
    "ingress": {
        "enabled": False,
        "annotations": {},
        "hosts": [{"host": "chart-example.local", "paths": []}],
        "tls": [],
    },
    "env": {"OPENAI_API_KEY_NAME": "openai-api-key", "OPENAI_API_KEY": base64.b64encode(b"sk-secret_1").decode()},
}


def rules(r: Rendered) -> list[Object]:
    return [rule for it in r.kind("ClusterRole") + r.kind("Role") for rule in it["rules"]]


def test_by_default_nothing_can_be_changed_and_no_secret_read() -> None:
    rendered = render(CHART, AGENT)
    assert {verb for rule in rules(rendered) for verb in rule["verbs"]} <= {"get", "list"}
    assert not any("secrets" in rule["resources"] for rule in rules(rendered))
    assert rendered.one("Agent")["spec"]["tools"]["allow"] == ["k8s_read", "analyze"]
    assert rendered.one("Agent")["spec"]["riskTier"] == "low"
    assert not rendered.has("AsyncActor", "k8s-write")
    for it in rendered.kind("AsyncActor"):
        talks = it["metadata"]["name"] != "approval"
        assert it["spec"]["workload"]["template"]["spec"]["automountServiceAccountToken"] is talks


def test_helm_keeps_releases_where_it_may_and_nowhere_else() -> None:
    rendered = render(CHART, merged(AGENT, INSTALLS))
    role = rendered.one("Role", "asya-system-asya-operator-helm")
    assert role["metadata"]["namespace"] == "shop"
    assert [rule["resources"] for rule in role["rules"]] == [["secrets"]]
    wide = rendered.one("ClusterRole", "asya-system-asya-operator-helm")["rules"]
    assert [rule["resources"] for rule in wide] == [["subjectaccessreviews"]]
    actor = rendered.one("AsyncActor", "helm")["spec"]
    assert actor["routes"]["allow"] == ["approval", "helm"]
    container = actor["workload"]["template"]["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["volumeMounts"] == [{"name": "work", "mountPath": "/work"}]
    assert rendered.one("Agent")["spec"]["tools"]["allow"] == ["k8s_read", "analyze", "helm"]
    assert rendered.one("Agent")["spec"]["riskTier"] == "high"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"helm": {"namespaces": []}}, "list namespaces in helm.namespaces"),
        ({"helm": {"repositories": []}}, "list repositories in helm.repositories"),
        ({"helm": {"repositories": [{"name": "a", "url": "file:///etc"}]}}, "url"),
        ({"helm": {"repositories": [{"name": "a", "url": "https://u:p@a.example"}]}}, "url"),
        ({"people": {"user": ""}}, "say in people.user"),
        ({"approval": {"enabled": False}}, "set approval.enabled"),
        ({"helm": {"namespaces": ["*"]}}, "namespaces"),
        ({"helm": {"role": {"verbs": ["*"]}}}, "verbs"),
    ],
)
def test_what_helm_is_not_told_is_asked_for(values: Object, sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence):
        render(CHART, merged(INSTALLS, values))


def test_each_tool_has_an_account_of_its_own() -> None:
    rendered = render(CHART, merged(WRITES, AGENT))
    accounts = {
        name: it["spec"]["workload"]["template"]["spec"].get("serviceAccountName") for name, it in named(rendered)
    }
    # Where the broker is reached by a role it is that of the account.
    assert all(it["spec"]["workload"]["shareCloudIdentity"] for name, it in named(rendered) if accounts[name])
    accounts["agent"] = rendered.one("Agent")["spec"]["pod"]["serviceAccountName"]
    # The gateway takes an account for a tool's by its end.
    assert all(account.endswith(f"-{name}") for name, account in accounts.items()), accounts
    assert {it["metadata"]["name"] for it in rendered.kind("ServiceAccount")} == set(accounts.values())
    for binding in rendered.kind("RoleBinding") + rendered.kind("ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert rendered.has("ServiceAccount", subject["name"])
        assert rendered.has(binding["roleRef"]["kind"], binding["roleRef"]["name"])


@pytest.mark.parametrize(("name", "account"), [("", "default"), ("ops", "ops")])
def test_without_accounts_the_agent_runs_as_its_tools_do(name: str, account: str) -> None:
    """The gateway takes an account that is not called like a tool for what the agent runs as, or not at all."""
    rendered = render(CHART, merged(WRITES, AGENT, {"serviceAccount": {"create": False, "name": name}}))
    assert rendered.one("Agent")["spec"]["pod"]["serviceAccountName"] == account
    for tool in ("approval", "k8s-write"):
        template = rendered.one("AsyncActor", tool)["spec"]["workload"]["template"]
        assert template["spec"]["serviceAccountName"] == account


def named(rendered: Rendered) -> list[tuple[str, Object]]:
    return [(it["metadata"]["name"], it) for it in rendered.kind("AsyncActor")]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"k8s-write": {"namespaces": []}}, "list namespaces in k8s-write.namespaces"),
        ({"people": {"user": ""}}, "say in people.user"),
        (
            {"people": {"user": "", "groups": "{group}"}, "k8s-write": {"enabled": False}},
            "say in people.user who they are",
        ),
        ({"approval": {"enabled": False}}, "set approval.enabled"),
        ({"http-get": {"enabled": True}}, "list servers in http-get.allow"),
        ({"transport": ""}, "set transport"),
        ({"k8s-write": {"namespaces": ["team-*"]}}, "namespaces"),
        ({"people": {"user": "everybody"}}, "user"),
        ({"rbac": {"role": {"resources": [{"name": "*"}]}}}, "name"),
        ({"rbac": {"role": {"verbs": ["*"]}}}, "verbs"),
    ],
)
def test_what_is_missing_or_too_wide_is_refused(values: Object, sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence):
        render(CHART, merged(WRITES, values))


def test_values_of_the_thothscript_chart_are_taken_and_give_no_more_than_asked() -> None:
    rendered = render(CHART, SEED)
    assert rendered.one("Secret")["stringData"]["api-key"] == "sk-secret_1"
    assert {verb for rule in rules(rendered) for verb in rule["verbs"]} <= {"get", "list"}
    images = {it["spec"]["workload"]["template"]["spec"]["containers"][0]["image"] for _, it in named(rendered)}
    assert images == {"asya-crew:latest"}
    said = notes(CHART, SEED)
    for key in ("namespace", "replicaCount", "service", "websocket", "ingress", "image.repository"):
        assert f"WARNING: {key} " in said, key
    writing = render(CHART, merged(SEED, {"k8s-write": WRITES["k8s-write"], "people": WRITES["people"]}))
    role = writing.one("Role", "asya-system-thothscript-operator-k8s-write")
    assert role["metadata"]["namespace"] == "shop"
    assert role["rules"][0]["verbs"] == SEED["rbac"]["role"]["verbs"]


@pytest.mark.parametrize("key", ["sk-abc_DEF", "gsk_abcdef", "a-local-key", "c2hvcnQ="])
def test_a_key_is_decoded_only_where_it_was_encoded(key: str) -> None:
    assert render(CHART, {"env": {"OPENAI_API_KEY": key}}).one("Secret")["stringData"]["api-key"] == key


def test_the_notes_say_what_can_be_changed() -> None:
    assert "Nothing is changed by agents" in notes(CHART)
    assert "in: shop" in notes(CHART, WRITES)
    assert "releases as somebody approved it, in: shop" in notes(CHART, INSTALLS)
    assert "Nothing is changed" not in notes(CHART, INSTALLS)
    without = merged(WRITES, {"rbac": {"role": {"resources": []}}})
    assert "WARNING: it has no right yet" in notes(CHART, without)
    assert "asya chat --agent ops" in notes(CHART, AGENT)
