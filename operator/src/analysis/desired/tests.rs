//! What manifests become, as tables.

use asya_resources::k8sgpt::{K8sGptSpec, K8sGptStatus, kubeconfig};
use serde_json::{Map, Value, from_value, json};

use super::{Wanted, Watched, watch};
use crate::analysis::{
    config::{Config, Options},
    subject::Subject,
};

const CONFIG: &str = "YXBpVmVyc2lvbjogdjEK";

pub(super) fn subject(spec: Value) -> Subject {
    Subject {
        name: "gpt".to_owned(),
        namespace: "ops".to_owned(),
        uid: "uid-1".to_owned(),
        generation: 1,
        spec: from_value::<K8sGptSpec>(spec).unwrap(),
        status: K8sGptStatus::default(),
        deleting: false,
        finalizer: false,
        writer: None,
    }
}

/// What a manifest becomes where changes may be proposed.
pub(super) fn made(spec: Value, watched: &Watched) -> Vec<Value> {
    let options = Options { remediation: Some("true".to_owned()), ..Options::default() };
    let config = Config::read(options).unwrap();
    Wanted { subject: &subject(spec), config: &config, watched, keda: false, custom_until: None }.objects()
}

pub(super) fn names(objects: &[Value], kind: &str) -> Vec<String> {
    let of_kind = objects.iter().filter(|object| object["kind"] == kind);
    of_kind.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

pub(super) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name).expect(name)
}

pub(super) fn container(objects: &[Value], actor: &str) -> Value {
    find(objects, "AsyncActor", actor)["spec"]["workload"]["template"]["spec"]["containers"][0].clone()
}

/// Plain variables as texts, others as `SECRET/KEY`.
pub(super) fn env(spec: Value, actor: &str) -> Map<String, Value> {
    variables(&made(spec, &Watched::Here), actor)
}

pub(super) fn variables(objects: &[Value], actor: &str) -> Map<String, Value> {
    let variables = container(objects, actor)["env"].as_array().unwrap().clone();
    let text = |variable: &Value| match variable["value"].as_str() {
        Some(value) => value.to_owned(),
        None => {
            let from = &variable["valueFrom"]["secretKeyRef"];
            format!("{}/{}", from["name"].as_str().unwrap(), from["key"].as_str().unwrap())
        }
    };
    variables.iter().map(|it| (it["name"].as_str().unwrap().to_owned(), json!(text(it)))).collect()
}

#[track_caller]
pub(super) fn has(env: &Map<String, Value>, wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert_eq!(env.get(*name).and_then(Value::as_str), Some(*value), "{name} in {env:#?}");
    }
}

/// Another cluster.
pub(super) fn remote() -> Watched {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://far.example", "certificate-authority-data": CONFIG}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
    });
    Watched::Remote(kubeconfig::read(&config).unwrap())
}

pub(super) fn ai(mut fields: Value) -> Value {
    fields["enabled"] = json!(true);
    json!({"ai": fields})
}

pub(super) fn local() -> Value {
    ai(json!({"backend": "localai", "baseUrl": "http://l/v1"}))
}

#[test]
fn the_simplest_manifest_becomes_four_actors_with_two_accounts() {
    let objects = made(json!({}), &Watched::Here);
    assert_eq!(names(&objects, "AsyncActor"), ["gpt-watch", "gpt-analyze", "gpt-findings", "gpt-results"]);
    assert_eq!(names(&objects, "ServiceAccount"), ["gpt-watch", "gpt-results"]);
    assert_eq!(names(&objects, "ClusterRoleBinding"), ["asya-analysis:ops:gpt"]);
    assert_eq!(names(&objects, "Role"), ["gpt-watch", "gpt-results"]);
    has(
        &env(json!({}), "gpt-watch"),
        &[
            ("ASYA_WATCH_CLUSTER", "ops.gpt"),
            ("ASYA_WATCH_ROUTE", "gpt-analyze,gpt-findings,gpt-results"),
            ("ASYA_WATCH_LEASE", "gpt-watch"),
            ("ASYA_WATCH_K8SGPT", "gpt"),
            ("ASYA_WATCH_UID", "uid-1"),
            ("ASYA_WATCH_RESYNC", "600s"),
        ],
    );
    has(
        &env(json!({}), "gpt-findings"),
        &[("ASYA_DATABASE_URL", "asya-analysis-database/url"), ("ASYA_FINDINGS_GRACE", "30s")],
    );
    has(
        &env(json!({}), "gpt-results"),
        &[
            ("ASYA_DATABASE_URL", "asya-analysis-database/url"),
            ("ASYA_RESULTS_K8SGPT", "gpt"),
            ("ASYA_RESULTS_NAMESPACE", "ops"),
            ("ASYA_RESULTS_UID", "uid-1"),
        ],
    );
}

