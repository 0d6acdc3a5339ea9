//! The objects that a handler's file becomes.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::source::Source;

/// Label of everything that this command made.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "asya-cli");
/// Label of a handler's ConfigMap: the actor's name.
pub(super) const HANDLER_OF: &str = "asya.sh/handler-of";
/// Digits of the digest in a name: two versions of one handler do not meet by chance.
const DIGEST_BYTES: usize = 5;
/// Least and most replicas unless something else is said: from zero, and few enough for a small cluster.
const REPLICAS: (u32, u32) = (0, 10);
/// Fields of an actor that an option sets; without the option they stay as they are.
const KEPT: [&str; 4] = ["transport", "env", "scaling", "workload"];

/// What the command line says of the actor. `None`: as it is, else the default.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) handler: String,
    pub(super) transport: Option<String>,
    pub(super) image: Option<String>,
    pub(super) min: Option<u32>,
    pub(super) max: Option<u32>,
    /// A fixed number instead of scaling.
    pub(super) replicas: Option<u32>,
    pub(super) env: Vec<(String, String)>,
}

/// The file in a ConfigMap that never changes: another text has another name, so that its actor rolls and pods of both
/// texts find theirs.
pub(super) fn config_map(wanted: &Wanted, source: &Source) -> Value {
    let mut digest = Sha256::new();
    digest.update(&source.file);
    digest.update([0]);
    digest.update(&source.text);
    let digest: String =
        digest.finalize().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let mut labels = Map::new();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.into());
    labels.insert(HANDLER_OF.to_owned(), wanted.name.as_str().into());
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(&format!("{}-handler-{digest}", wanted.name), wanted.namespace.as_deref(), labels),
        "data": {&source.file: source.text},
        "immutable": true,
    })
}

/// The actor. `before`: its spec as it is, which says what no option does.
pub(super) fn actor(wanted: &Wanted, source: &Source, config_map: &str, before: Option<&Value>) -> Value {
    let mut spec = Map::new();
    for field in KEPT {
        if let Some(value) = before.and_then(|before| before.get(field)).filter(|value| !value.is_null()) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(transport) = &wanted.transport {
        spec.insert("transport".to_owned(), transport.as_str().into());
    }
    spec.insert("handler".to_owned(), wanted.handler.as_str().into());
    let mut from = json!({"configMap": config_map, "key": source.file});
    let image = wanted.image.as_deref();
    if let Some(image) = image.or_else(|| before?.pointer("/handlerFrom/image")?.as_str()) {
        from["image"] = image.into();
    }
    spec.insert("handlerFrom".to_owned(), from);
    if !wanted.env.is_empty() {
        spec.insert("env".to_owned(), env(spec.get("env"), &wanted.env));
    }
    scale(wanted, &mut spec);
    let mut labels = Map::new();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.into());
    json!({
        "apiVersion": asya_resources::API_VERSION,
        "kind": asya_resources::KIND,
        "metadata": metadata(&wanted.name, wanted.namespace.as_deref(), labels),
        "spec": spec,
    })
}

fn scale(wanted: &Wanted, spec: &mut Map<String, Value>) {
    if let Some(replicas) = wanted.replicas {
        spec.insert("scaling".to_owned(), json!({"enabled": false}));
        let workload = spec.entry("workload").or_insert_with(|| json!({}));
        workload["replicas"] = replicas.into();
        return;
    }
    let fixed = spec.get("scaling").is_some_and(|scaling| scaling["enabled"] != true);
    if fixed && wanted.min.is_none() && wanted.max.is_none() {
        return;
    }
    let scaling = spec.entry("scaling").or_insert_with(|| json!({}));
    let now = |key: &str, default: u32| {
        scaling[key].as_u64().and_then(|number| number.try_into().ok()).unwrap_or(default)
    };
    let min = wanted.min.unwrap_or_else(|| now("minReplicas", REPLICAS.0));
    let max = wanted.max.unwrap_or_else(|| now("maxReplicas", REPLICAS.1).max(min));
    scaling["enabled"] = true.into();
    scaling["minReplicas"] = min.into();
    scaling["maxReplicas"] = max.into();
}

/// The variables that are there, with these in place of those of the same names.
fn env(before: Option<&Value>, wanted: &[(String, String)]) -> Value {
    let replaced = |var: &&Value| wanted.iter().any(|(name, _)| var["name"] == name.as_str());
    let kept = before.and_then(Value::as_array).into_iter().flatten().filter(|var| !replaced(var)).cloned();
    kept.chain(wanted.iter().map(|(name, value)| json!({"name": name, "value": value}))).collect()
}

fn metadata(name: &str, namespace: Option<&str>, labels: Map<String, Value>) -> Value {
    let mut metadata = json!({"name": name, "labels": labels});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

#[cfg(test)]
mod tests {
    use asya_resources::{Severity, check};

    use super::*;

    fn source(text: &str) -> Source {
        Source { file: "shout.py".to_owned(), module: "shout".to_owned(), text: text.to_owned() }
    }

    fn wanted() -> Wanted {
        let wanted =
            Wanted { name: "shout".to_owned(), handler: "shout.handle".to_owned(), ..Wanted::default() };
        Wanted { transport: Some("rabbitmq".to_owned()), ..wanted }
    }

    #[test]
    fn another_text_has_another_name() {
        let name = |text: &str| config_map(&wanted(), &source(text))["metadata"]["name"].clone();
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
    }

    #[test]
    fn the_actor_is_one_that_the_operator_takes() {
        let actor = actor(&wanted(), &source("a"), "code", None);
        let errors: Vec<_> = check(&actor).into_iter().filter(|it| it.severity == Severity::Error).collect();
        assert_eq!(errors, vec![]);
        assert_eq!(actor["spec"]["scaling"], json!({"enabled": true, "minReplicas": 0, "maxReplicas": 10}));
        assert_eq!(actor["spec"]["handlerFrom"], json!({"configMap": "code", "key": "shout.py"}));
    }

    #[test]
    fn what_no_option_says_stays_as_it_is() {
        let before = json!({
            "transport": "sqs", "handler": "shout.old", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "handlerFrom": {"configMap": "old", "image": "mine:1"},
            "scaling": {"enabled": true, "minReplicas": 1, "maxReplicas": 3, "queueLength": 7},
        });
        let wanted =
            Wanted { transport: None, max: Some(4), env: vec![("B".into(), "3".into())], ..wanted() };
        let spec = actor(&wanted, &source("a"), "new", Some(&before))["spec"].clone();
        assert_eq!(
            spec,
            json!({
                "transport": "sqs", "handler": "shout.handle", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}],
                "handlerFrom": {"configMap": "new", "key": "shout.py", "image": "mine:1"},
                "scaling": {"enabled": true, "minReplicas": 1, "maxReplicas": 4, "queueLength": 7},
            })
        );
    }

    #[test]
    fn a_fixed_number_of_replicas_stays_fixed_until_scaling_is_asked_for() {
        let first = actor(&Wanted { replicas: Some(2), ..wanted() }, &source("a"), "code", None);
        let spec = first["spec"].clone();
        assert_eq!((&spec["scaling"]["enabled"], &spec["workload"]["replicas"]), (&json!(false), &json!(2)));
        let again = actor(&wanted(), &source("b"), "code", Some(&spec));
        assert_eq!(again["spec"]["scaling"]["enabled"], false);
        let scaled = actor(&Wanted { max: Some(5), ..wanted() }, &source("b"), "code", Some(&spec));
        assert_eq!(scaled["spec"]["scaling"], json!({"enabled": true, "minReplicas": 0, "maxReplicas": 5}));
    }
}
