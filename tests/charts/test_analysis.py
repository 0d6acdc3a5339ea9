"""The chart of cluster analysis: who may do what, and what its notes say."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from analysis_rows import CLUSTER, NAME, REMEDY, own_rules, watch_rules
from rendering import CHARTS, OPTIONAL_APIS, ROOT, Object, RenderError, notes, render
from schemas import strict

CHART = "asya-analysis"
PAGE = ROOT / "docs/analysis/cluster.md"


def flat(rules: list[Object]) -> set[tuple[str, str, str, tuple[str, ...]]]:
    return {
        (group, resource, verb, tuple(rule.get("resourceNames", [])))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def granted() -> set[tuple[str, str, str, tuple[str, ...]]]:
    return flat(own_rules(render(CHART)))


def test_watchers_may_list_and_watch_and_nothing_else() -> None:
    assert {verb for _, _, verb, _ in flat(watch_rules(render(CHART)))} == {"list", "watch"}
    assert not any(resource == "secrets" for _, resource, _, _ in flat(watch_rules(render(CHART))))


def test_the_operator_binds_one_role_and_escalates_to_no_other() -> None:
    assert {it[3] for it in granted() if it[2] == "bind"} == {("asya-analysis-watch",)}
    assert not any(verb in ("escalate", "impersonate") for _, _, verb, _ in granted())
    assert not any(resource == "clusterroles" and verb != "bind" for _, resource, verb, _ in granted())


def test_the_operator_lists_no_secrets() -> None:
    assert {verb for _, resource, verb, _ in granted() if resource == "secrets"} == {"get", "create", "patch", "delete"}


def test_the_operator_holds_what_it_grants() -> None:
    held = {it[:3] for it in granted()}
    for verb in ("get", "list", "create", "patch", "delete"):
        assert ("core.k8sgpt.ai", "results", verb) in held
    for verb in ("get", "patch"):
        assert ("core.k8sgpt.ai", "results/status", verb) in held
    for verb in ("get", "create", "update", "patch"):
        assert ("coordination.k8s.io", "leases", verb) in held


def told(heading: str) -> set[tuple[str, str, str]]:
    """The tables of rights of the README under a heading."""
    text = (CHARTS / CHART / "README.md").read_text().split(f"## {heading}\n")[1].split("## ")[0]
    told = set()
    for groups, resources, verbs in re.findall(r"^\| (.+?) \| (`.+?) \| (.+?) \|$", text, flags=re.M):
        for group in groups.replace("`", "").split(", "):
            for resource in re.findall(r"`([a-z0-9/]+)`", resources):
                told |= {("" if group == "core" else group, resource, verb) for verb in verbs.split(", ")}
    return told


def test_the_readme_lists_the_rights_exactly() -> None:
    assert told("Rights") == {it[:3] for it in granted()}
    more = {it[:3] for it in flat(own_rules(render(CHART, REMEDY))) - granted()}
    assert told("With `remediation.enabled`") == more


def test_without_remediation_nothing_of_it_is_there() -> None:
    text = yaml.safe_dump_all([it for it in render(CHART) if it["kind"] != "CustomResourceDefinition"])
    assert "remedy" not in text and "mutations" not in text.replace("mutations.core.k8sgpt.ai", "")
    assert "ASYA_ANALYSIS_REMEDIATION" not in text


def test_nobody_is_given_the_right_to_approve() -> None:
    rendered = render(CHART, REMEDY)
    may = [it for it in rendered.kind("ClusterRole") + rendered.kind("Role") if "approve" in str(it["rules"])]
    assert [it["metadata"]["name"] for it in may] == ["asya-analysis-approver"]
    bound = {it["roleRef"]["name"] for it in rendered.kind("ClusterRoleBinding") + rendered.kind("RoleBinding")}
    assert "asya-analysis-approver" not in bound
    for role in rendered.kind("ClusterRole") + rendered.kind("Role"):
        assert "*" not in str(role["rules"]), role["metadata"]["name"]


def test_the_operator_holds_or_binds_what_remedy_gets() -> None:
    held = {it[:3] for it in flat(own_rules(render(CHART, REMEDY)))}
    for verb in ("get", "create", "patch", "delete"):
        assert ("core.k8sgpt.ai", "mutations", verb) in held
    assert ("core.k8sgpt.ai", "mutations/status", "patch") in held
    changes = flat(render(CHART, REMEDY).one("ClusterRole", "asya-analysis-remedy")["rules"])
    assert {it[1] for it in changes} == {"pods", "services", "deployments", "ingresses"}
    assert {it[2] for it in changes} == {"get", "patch"}


def test_the_policy_is_the_one_that_remedy_was_built_with() -> None:
    """It compares the specs, and changes nothing where they differ."""
    path = ROOT / "crds/remedy/approval.yaml"
    assert (CHARTS / CHART / "files/remedy/approval.yaml").read_text() == path.read_text()
    rendered = render(CHART, REMEDY)
    for shipped in yaml.safe_load_all(path.read_text()):
        found = rendered.one(shipped["kind"], shipped["metadata"]["name"])
        assert found["apiVersion"] == shipped["apiVersion"] and found["spec"] == shipped["spec"]


def test_remediation_is_refused_where_no_policy_can_protect_it() -> None:
    with pytest.raises(RenderError, match=r"remediation.enabled needs Kubernetes 1\.30"):
        render(CHART, REMEDY, kube_version="1.29.8")
    assert render(CHART, REMEDY, kube_version="1.30.0-gke.1")
    assert "asya-analysis-approver" in notes(CHART, REMEDY) and "approver" not in notes(CHART)


def test_rights_of_listed_namespaces_stay_there() -> None:
    rendered = render(CHART, {"watchNamespaces": ["a"]})
    wide = {resource for _, resource, _, _ in flat(rendered.one("ClusterRole", CLUSTER)["rules"])}
    assert wide == {"clusterrolebindings", "rolebindings", "clusterroles", "deployments"}
    assert flat(rendered.one("Role", CLUSTER)["rules"]) | flat(own_rules(rendered)) == granted()


def test_the_lease_is_its_own() -> None:
    rules = flat(render(CHART).one("Role", f"{NAME}-self")["rules"])
    named = {names for _, _, verb, names in rules if verb != "create"}
    assert named == {("asya-analysis.asya.sh",)}


def test_every_binding_names_a_role_and_an_account_that_exist() -> None:
    for values in ({}, {"watchNamespaces": ["a"]}):
        rendered = render(CHART, values)
        for binding in rendered.kind("RoleBinding") + rendered.kind("ClusterRoleBinding"):
            assert rendered.has(binding["roleRef"]["kind"], binding["roleRef"]["name"]), binding["metadata"]["name"]
            assert all(rendered.has("ServiceAccount", it["name"]) for it in binding["subjects"])


def test_the_page_shows_the_rules_for_another_cluster() -> None:
    """The page has them to be read; the chart has them to be applied."""
    block = next(
        yaml.safe_load(it)
        for it in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.S)
        if "kind: ClusterRole\n" in it
    )
    assert block["rules"] == watch_rules(render(CHART))
    assert block["metadata"]["name"] == "asya-analysis-watch"


def test_the_page_of_the_watcher_gives_the_same_rights() -> None:
    text = (ROOT / "docs/actors/k8s-watch.md").read_text()
    assert "charts/asya-analysis" in text and '"*"' not in text


def test_the_hook_applies_the_crds_of_analysis_and_only_these() -> None:
    rendered = render(CHART)
    job = rendered.one("Job", f"{NAME}-crds")["spec"]["template"]["spec"]["containers"][0]
    assert job["args"] == ["crds", "apply", "--analysis"]
    names = [
        it for rule in rendered.one("ClusterRole", f"{CLUSTER}-crds")["rules"] for it in rule.get("resourceNames", [])
    ]
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("core.k8sgpt.ai_*.yaml")]
    assert sorted(names) == sorted(it["metadata"]["name"] for it in crds)
    assert render("asya-operator").one("Job", "asya-operator-crds")["spec"]["template"]["spec"]["containers"][0][
        "args"
    ] == ["crds", "apply"], "nobody gets these kinds by an upgrade of the operator"


def test_notes_say_what_every_namespace_needs_and_install_nothing() -> None:
    said = notes(CHART)
    assert "EVERY namespace" in said
    assert "create secret generic asya-analysis-database" in said and "--from-literal=url=postgres://" in said
    assert "NoDatabase" in said and "kind: K8sGPT" in said
    assert not render(CHART).has("K8sGPT")
    manifest = re.search(r"<<END\n(.*?)\n  END", said, flags=re.S)[1]
    assert yaml.safe_load(manifest)["spec"] == {}
    other = notes(CHART, {"database": {"existingSecret": "pg", "key": "address"}})
    assert "create secret generic pg" in other and "--from-literal=address=" in other


def test_notes_say_when_there_are_no_actors() -> None:
    assert "chart asya-operator" in notes(CHART)
    assert "chart asya-operator" not in notes(CHART, apis=("asya.sh/v1alpha1/AsyncActor",))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"analysis": {"secrets": "all"}}, "secrets"),
        ({"remediation": {"kinds": ["Secret"]}}, "kinds"),
        ({"database": {"existingSecret": ""}}, "existingSecret"),
        ({"actors": {"image": ""}}, "image"),
        ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
        ({"controllerManager": {"manager": {"imge": {}}}}, "imge"),
        ({"replicas": 2}, "replicas"),
    ],
)
def test_wrong_value_is_refused_with_its_name(values: Object, sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence):
        render(CHART, values)


def test_the_umbrella_has_it_off_and_ready() -> None:
    trial: Object = {"trialBroker": {"enabled": True}}
    assert not render("asya", trial).has("ClusterRole", "asya-analysis-watch")
    rendered = render("asya", {**trial, "asya-analysis": {"enabled": True}}, release="asya", namespace="asya")
    assert rendered.one("Deployment", "asya-asya-analysis")
    assert not rendered.has("K8sGPT")


def test_one_file_shows_the_role_for_another_cluster() -> None:
    """As the page says it."""
    line = next(it for it in PAGE.read_text().replace("\\\n", " ").splitlines() if "--show-only" in it)
    command = line.split("|")[0].split()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (role,) = [it for it in yaml.safe_load_all(done.stdout) if it]
    assert role["kind"] == "ClusterRole" and role["rules"] == watch_rules(render(CHART))


PAGES = [PAGE, ROOT / "docs/analysis/k8sgpt.md"]


def manifests() -> list[Object]:
    """Every K8sGPT that a page tells people to apply."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"<< EOF\n(.*?)^EOF", text, flags=re.S | re.M)
        blocks += re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
        found += [it for it in map(yaml.safe_load, blocks) if it["kind"] == "K8sGPT"]
    return found


