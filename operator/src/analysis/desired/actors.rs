//! The AsyncActors, and the route between them.

use serde_json::{Value, json};

use super::{Wanted, Watched, custom, env::Env, model::Model, pod, prompts, remedy, sinks, watch};

/// Most replicas of the step that only computes.
const MOST_ANALYZE: u32 = 5;
/// Evaluations that one replica of it has before it: each takes milliseconds.
const ANALYZE_QUEUE: u32 = 100;

/// Where an object goes after the watcher: `results` stands before the model, so that findings appear at once, and after
/// it, so that they get their explanation; who proposes changes needs that explanation, too.
pub fn route(wanted: &Wanted<'_>) -> Vec<String> {
    let explains = matches!(Model::of(&wanted.subject.spec), Model::Explains(_));
    let tells = !sinks::read(&wanted.subject.spec).told.is_empty();
    let mut parts = vec!["analyze", "findings", "results"];
    if explains {
        parts.extend(["explain", "results"]);
    }
    if remedy::wanted(wanted).is_some() {
        parts.push("remedy");
    }
    if tells {
        parts.push("notify");
    }
    parts.into_iter().map(|part| wanted.subject.object(part)).collect()
}

/// One actor, apart from what all of them have.
struct Part {
    name: &'static str,
    handler: &'static str,
    env: Env,
    mounts: pod::Mounts,
    /// Whether its pods have an account of its own, and may talk to the API server with it.
    account: Option<pod::Account>,
    scales: bool,
}

impl Part {
    fn new(name: &'static str, handler: &'static str, env: Env) -> Self {
        Self { name, handler, env, mounts: pod::Mounts::default(), account: None, scales: false }
    }
}

/// All of them.
pub fn objects(wanted: &Wanted<'_>) -> Vec<Value> {
    let spec = &wanted.subject.spec;
    let remote = matches!(wanted.watched, Watched::Remote(_));
    let mut parts = Vec::new();
    if *wanted.watched != Watched::Nothing {
        parts.push(Part {
            account: Some(pod::Account { talks: true }),
            mounts: pod::Mounts { kubeconfig: remote, prompts: false },
            ..Part::new("watch", "asya_crew.k8s_watch", watch::env(wanted))
        });
    }
    parts.push(Part { scales: wanted.keda, ..Part::new("analyze", "asya_crew.k8s_analyze", Env::default()) });
    parts.push(Part::new("findings", "asya_crew.findings", findings(wanted)));
    parts.push(Part {
        account: Some(pod::Account { talks: true }),
        ..Part::new("results", "asya_crew.results", results(wanted))
    });
    if let Model::Explains(model) = Model::of(spec) {
        let mut env = explain(wanted);
        env.extend(model);
        env.extend(super::cache::env(spec));
        parts.push(Part {
            account: Some(pod::Account { talks: false }),
            mounts: pod::Mounts { kubeconfig: false, prompts: !prompts::used(spec).is_empty() },
            ..Part::new("explain", "asya_crew.explain", env)
        });
    }
    if let Some(remediation) = remedy::wanted(wanted) {
        parts.push(Part {
            account: Some(pod::Account { talks: true }),
            mounts: pod::Mounts { kubeconfig: remote, prompts: false },
            ..Part::new("remedy", "asya_crew.remedy", remedy::env(wanted, remediation))
        });
    }
    let told = sinks::read(spec);
    if !told.told.is_empty() {
        let mut env = with_database(wanted);
        env.plain("ASYA_NOTIFY_SINKS", Value::Array(told.told).to_string());
        env.extend(told.env);
        parts.push(Part::new("notify", "asya_crew.notify", env));
    }
    if let Some(env) = custom::env(wanted) {
        parts.push(Part::new(custom::PART, "asya_crew.custom", env));
    }
    parts.into_iter().map(|part| actor(wanted, part)).collect()
}

