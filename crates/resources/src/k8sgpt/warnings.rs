//! What a manifest says and what is done in another way: it is accepted, because the original accepts it, and told.

use super::{
    AutoRemediation, Backend, Image, K8sGptSpec,
    ai::{CHANGEABLE, positive},
    cache::Cache,
    stamp::is_rfc3339,
};

/// Something that works in another way than the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// One word that programs can rely on; a condition's reason.
    pub reason: &'static str,
    /// The field.
    pub field: String,
    /// What is done instead, and what to do about it.
    pub message: String,
}

/// An interval is outside its bounds.
pub const INTERVAL_CHANGED: &str = "IntervalChanged";
/// The image of the manifest is not used; said once, by an Event.
pub const IMAGE_IGNORED: &str = "ImageIgnored";
/// A tool is asked for that is not installed from here.
pub const INTEGRATION_UNAVAILABLE: &str = "IntegrationUnavailable";
/// A number is none, so its default counts.
pub const NOT_A_NUMBER: &str = "NotANumber";
/// A header is none and is not sent.
pub const HEADER_IGNORED: &str = "HeaderIgnored";
/// A pull policy that Kubernetes does not know is not used.
pub const PULL_POLICY_IGNORED: &str = "PullPolicyIgnored";
/// Several caches are named, and one is used.
pub const CACHE_IGNORED: &str = "CacheIgnored";
/// Something that is needed is missing, so a part does not work.
pub const INCOMPLETE: &str = "Incomplete";

/// Something is not done, because something else does the same or it is not safe.
pub const NOT_DONE: &str = "NotDone";

/// Everything that works in another way than the manifest says.
pub fn warnings(spec: &K8sGptSpec) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut say = |reason, field: &str, message: String| {
        found.push(Warning { reason, field: field.to_owned(), message });
    };
    let analysis = spec.analysis();
    if analysis.is_interval_changed() {
        let (asked, used) = (analysis.asked_interval(), analysis.interval().as_secs());
        let message = format!(
            "{asked:?} counts as {used} s: changes are seen at once, this only finds what was missed; write 1m or more"
        );
        say(
            INTERVAL_CHANGED,
            if analysis.resync.is_some() { "spec.analysis.resync" } else { "spec.analysis.interval" },
            message,
        );
    }
    if let Image::OwnInsteadOf(image) = spec.image() {
        let message = format!(
            "{image} is K8sGPT's program and does not run: set imageOverride for an image of your own"
        );
        say(IMAGE_IGNORED, "spec.repository", message);
    }
    if let Some(policy) = &spec.image_pull_policy
        && !["Always", "IfNotPresent", "Never", ""].contains(&policy.as_str())
    {
        let message =
            format!("{policy:?} is none of Always, IfNotPresent, Never, so Kubernetes' default counts");
        say(PULL_POLICY_IGNORED, "spec.imagePullPolicy", message);
    }
    let trivy = spec.integrations.as_ref().and_then(|integrations| integrations.trivy.as_ref());
    if trivy.is_some_and(|trivy| trivy.enabled) {
        let message =
            "Trivy is not installed from here: its reports are read if its operator runs".to_owned();
        say(INTEGRATION_UNAVAILABLE, "spec.integrations.trivy", message);
    }
    if let Some(cache) = &spec.remote_cache {
        let named =
            [cache.s3.is_some(), cache.azure.is_some(), cache.gcs.is_some(), cache.interplex.is_some()];
        if let Some(chosen) = cache.chosen().filter(|_| named.iter().filter(|is| **is).count() > 1) {
            say(CACHE_IGNORED, "spec.remoteCache", format!("only {} is used: name one", label(chosen)));
        }
    }
    let chosen = spec.remote_cache.as_ref().and_then(super::RemoteCache::chosen);
    if matches!(chosen, Some(Cache::Interplex(_))) {
        let message = "interplex is not spoken here: explanations are kept in the analysis' own database; name s3, azure or \
                       gcs for a cache that several clusters share"
            .to_owned();
        say(NOT_DONE, "spec.remoteCache.interplex", message);
    }
    for (field, _) in spec.sinks().filter(|(_, sink)| sink.username.is_some() || sink.icon_url.is_some()) {
        let message = "username and icon_url are not sent: set them at the hook".to_owned();
        say(NOT_DONE, &format!("sink {field}"), message);
    }
    for (at, custom) in spec.custom_analyzers.iter().enumerate() {
        let connection = custom.connection.as_ref();
        let port = connection.and_then(|connection| connection.port);
        let url = connection.and_then(|connection| connection.url.as_deref()).unwrap_or_default();
        if custom.name.as_deref().unwrap_or_default().is_empty()
            || url.is_empty()
            || !(1..=65535).contains(&port.unwrap_or(0))
        {
            let message =
                "does not run: it needs name, connection.url and connection.port from 1 to 65535".to_owned();
            say(INCOMPLETE, &format!("spec.customAnalyzers[{at}]"), message);
        }
    }
    if let Some(sink) = &spec.sink
        && sink.webhook.as_deref().unwrap_or_default().is_empty()
        && sink.secret.is_none()
    {
        say(INCOMPLETE, "spec.sink", "nobody is told: set secret or webhook".to_owned());
    }
    for (at, suppression) in spec.suppress.iter().enumerate() {
        if let Some(until) = suppression.until.as_deref().filter(|until| !is_rfc3339(until)) {
            let field = format!("spec.suppress[{at}].until");
            say(INCOMPLETE, &field, format!("{until:?} is no day of a calendar, so nothing is suppressed"));
        }
    }
    if spec.kubeconfig().is_some_and(|(name, _)| name.is_empty()) {
        say(
            INCOMPLETE,
            "spec.kubeconfig.name",
            "no cluster is analysed: name the Secret, or remove kubeconfig".to_owned(),
        );
    }
    found.extend(of_model(spec));
    found
}

