"""Every pod of ours satisfies the restricted Pod Security Standard, and no role is wider than it must be."""

from __future__ import annotations

from typing import Any

import pytest
from cases import CASES, EVERYTHING
from rendering import OPTIONAL_APIS, Object, Rendered, merged, render

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def offences(pod: Object) -> list[str]:
    """What the restricted standard would refuse."""
    found = []
    context = pod.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            found.append(key)
    for volume in pod.get("volumes", []):
        if kinds := set(volume) - {"name"} - ALLOWED_VOLUMES:
            found.append(f"volume {volume['name']} of {kinds}")
    for container in pod["containers"] + pod.get("initContainers", []):
        own: dict[str, Any] = container.get("securityContext", {})
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name}: allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append(f"{name}: capabilities")
        if own.get("privileged"):
            found.append(f"{name}: privileged")
        if not own.get("runAsNonRoot", context.get("runAsNonRoot")):
            found.append(f"{name}: runAsNonRoot")
        if own.get("runAsUser", context.get("runAsUser")) == 0:
            found.append(f"{name}: runAsUser 0")
        profile = own.get("seccompProfile", context.get("seccompProfile", {}))
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            found.append(f"{name}: seccompProfile")
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(case: str) -> None:
    chart, values = CASES[case]
    # The file of a node is a development setting, and NOTES says what it costs.
    values = merged(values, {"runtime": {"local": {"path": ""}}}) if values is EVERYTHING else values
    rendered = render(chart, values, apis=OPTIONAL_APIS)
    assert {name: found for name, pod in rendered.pods() if (found := offences(pod))} == {}


def test_older_pod_settings_become_restricted() -> None:
    older = {"podSecurityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": None}}
    assert [found for _, pod in render("asya-operator", older).pods() for found in offences(pod)] == []


@pytest.mark.parametrize("case", CASES)
def test_every_container_has_limits(case: str) -> None:
    chart, values = CASES[case]
    for name, pod in render(chart, values, apis=OPTIONAL_APIS).pods():
        for container in pod["containers"]:
            assert "memory" in container["resources"]["limits"], name


def rules(rendered: Rendered) -> list[tuple[str, Object]]:
    roles = rendered.kind("ClusterRole") + rendered.kind("Role")
    return [(it["metadata"]["name"], rule) for it in roles for rule in it["rules"]]


@pytest.mark.parametrize("case", CASES)
def test_no_role_has_a_wildcard(case: str) -> None:
    chart, values = CASES[case]
    for name, rule in rules(render(chart, values, apis=OPTIONAL_APIS)):
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], name


def test_operator_has_no_right_on_secrets_unless_credentials_are_projected() -> None:
    assert not any("secrets" in rule["resources"] for _, rule in rules(render("asya-operator")))


def test_operator_makes_no_account_unless_it_is_told_to() -> None:
    for values, written in (({}, False), ({"agents": {"enabled": True}}, True)):
        found = [rule for _, rule in rules(render("asya-operator", values)) if "serviceaccounts" in rule["resources"]]
        assert any("create" in rule["verbs"] for rule in found) is written, values


def test_projection_is_limited_to_named_secrets_of_listed_namespaces() -> None:
    rendered = render("asya-operator", EVERYTHING, apis=OPTIONAL_APIS)
    found = [rule for _, rule in rules(rendered) if "secrets" in rule["resources"]]
    assert [rule["verbs"] for rule in found if "resourceNames" not in rule] == [["create"]]
    assert [rule["resourceNames"] for rule in found if "resourceNames" in rule] == [["asya-transport-rabbitmq"]]
    assert [rule["verbs"] for rule in found if "resourceNames" in rule] == [["get", "patch", "delete"]]
    assert not any("secrets" in rule["resources"] for it in rendered.kind("ClusterRole") for rule in it["rules"])
    policy = rendered.one("ValidatingAdmissionPolicy")["spec"]
    assert "system:serviceaccount:asya-system:asya-operator" in policy["matchConditions"][0]["expression"]
    assert policy["failurePolicy"] == "Fail"


