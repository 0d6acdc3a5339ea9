use super::*;

const GOOD: &str = "apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nmetadata: {name: NAME}\nspec:\n  transport: rabbitmq\n  handler: a.b\n";

fn loaded(files: &[(&str, &str)]) -> (Loaded, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    (load(&[directory.path().to_owned()]), directory)
}

#[test]
fn an_agent_that_the_operator_would_not_run_is_an_error_with_its_place() {
    let model = "{provider: ollama, name: m, baseUrl: 'http://o'}";
    let agent = |tools: &str| {
        format!(
            "apiVersion: asya.sh/v1alpha1\nkind: Agent\nmetadata: {{name: ops}}\nspec:\n  transport: t\n  prompt: p\n  model: {model}\n  tools: {tools}\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ops.yaml");
    let all = |tools: &str| {
        std::fs::write(&file, agent(tools)).unwrap();
        load(&[directory.path().to_owned()])
    };
    let good = all("{allow: [k8s_read]}");
    assert_eq!((good.agents[0].name(), good.findings.len()), ("ops", 0));
    for (tools, path) in [
        ("{allow: [k8s_write]}", "spec.tools.allow"),
        ("{allow: [k8s_raed]}", "spec.tools.allow"),
        ("{allowed: []}", "spec.tools.allowed"),
    ] {
        let bad = all(tools);
        assert_eq!((bad.findings.len(), bad.agents.len()), (1, 0), "{:?}", bad.findings);
        assert!(bad.findings[0].is_error() && bad.findings[0].path == path, "{:?}", bad.findings);
    }
}

#[test]
fn texts_for_agents_come_from_config_maps_beside_them() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: prompts}\ndata: {ops: Look first.}\n";
    let (loaded, _kept) = loaded(&[("1.yaml", &GOOD.replace("NAME", "a")), ("prompts.yaml", map)]);
    assert_eq!(loaded.texts[&("prompts".to_owned(), "ops".to_owned())], "Look first.");
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
}