def test_manifests_of_the_pages_are_valid() -> None:
    crd = yaml.safe_load((ROOT / "crds/core.k8sgpt.ai_k8sgpts.yaml").read_text())
    schema = strict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    assert len(manifests()) == 5
    for manifest in manifests():
        jsonschema.validate(manifest["spec"], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sinkz": []}, schema)


def test_helm_commands_of_the_page_render() -> None:
    lines = PAGE.read_text().replace("\\\n", " ").splitlines()
    commands = [shlex.split(it) for it in lines if re.match(r"helm (install|upgrade) ", it)]
    assert len(commands) == 3
    for words in commands:
        assert words[3] == f"charts/{CHART}"
        sets = tuple(it for before, it in itertools.pairwise(words) if before == "--set")
        assert render(CHART, sets=sets, apis=OPTIONAL_APIS)


@pytest.mark.parametrize("page", PAGES, ids=lambda it: it.name)
def test_links_of_the_pages_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.M)
            ids = {"#" + re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in titles}
            assert heading in ids, f"{target}{heading}"


def test_copies_of_the_crds_are_fresh() -> None:
    for path in (ROOT / "crds").glob("core.k8sgpt.ai_*.yaml"):
        assert (CHARTS / CHART / "files/crds" / path.name).read_text() == path.read_text()
    assert {it.name for it in Path(CHARTS / "asya-operator/files/crds").iterdir()} == {
        "asya.sh_agents.yaml",
        "asya.sh_asyncactors.yaml",
    }