def test_namespaces_that_are_not_looked_after_get_no_credentials() -> None:
    transports = {"transports": {"rabbitmq": {"projectTo": ["a", "b"]}}}
    rendered = render("asya-operator", {"watchNamespaces": ["b"], **transports})
    roles = [it for it in rendered.kind("Role") if any("secrets" in rule["resources"] for rule in it["rules"])]
    assert [it["metadata"]["namespace"] for it in roles] == ["b"]
    nowhere = render("asya-operator", {"watchNamespaces": ["c"], **transports})
    assert not nowhere.has("ValidatingAdmissionPolicy")


def test_projection_without_admission_policies_is_refused() -> None:
    with pytest.raises(Exception, match="ValidatingAdmissionPolicy"):
        render("asya-operator", {"transports": {"rabbitmq": {"projectTo": ["a"]}}}, kube_version="1.29.0")


def test_operator_of_listed_namespaces_has_no_cluster_wide_workload_right() -> None:
    rendered = render("asya-operator", {"watchNamespaces": ["a"]})
    wide = [
        resource
        for it in rendered.kind("ClusterRole")
        if it["metadata"]["name"] == "asya-system-asya-operator"
        for rule in it["rules"]
        for resource in rule["resources"]
    ]
    assert sorted(wide) == ["customresourcedefinitions", "namespaces"]


def test_every_binding_names_a_role_and_an_account_that_exist() -> None:
    for values in ({}, EVERYTHING, {"watchNamespaces": ["a"]}):
        rendered = render("asya-operator", values, apis=OPTIONAL_APIS)
        for binding in rendered.kind("RoleBinding") + rendered.kind("ClusterRoleBinding"):
            role = binding["roleRef"]
            namespace = binding["metadata"].get("namespace") if role["kind"] == "Role" else None
            assert any(
                it["metadata"]["name"] == role["name"] and it["metadata"].get("namespace") == namespace
                for it in rendered.kind(role["kind"])
            ), binding["metadata"]["name"]
            for subject in binding["subjects"]:
                assert rendered.has("ServiceAccount", subject["name"])


def test_the_gateway_may_see_actors_and_nothing_else() -> None:
    seeing = {"apiGroups": ["asya.sh"], "resources": ["asyncactors"], "verbs": ["get", "list", "watch"]}
    account = {"kind": "ServiceAccount", "name": "asya-operator-asya-gateway", "namespace": "asya-system"}
    cases: list[tuple[Object, str, list[str | None]]] = [
        ({}, "Role", ["asya-system"]),
        ({"queues": {"namespace": "team"}, "kubernetes": {"namespaces": ["b", "team"]}}, "Role", ["team", "b"]),
        ({"kubernetes": {"namespaces": ["b", "*"]}}, "ClusterRole", [None]),
    ]
    for values, kind, namespaces in cases:
        rendered = render("asya-gateway", values)
        roles, bindings = rendered.kind(kind), rendered.kind(f"{kind}Binding")
        assert [it["rules"] for it in roles] == [[seeing]] * len(namespaces)
        assert [it["metadata"].get("namespace") for it in roles] == namespaces
        assert [it["metadata"].get("namespace") for it in bindings] == namespaces
        assert all(it["subjects"] == [account] for it in bindings)
        assert all(
            it["roleRef"]["kind"] == kind and it["roleRef"]["name"] == roles[0]["metadata"]["name"] for it in bindings
        )
        assert len(rules(rendered)) == len(namespaces)


def test_pods_of_hooks_and_tests_are_not_taken_for_the_operator() -> None:
    rendered = render("asya-operator", EVERYTHING, apis=OPTIONAL_APIS)
    selector = rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    pods = [it["metadata"] for it in rendered.kind("Pod")]
    pods += [it["spec"]["template"]["metadata"] for it in rendered.kind("Job")]
    assert pods
    assert not any(selector.items() <= pod["labels"].items() for pod in pods)