#[test]
fn every_actor_is_one_that_the_operator_takes() {
    let spec = json!({
        "ai": {"enabled": true, "backend": "localai", "baseUrl": "http://l/v1", "autoRemediation": {"enabled": true}},
        "sink": {"webhook": "http://hook"}, "podLabels": {"a": "b"},
        "customAnalyzers": [{"name": "mine", "connection": {"url": "mine.svc", "port": 8085}}],
        "podTemplate": {"tolerations": [{"key": "gpu", "operator": "Exists"}], "priorityClassName": "high"},
    });
    let objects = made(spec, &Watched::Here);
    let parts = ["watch", "analyze", "findings", "results", "explain", "remedy", "notify", "custom"];
    assert_eq!(names(&objects, "AsyncActor"), parts.map(|part| format!("gpt-{part}")));
    for actor in objects.iter().filter(|object| object["kind"] == "AsyncActor") {
        let problems: Vec<_> = asya_resources::check(actor)
            .into_iter()
            .filter(|problem| problem.severity == asya_resources::Severity::Error)
            .map(|problem| problem.message)
            .collect();
        assert_eq!(problems, Vec::<String>::new(), "{actor:#}");
        assert_eq!(actor["spec"]["embedded"], true);
        assert_eq!(actor["metadata"]["ownerReferences"][0]["uid"], "uid-1");
        let pod = &actor["spec"]["workload"]["template"]["spec"];
        assert_eq!(pod["priorityClassName"], "high");
        assert_eq!(pod["tolerations"][0]["key"], "gpu");
        let talks =
            ["gpt-watch", "gpt-results", "gpt-remedy"].contains(&actor["metadata"]["name"].as_str().unwrap());
        assert_eq!(pod["automountServiceAccountToken"], talks, "{}", actor["metadata"]["name"]);
    }
}

#[test]
fn results_stand_before_and_after_the_model() {
    let mut spec = local();
    spec["sink"] = json!({"webhook": "http://hook"});
    let route = env(spec, "gpt-watch")["ASYA_WATCH_ROUTE"].clone();
    assert_eq!(route, "gpt-analyze,gpt-findings,gpt-results,gpt-explain,gpt-results,gpt-notify");
}

#[test]
fn namespaces_that_are_named_need_rights_there_only() {
    let named = made(json!({"targetNamespaces": {"include": ["b", "a"]}}), &Watched::Here);
    assert_eq!(names(&named, "ClusterRoleBinding"), Vec::<String>::new());
    let abroad: Vec<_> = named
        .iter()
        .filter(|object| object["metadata"]["name"] == "asya-analysis:ops:gpt")
        .map(|binding| binding["metadata"]["namespace"].as_str().unwrap())
        .collect();
    assert_eq!(abroad, ["a", "b"]);
    let table = [
        (json!({"targetNamespace": "a"}), Some("a"), None),
        (json!({"targetNamespaces": {"include": ["b", "a"]}}), Some("a,b"), None),
        (
            json!({"targetNamespaces": {"include": ["team-*"], "exclude": ["team-x"]}}),
            Some("team-*"),
            Some("team-x"),
        ),
        (json!({"targetNamespaces": {"exclude": ["kube-*"]}}), None, Some("kube-*")),
        (json!({"targetNamespace": "a", "targetNamespaces": {"exclude": ["a"]}}), Some("a"), Some("a")),
        (json!({"targetNamespaces": {"include": ["a"], "exclude": ["a"]}}), Some("a"), Some("a")),
        (json!({"targetNamespace": ""}), None, None),
    ];
    for (spec, include, exclude) in table {
        let env = env(spec.clone(), "gpt-watch");
        assert_eq!(env.get("ASYA_WATCH_NAMESPACES").and_then(Value::as_str), include, "{spec}");
        assert_eq!(env.get("ASYA_WATCH_EXCLUDE_NAMESPACES").and_then(Value::as_str), exclude, "{spec}");
    }
}