/// With the address of the database.
pub fn with_database(wanted: &Wanted<'_>) -> Env {
    let mut env = Env::default();
    env.secret("ASYA_DATABASE_URL", &wanted.config.database_secret, &wanted.config.database_key);
    env
}

fn findings(wanted: &Wanted<'_>) -> Env {
    let spec = &wanted.subject.spec;
    let mut env = with_database(wanted);
    env.plain("ASYA_FINDINGS_GRACE", format!("{}s", spec.analysis().grace().as_secs()));
    if !spec.suppress.is_empty() {
        env.plain("ASYA_FINDINGS_SUPPRESS", json!(spec.suppress).to_string());
    }
    if let Some(severity) = spec.min_severity {
        env.some("ASYA_FINDINGS_MIN_SEVERITY", json!(severity).as_str());
    }
    env
}

fn results(wanted: &Wanted<'_>) -> Env {
    let subject = wanted.subject;
    let mut env = with_database(wanted);
    env.plain("ASYA_RESULTS_K8SGPT", &subject.name);
    env.plain("ASYA_RESULTS_NAMESPACE", &subject.namespace);
    env.plain("ASYA_RESULTS_UID", &subject.uid);
    if let Some(ai) = subject.spec.ai.as_ref().filter(|ai| ai.enabled) {
        env.plain("ASYA_RESULTS_BACKEND", ai.backend.as_str());
    }
    let backstage = subject.spec.extra_options.as_ref().and_then(|options| options.backstage.as_ref());
    if backstage.is_some_and(|backstage| backstage.enabled) {
        env.plain("ASYA_RESULTS_BACKSTAGE", "true");
    }
    env
}

/// What `noCache` leaves of kept answers: long enough that a message which comes twice asks once.
const NO_CACHE_KEEP: &str = "1m";

fn explain(wanted: &Wanted<'_>) -> Env {
    let spec = &wanted.subject.spec;
    let mut env = with_database(wanted);
    env.some("ASYA_EXPLAIN_LANGUAGE", spec.ai.as_ref().map(|ai| ai.language.as_str()));
    if spec.no_cache {
        env.plain("ASYA_EXPLAIN_CACHE_KEEP", NO_CACHE_KEEP);
    }
    if !prompts::used(spec).is_empty() {
        env.plain("ASYA_EXPLAIN_PROMPTS", prompts::DIR);
    }
    env
}

fn actor(wanted: &Wanted<'_>, part: Part) -> Value {
    let subject = wanted.subject;
    let mut metadata = wanted.metadata(part.name);
    if let Some(until) = wanted.custom_until.filter(|_| part.name == custom::PART) {
        metadata["annotations"] = json!({custom::UNTIL: until});
    }
    for (field, own) in
        [("labels", &subject.spec.deployment_labels), ("annotations", &subject.spec.deployment_annotations)]
    {
        for (key, value) in own {
            // Our own labels are what this object is found by.
            if metadata[field].get(key).is_none() {
                metadata[field][key] = json!(value);
            }
        }
    }
    // The only container is the one that asks the broker, too: its account is what the broker knows it by.
    let shares = part.account.is_some();
    let account = part.account.map(|account| (subject.object(part.name), account));
    let template = pod::template(wanted, part.name, &part.mounts, account, part.env);
    let mut spec = json!({
        "transport": wanted.config.transport,
        "handler": part.handler,
        "embedded": true,
        "workload": {"kind": "Deployment", "template": template},
    });
    if shares {
        spec["workload"]["shareCloudIdentity"] = json!(true);
    }
    if part.scales {
        spec["scaling"] = json!({
            "enabled": true, "minReplicas": 0, "maxReplicas": MOST_ANALYZE, "queueLength": ANALYZE_QUEUE,
        });
    } else {
        spec["workload"]["replicas"] = json!(1);
    }
    json!({
        "apiVersion": asya_resources::API_VERSION,
        "kind": asya_resources::KIND,
        "metadata": metadata,
        "spec": spec,
    })
}