#[test]
fn several_documents_and_files_are_read_and_others_are_passed_over() {
    let two = format!("{}---\n{}", GOOD.replace("NAME", "a"), GOOD.replace("NAME", "b"));
    let three = GOOD.replace("NAME", "c");
    let (loaded, _kept) =
        loaded(&[("1.yaml", &two), ("2.yml", &three), ("values.yaml", "x: 1"), ("n.txt", "")]);
    let names: Vec<_> = loaded.actors.iter().map(Manifest::name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
}

#[test]
fn an_analysis_is_checked_where_it_is_asked_for() {
    let analysis = "apiVersion: core.k8sgpt.ai/v1alpha1\nkind: K8sGPT\nmetadata: {name: sample}\nspec: {version: v0.3.41}\n";
    let (here, kept) = loaded(&[("1.yaml", &GOOD.replace("NAME", "a")), ("2.yaml", analysis)]);
    assert!(here.analyses.is_empty() && here.findings.is_empty(), "{:?}", here.findings);
    let all = load_all(&[kept.path().to_owned()]);
    assert_eq!((all.actors.len(), all.analyses), (1, vec!["sample".to_owned()]));
    assert!(all.findings[0].path == "spec.repository" && !all.findings[0].is_error(), "{:?}", all.findings);
    let wrong = analysis.replace("{version: v0.3.41}", "{suppress: [{}]}");
    std::fs::write(kept.path().join("2.yaml"), wrong).unwrap();
    let all = load_all(&[kept.path().to_owned()]);
    assert!(all.has_errors() && all.analyses.is_empty(), "{:?}", all.findings);
}

#[test]
fn a_problem_is_reported_with_its_line() {
    let text = format!("{}  scaling:\n    minReplica: 1\n", GOOD.replace("NAME", "a"));
    let (loaded, _kept) = loaded(&[("1.yaml", &text)]);
    assert!(loaded.actors.is_empty() && loaded.has_errors());
    assert_eq!((loaded.findings[0].line, loaded.findings[0].column), (8, 5));
}

#[test]
fn a_file_of_a_directory_that_is_no_yaml_is_an_error() {
    let (loaded, _kept) = loaded(&[("1.yaml", &GOOD.replace("NAME", "a")), ("2.yaml", "kind: x\n foo: [")]);
    assert_eq!(loaded.actors.len(), 1);
    assert_eq!(loaded.findings.len(), 1, "{:?}", loaded.findings);
    assert!(loaded.findings[0].file.ends_with("2.yaml"), "{:?}", loaded.findings);
    assert!(
        !loaded.findings[0].message.contains(" at line "),
        "the place is said once: {:?}",
        loaded.findings
    );
}

#[test]
fn a_name_that_is_used_twice_is_an_error() {
    let text = GOOD.replace("NAME", "a");
    let (loaded, _kept) = loaded(&[("1.yaml", &text), ("2.yaml", &text)]);
    assert!(loaded.findings[0].message.contains("also the name"), "{:?}", loaded.findings);
}

#[test]
fn what_a_sidecar_would_refuse_or_not_know_is_found_with_its_place() {
    let env = |list: &str| format!("{}  sidecar: {{env: [{list}]}}\n", GOOD.replace("NAME", "a"));
    let of = |list: &str| loaded(&[("1.yaml", &env(list))]).0;
    let bad = of("{name: X, value: '1'}, {name: ASYA_APPROVED_ONLY, value: maybe}");
    let [finding] = &bad.findings[..] else { panic!("{:?}", bad.findings) };
    assert!(finding.is_error() && finding.line == 7 && bad.actors.is_empty(), "{finding:?}");
    assert_eq!(finding.path, "spec.sidecar.env[1].value");
    assert_eq!(finding.message, "ASYA_APPROVED_ONLY: \"maybe\" must be true or false");
    let odd = of("{name: ASYA_APROVED_ONLY, value: 'true'}");
    let [finding] = &odd.findings[..] else { panic!("{:?}", odd.findings) };
    assert!(!finding.is_error() && odd.actors.len() == 1, "{finding:?}");
    assert_eq!(finding.message, "no sidecar reads ASYA_APROVED_ONLY: it is passed over");
    for good in [
        "{name: ASYA_APPROVED_ONLY, value: maybe}, {name: ASYA_APPROVED_ONLY, value: 'true'}",
        "{name: ASYA_GRACE, value: $(GRACE)}",
        "{name: ASYA_GRACE, valueFrom: {configMapKeyRef: {name: c, key: k}}}",
        "{name: ASYA_RUNTIME, value: http}, {name: ASYA_TRANSPORT, value: local}",
        "{name: ASYA_SQS_SECRET_ACCESS_KEY_FILE, value: /f}, {name: ASYA_HANDLER_MODE, value: envelope}",
        "{name: ASYA_PAYLOAD_STORE, value: 'file:///proc/no'}, {name: OTHER, value: ''}",
    ] {
        assert!(of(good).findings.is_empty(), "{good}");
    }
}

#[test]
fn what_only_a_sidecar_reads_is_found_among_the_handlers_variables() {
    let of = |more: &str| {
        let loaded = loaded(&[("1.yaml", &format!("{}{more}\n", GOOD.replace("NAME", "a")))]).0;
        assert!(!loaded.has_errors() && loaded.actors.len() == 1, "{:?}", loaded.findings);
        loaded
            .findings
            .into_iter()
            .map(|finding| (finding.line, finding.path, finding.message))
            .collect::<Vec<_>>()
    };
    let only =
        |name: &str| format!("{name} means something in spec.sidecar.env only: no sidecar reads it here");
    let rule = "{name: ASYA_APPROVED_ONLY, value: 'true'}";
    let found = of(&format!("  env:\n  - {{name: X, value: '1'}}\n  - {rule}"));
    assert_eq!(found, [(9, "spec.env[1].name".to_owned(), only("ASYA_APPROVED_ONLY"))]);
    let container = "{name: asya-runtime, env: [{name: ASYA_IS_END_ACTOR, value: 'true'}]}";
    let image = container.replace("env:", "image: mine, env:");
    let other = container.replace("asya-runtime", "beside");
    let found = of(&format!("  workload: {{template: {{spec: {{containers: [{other}, {container}]}}}}}}"));
    let place = "spec.workload.template.spec.containers[1].env[0].name".to_owned();
    assert_eq!(found, [(7, place, only("ASYA_IS_END_ACTOR"))]);
    for good in [
        format!(
            "  embedded: true\n  env: [{rule}]\n  workload: {{template: {{spec: {{containers: [{image}]}}}}}}"
        ),
        format!("  env: [{rule}]\n  sidecar: {{env: [{rule}]}}"),
        "  env: [{name: ASYA_HANDLER_MODE, value: envelope}, {name: ASYA_CONCURRENCY, value: '2'}]"
            .to_owned(),
        "  env: [{name: ASYA_LOG_LEVEL, value: DEBUG}, {name: ASYA_GATEWAY_URL, value: 'http://g'}]"
            .to_owned(),
    ] {
        assert_eq!(of(&good), [], "{good}");
    }
}