#[test]
fn a_remote_cluster_gets_no_rights_here_and_its_kubeconfig_is_the_watchers_alone() {
    let watched = remote();
    let spec = json!({"kubeconfig": {"name": "far"}});
    let objects = made(spec.clone(), &watched);
    assert_eq!(names(&objects, "Secret"), ["gpt-watch-kubeconfig"]);
    assert!(names(&objects, "ClusterRoleBinding").is_empty());
    assert!(objects.iter().all(|object| object["metadata"]["namespace"] == "ops"), "all of it is here");
    let mounting: Vec<_> = objects
        .iter()
        .filter(|object| object.to_string().contains(watch::KUBECONFIG_DIR))
        .map(|object| object["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(mounting, ["gpt-watch"]);
    let refused = made(spec, &Watched::Nothing);
    assert_eq!(names(&refused, "AsyncActor"), ["gpt-analyze", "gpt-findings", "gpt-results"]);
    assert!(names(&refused, "Secret").is_empty() && names(&refused, "ClusterRoleBinding").is_empty());
}

#[test]
fn the_model_gets_what_the_manifest_says() {
    let secret = json!({"name": "s", "key": "k"});
    let table = [
        (
            json!({"secret": secret, "model": "gpt-3.5-turbo", "proxyEndpoint": "http://p:3128", "language": "german",
                   "backOff": {"enabled": true, "maxRetries": 7}, "customHeaders": "X-Team: sre,bad",
                   "maxTokens": "512", "providerId": "org", "budget": {"callsPerDay": 10, "tokensPerDay": 20},
                   "rate": {"concurrent": 2}}),
            vec![
                ("ASYA_LLM_BACKEND", "openai"),
                ("ASYA_LLM_MODEL", "gpt-3.5-turbo"),
                ("ASYA_LLM_API_KEY", "s/k"),
                ("ASYA_LLM_PROXY", "http://p:3128"),
                ("ASYA_EXPLAIN_LANGUAGE", "german"),
                ("ASYA_LLM_BREAK_AFTER", "7"),
                ("ASYA_LLM_HEADERS", "X-Team:sre"),
                ("ASYA_LLM_MAX_TOKENS", "512"),
                ("ASYA_LLM_TOP_K", "50"),
                ("ASYA_LLM_ORGANIZATION", "org"),
                ("ASYA_LLM_BUDGET_CALLS", "10"),
                ("ASYA_LLM_BUDGET_TOKENS", "20"),
                ("ASYA_LLM_CONCURRENCY", "2"),
            ],
        ),
        (
            json!({"backend": "azureopenai", "secret": secret, "baseUrl": "https://a", "engine": "llm", "azureAPIType": "AZURE_AD"}),
            vec![
                ("ASYA_LLM_AZURE_DEPLOYMENT", "llm"),
                ("ASYA_LLM_AZURE_API_TYPE", "AZURE_AD"),
                ("ASYA_LLM_BASE_URL", "https://a"),
            ],
        ),
        (
            json!({"backend": "amazonbedrock", "secret": {"name": "s"}, "region": "eu-central-1"}),
            vec![
                ("ASYA_LLM_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "s/AWS_ACCESS_KEY_ID"),
                ("AWS_SECRET_ACCESS_KEY", "s/AWS_SECRET_ACCESS_KEY"),
            ],
        ),
        (json!({"backend": "localai", "baseUrl": "http://l/v1"}), vec![("ASYA_LLM_BASE_URL", "http://l/v1")]),
    ];
    for (fields, wanted) in table {
        has(&env(ai(fields), "gpt-explain"), &wanted);
    }
}

#[test]
fn a_model_that_cannot_answer_is_left_out_and_findings_go_on() {
    let secret = json!({"name": "s", "key": "k"});
    let wrong = [
        json!({}),
        json!({"secret": {"name": "s"}}),
        json!({"backend": "amazonbedrock"}),
        json!({"backend": "bedrockmantle", "region": "r", "secret": {"name": "s"}}),
        json!({"backend": "azureopenai", "secret": secret}),
        json!({"backend": "customrest"}),
        json!({"backend": "ollama"}),
        json!({"backend": "googlevertexai", "secret": secret}),
    ];
    for fields in wrong {
        let objects = made(ai(fields.clone()), &Watched::Here);
        assert!(!names(&objects, "AsyncActor").contains(&"gpt-explain".to_owned()), "{fields}");
        assert!(!objects.iter().any(|object| object.to_string().contains("gpt-explain")), "{fields}");
    }
}

#[test]
fn the_role_of_aws_is_that_of_those_that_call_the_model() {
    let mut spec = ai(json!({"backend": "amazonbedrock", "region": "r"}));
    spec["ai"]["autoRemediation"] = json!({"enabled": true});
    spec["extraOptions"] = json!({"serviceAccountIRSA": "arn:aws:iam::1:role/x"});
    let objects = made(spec, &Watched::Here);
    for account in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
        let role = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].as_str();
        let name = account["metadata"]["name"].as_str().unwrap();
        let asks = ["gpt-explain", "gpt-remedy"].contains(&name);
        assert_eq!(role, asks.then_some("arn:aws:iam::1:role/x"));
    }
}

#[test]
fn remote_caches_become_places_with_credentials_by_reference() {
    let with = |cache: Value| {
        let mut spec = local();
        spec["remoteCache"] = cache;
        env(spec, "gpt-explain")
    };
    let secret = json!({"name": "c"});
    has(
        &with(json!({"credentials": secret, "s3": {"bucketName": "b", "region": "r"}})),
        &[
            ("ASYA_EXPLAIN_CACHE_URL", "s3://b"),
            ("AWS_REGION", "r"),
            ("AWS_ACCESS_KEY_ID", "c/aws_access_key_id"),
            ("AWS_SECRET_ACCESS_KEY", "c/aws_secret_access_key"),
        ],
    );
    has(
        &with(json!({"credentials": secret, "azure": {"storageAccount": "a", "containerName": "n"}})),
        &[
            ("ASYA_EXPLAIN_CACHE_URL", "az://n"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
            ("AZURE_CLIENT_ID", "c/azure_client_id"),
            ("AZURE_TENANT_ID", "c/azure_tenant_id"),
            ("AZURE_CLIENT_SECRET", "c/azure_client_secret"),
        ],
    );
    has(
        &with(json!({"gcs": {"bucketName": "b", "region": "r", "projectId": "p"}})),
        &[("ASYA_EXPLAIN_CACHE_URL", "gs://b")],
    );
    let interplex = with(json!({"interplex": {"endpoint": "i:8084"}}));
    assert!(!interplex.contains_key("ASYA_EXPLAIN_CACHE_URL"));
    let mut bypassed = local();
    bypassed["noCache"] = json!(true);
    bypassed["remoteCache"] = json!({"s3": {"bucketName": "b", "region": "r"}});
    let bypassed = env(bypassed, "gpt-explain");
    assert!(!bypassed.contains_key("ASYA_EXPLAIN_CACHE_URL"));
    has(&bypassed, &[("ASYA_EXPLAIN_CACHE_KEEP", "1m")]);
}

#[test]
fn sinks_have_their_secrets_by_reference() {
    let secret = json!({"name": "s", "key": "k"});
    let spec = json!({
        "sink": {"type": "slack", "webhook": "https://hooks/secret"},
        "sinks": [
            {"name": "chat", "type": "mattermost", "secret": secret, "channel": "ops", "batch": {"max": 5, "wait": 3},
             "rate": {"perMinute": 30}, "minSeverity": "error", "resolved": false},
            {"name": "pager", "type": "pagerduty", "secret": secret},
            {"name": "tickets", "type": "webhook", "webhook": "https://t", "template": "{}",
             "headersFrom": {"Authorization": secret}},
            {"name": "half", "type": "teams", "secret": {"name": "s"}},
        ],
    });
    let env = env(spec.clone(), "gpt-notify");
    has(
        &env,
        &[
            ("ASYA_SINK_0", "https://hooks/secret"),
            ("ASYA_SINK_1", "s/k"),
            ("ASYA_SINK_2", "s/k"),
            ("ASYA_SINK_3_HEADER_0", "s/k"),
        ],
    );
    let told: Value = serde_json::from_str(env["ASYA_NOTIFY_SINKS"].as_str().unwrap()).unwrap();
    assert_eq!(
        told,
        json!([
            {"name": "spec-sink-", "type": "slack", "resolved": true, "url": {"env": "ASYA_SINK_0"}},
            {"name": "chat", "type": "mattermost", "resolved": false, "url": {"env": "ASYA_SINK_1"}, "channel": "ops",
             "batch": {"window": "3s", "most": 5}, "pace": "2000ms", "minSeverity": "error"},
            {"name": "pager", "type": "pagerduty", "resolved": true, "routingKey": {"env": "ASYA_SINK_2"}},
            {"name": "tickets", "type": "webhook", "resolved": true, "url": "https://t", "template": "{}",
             "headers": {"Authorization": {"env": "ASYA_SINK_3_HEADER_0"}}},
        ])
    );
    let sinks = super::sinks::read(&subject(spec).spec);
    assert_eq!(sinks.incomplete, ["spec.sinks \"half\""]);
}

#[test]
fn analyzers_are_deltas_and_never_read_logs() {
    let names = |spec: Value| {
        env(spec, "gpt-watch").get("ASYA_WATCH_ANALYZERS").map(|it| it.as_str().unwrap().to_owned())
    };
    assert_eq!(names(json!({})), None);
    assert_eq!(names(json!({"filters": ["ingress", "Pod", "Log"]})).as_deref(), Some("Ingress,Pod"));
    assert_eq!(
        names(json!({"filters": ["Pod", "Node"], "analyzers": {"disable": ["Node"]}})).as_deref(),
        Some("Pod")
    );
    assert!(names(json!({"analyzers": {"enable": ["HorizontalPodAutoscaler"]}})).unwrap().contains("Pod"));
    assert_eq!(
        names(json!({"filters": ["Pods"]})),
        None,
        "a misspelt name is said, and the default ones run"
    );
    assert!(watch::analyzers(&subject(json!({"filters": ["Pods"]})).spec).is_err());
}

#[test]
fn prompts_are_files_from_the_manifest_and_from_config_maps() {
    let mut spec = local();
    spec["prompts"] = json!([
        {"kind": "*", "text": "why? {evidence}"},
        {"kind": "Pod", "configMap": {"name": "texts", "key": "pod"}},
        {"kind": "Node", "text": "nothing to see"},
    ]);
    let objects = made(spec.clone(), &Watched::Here);
    assert_eq!(find(&objects, "ConfigMap", "gpt-prompts")["data"], json!({"default.md": "why? {evidence}"}));
    let pod = &find(&objects, "AsyncActor", "gpt-explain")["spec"]["workload"]["template"]["spec"];
    assert_eq!(
        pod["volumes"][0]["projected"]["sources"],
        json!([
            {"configMap": {"name": "gpt-prompts"}},
            {"configMap": {"name": "texts", "items": [{"key": "pod", "path": "Pod.md"}]}},
        ])
    );
    has(&env(spec, "gpt-explain"), &[("ASYA_EXPLAIN_PROMPTS", super::prompts::DIR)]);
}

#[test]
fn images_and_pods_are_as_the_manifest_says_where_it_may() {
    let original = json!({"repository": "ghcr.io/k8sgpt-ai/k8sgpt", "version": "v0.3.41"});
    assert_eq!(container(&made(original, &Watched::Here), "gpt-watch")["image"], "asya-crew:latest");
    let own = json!({"repository": "reg/crew", "version": "v2", "imageOverride": true, "imagePullPolicy": "Always",
                     "imagePullSecrets": [{"name": "reg"}], "resources": {"limits": {"cpu": 10}},
                     "containerSecurityContext": {"runAsUser": 7}, "nodeSelector": {"disk": "ssd"}});
    let objects = made(own, &Watched::Here);
    let one = container(&objects, "gpt-findings");
    assert_eq!((&one["image"], &one["imagePullPolicy"]), (&json!("reg/crew:v2"), &json!("Always")));
    assert_eq!(
        (&one["resources"]["limits"]["cpu"], &one["securityContext"]),
        (&json!(10), &json!({"runAsUser": 7}))
    );
    let pod = &find(&objects, "AsyncActor", "gpt-findings")["spec"]["workload"]["template"]["spec"];
    assert_eq!(
        (&pod["imagePullSecrets"][0]["name"], &pod["nodeSelector"]["disk"]),
        (&json!("reg"), &json!("ssd"))
    );
}

#[test]
fn only_the_step_that_computes_goes_to_zero_and_only_with_keda() {
    let config = Config::read(Options::default()).unwrap();
    let subject = subject(json!({}));
    let scaled = |keda: bool| {
        let watched = &Watched::Here;
        let objects = Wanted { subject: &subject, config: &config, watched, keda, custom_until: None };
        let objects = objects.objects();
        let actors = objects.iter().filter(|object| object["kind"] == "AsyncActor");
        actors.filter(|actor| actor["spec"]["scaling"]["enabled"] == true).count()
    };
    assert_eq!((scaled(false), scaled(true)), (0, 1));
}

#[test]
fn the_selector_is_written_as_kubectl_takes_it() {
    let spec = json!({"labelSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "phase", "operator": "NotIn", "values": ["test"]},
        {"key": "owner", "operator": "Exists"}, {"key": "ignore", "operator": "DoesNotExist"},
    ]}});
    has(
        &env(spec, "gpt-watch"),
        &[("ASYA_WATCH_SELECTOR", "app=web,tier in (a,b),phase notin (test),owner,!ignore")],
    );
}