fn label(cache: Cache<'_>) -> &'static str {
    match cache {
        Cache::S3(_) => "s3",
        Cache::Azure(_) => "azure",
        Cache::Gcs(_) => "gcs",
        Cache::Interplex(_) => "interplex",
    }
}

/// What is said about the model; only while one explains.
fn of_model(spec: &K8sGptSpec) -> Vec<Warning> {
    let mut found = Vec::new();
    let Some(ai) = spec.ai.as_ref().filter(|ai| ai.enabled) else { return found };
    let mut say = |reason, field: &str, message: String| {
        found.push(Warning { reason, field: field.to_owned(), message });
    };
    if !ai.anonymized {
        let message =
            "names and secrets are masked all the same, and names come back in the answer".to_owned();
        say(NOT_DONE, "spec.ai.anonymized", message);
    }
    if ai.rate.as_ref().is_some_and(|rate| rate.calls_per_minute.is_some()) {
        let message = "calls are not counted by the minute: a provider that asks to wait is waited for, and concurrent \
                       and budget limit the rest"
            .to_owned();
        say(NOT_DONE, "spec.ai.rate.callsPerMinute", message);
    }
    for (field, text, used) in
        [("spec.ai.maxTokens", &ai.max_tokens, ai.max_tokens()), ("spec.ai.topk", &ai.topk, ai.top_k())]
    {
        if positive(text).is_none() {
            say(NOT_A_NUMBER, field, format!("{text:?} is no positive number, so {used} counts"));
        }
    }
    let names: Vec<_> =
        ai.headers().1.iter().map(|part| part.split(':').next().unwrap_or_default()).collect();
    if !names.is_empty() {
        // Their values may be secret.
        say(
            HEADER_IGNORED,
            "spec.ai.customHeaders",
            format!("{names:?} are no headers: write NAME:VALUE,NAME:VALUE"),
        );
    }
    let absent = |value: &Option<String>| value.as_deref().unwrap_or_default().is_empty();
    let backend = ai.backend.as_str();
    let mut need = |field: &str, why: String| say(INCOMPLETE, field, why);
    if ai.secret.is_none() && !ai.backend.works_without_secret() {
        need(
            "spec.ai.secret",
            format!("{backend} needs a key: findings are told without explanation until secret is set"),
        );
    }
    if let Some(secret) = &ai.secret
        && absent(&secret.key)
        && !ai.backend.is_aws()
    {
        need(
            "spec.ai.secret.key",
            format!("{backend} needs to know under which key of the Secret its own stands"),
        );
    }
    if ai.backend.is_aws() && absent(&ai.region) {
        need("spec.ai.region", format!("{backend} needs a region, for example eu-central-1"));
    }
    if ai.backend == Backend::AzureOpenAi && (absent(&ai.base_url) || absent(&ai.engine)) {
        need("spec.ai", format!("{backend} needs baseUrl (the resource) and engine (the deployment)"));
    }
    if matches!(ai.backend, Backend::CustomRest | Backend::LiteLlm) && absent(&ai.base_url) {
        need("spec.ai.baseUrl", format!("{backend} has no public address: set baseUrl"));
    }
    let remediation = ai.auto_remediation.as_ref().filter(|remediation| remediation.enabled);
    if let Some(remediation) = remediation
        && remediation.similarity_requirement.trim_end_matches('%').trim().parse()
            != Ok(remediation.similarity())
    {
        let message = format!(
            "{:?} is no number from 0 to 100, so 100 counts: nothing is applied",
            remediation.similarity_requirement
        );
        say(NOT_A_NUMBER, "spec.ai.autoRemediation.similarityRequirement", message);
    }
    if let Some(remediation) = remediation {
        found.extend(of_remediation(remediation));
    }
    found
}

/// What is said about changes that are proposed.
fn of_remediation(remediation: &AutoRemediation) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut say = |field: &str, message: String| {
        let field = format!("spec.ai.autoRemediation.{field}");
        found.push(Warning { reason: NOT_DONE, field, message });
    };
    let unknown: Vec<_> =
        remediation.resources.iter().filter(|kind| !CHANGEABLE.contains(&kind.as_str())).collect();
    if !unknown.is_empty() || remediation.resources.is_empty() {
        say("resources", format!("{unknown:?} are not changed; there are {}", CHANGEABLE.join(", ")));
    }
    let limits = remediation.limits.clone().unwrap_or_default();
    for (field, limit) in [("limits.perHour", limits.per_hour), ("limits.pending", limits.pending)] {
        if limit == Some(0) {
            say(field, "nothing is proposed: it would never be applied; enabled says the same".to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn reasons(spec: Value) -> Vec<(&'static str, String)> {
        let spec: K8sGptSpec = from_value(spec).unwrap();
        warnings(&spec).into_iter().map(|warning| (warning.reason, warning.field)).collect()
    }

    #[track_caller]
    fn one(spec: Value, reason: &str, field: &str) {
        assert_eq!(reasons(spec), [(reason, field.to_owned())].map(|(reason, field)| (leak(reason), field)));
    }

    fn leak(reason: &str) -> &'static str {
        [
            INTERVAL_CHANGED,
            IMAGE_IGNORED,
            INTEGRATION_UNAVAILABLE,
            NOT_A_NUMBER,
            HEADER_IGNORED,
            PULL_POLICY_IGNORED,
            CACHE_IGNORED,
            INCOMPLETE,
            NOT_DONE,
        ]
        .into_iter()
        .find(|known| *known == reason)
        .unwrap()
    }

    #[test]
    fn a_plain_manifest_is_done_as_it_says() {
        assert_eq!(reasons(json!({})), []);
        assert_eq!(
            reasons(json!({ "ai": { "enabled": true, "backend": "localai", "baseUrl": "http://l/v1" } })),
            []
        );
        assert_eq!(
            reasons(json!({ "ai": { "maxTokens": "x" } })),
            [],
            "nothing is asked of a model that is off"
        );
    }

    #[test]
    fn what_is_done_otherwise_is_said() {
        one(json!({ "analysis": { "interval": "30s" } }), INTERVAL_CHANGED, "spec.analysis.interval");
        one(json!({ "version": "v0.3.41" }), IMAGE_IGNORED, "spec.repository");
        one(json!({ "imagePullPolicy": "always" }), PULL_POLICY_IGNORED, "spec.imagePullPolicy");
        one(
            json!({ "integrations": { "trivy": { "enabled": true } } }),
            INTEGRATION_UNAVAILABLE,
            "spec.integrations.trivy",
        );
        let caches = json!({ "interplex": { "endpoint": "e" }, "s3": { "bucketName": "b", "region": "r" } });
        one(json!({ "remoteCache": caches }), CACHE_IGNORED, "spec.remoteCache");
        let interplex = json!({ "interplex": { "endpoint": "e" } });
        one(json!({ "remoteCache": interplex }), NOT_DONE, "spec.remoteCache.interplex");
        let named = json!({ "type": "mattermost", "webhook": "w", "username": "u" });
        one(json!({ "sink": named }), NOT_DONE, "sink spec.sink");
        one(json!({ "customAnalyzers": [{ "name": "a" }] }), INCOMPLETE, "spec.customAnalyzers[0]");
        one(json!({ "sink": { "type": "slack" } }), INCOMPLETE, "spec.sink");
        let never = json!({ "kind": "Pod", "until": "2026-02-30T00:00:00Z" });
        one(json!({ "suppress": [never] }), INCOMPLETE, "spec.suppress[0].until");
        one(json!({ "kubeconfig": { "key": "value" } }), INCOMPLETE, "spec.kubeconfig.name");
    }

    #[test]
    fn what_a_backend_needs_is_said() {
        let ai = |mut fields: Value| {
            fields["enabled"] = json!(true);
            json!({ "ai": fields })
        };
        let secret = json!({ "name": "s", "key": "k" });
        one(ai(json!({})), INCOMPLETE, "spec.ai.secret");
        one(ai(json!({ "secret": { "name": "s" } })), INCOMPLETE, "spec.ai.secret.key");
        one(
            ai(json!({ "backend": "amazonbedrock", "secret": { "name": "s" } })),
            INCOMPLETE,
            "spec.ai.region",
        );
        one(ai(json!({ "backend": "azureopenai", "secret": secret, "baseUrl": "b" })), INCOMPLETE, "spec.ai");
        one(ai(json!({ "backend": "litellm" })), INCOMPLETE, "spec.ai.baseUrl");
        one(ai(json!({ "secret": secret, "topk": "many" })), NOT_A_NUMBER, "spec.ai.topk");
        one(ai(json!({ "secret": secret, "anonymized": false })), NOT_DONE, "spec.ai.anonymized");
        let rate = json!({ "callsPerMinute": 5, "concurrent": 1 });
        one(ai(json!({ "secret": secret, "rate": rate })), NOT_DONE, "spec.ai.rate.callsPerMinute");
        let remediation = json!({ "enabled": true, "similarityRequirement": "high" });
        one(
            ai(json!({ "secret": secret, "autoRemediation": remediation })),
            NOT_A_NUMBER,
            "spec.ai.autoRemediation.similarityRequirement",
        );
        for (fields, field) in [
            (json!({ "resources": ["Pod", "Secret"] }), "resources"),
            (json!({ "resources": [] }), "resources"),
            (json!({ "limits": { "perHour": 0 } }), "limits.perHour"),
            (json!({ "limits": { "pending": 0 } }), "limits.pending"),
        ] {
            let mut remediation = fields;
            remediation["enabled"] = json!(true);
            let field = format!("spec.ai.autoRemediation.{field}");
            one(ai(json!({ "secret": secret, "autoRemediation": remediation })), NOT_DONE, &field);
        }
    }

    #[test]
    fn the_value_of_a_wrong_header_is_not_shown() {
        let spec: K8sGptSpec = from_value(json!({
            "ai": { "enabled": true, "backend": "ollama", "customHeaders": "Bad Name:secret-value,X:y" },
        }))
        .unwrap();
        let warnings = warnings(&spec);
        assert_eq!(warnings[0].reason, HEADER_IGNORED);
        assert!(!warnings[0].message.contains("secret-value") && warnings[0].message.contains("Bad Name"));
    }
}
