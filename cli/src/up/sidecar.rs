//! What `spec.sidecar.env` tells an engine of this process. It wins over the rest of the manifest, as on a cluster.

use std::collections::BTreeMap;

use asya_payload::{Claims, settings::PayloadText};
use asya_resources::EnvVar;
use asya_settings::Reader;
use asya_sidecar::{EngineConfig, args::Args, settings::Settings};
use asya_telemetry::log;
use tracing_subscriber::filter::LevelFilter;

use super::environment;
use crate::manifest::Manifest;

type Take = fn(&mut EngineConfig, EngineConfig);

/// What an engine is told by these variables.
const ENGINE: [(&str, Take); 20] = [
    ("ASYA_ACTOR_HAPPY_END", |here, said| here.happy_end = said.happy_end),
    ("ASYA_ACTOR_ERROR_END", |here, said| here.error_end = said.error_end),
    ("ASYA_IS_END_ACTOR", |here, said| here.end_actor = said.end_actor),
    ("ASYA_RUNTIME_TIMEOUT", |here, said| here.timeout = said.timeout),
    ("ASYA_RETRY_ATTEMPTS", |here, said| here.retry.attempts = said.retry.attempts),
    ("ASYA_RETRY_INITIAL_DELAY", |here, said| here.retry.initial = said.retry.initial),
    ("ASYA_RETRY_MAX_DELAY", |here, said| here.retry.max = said.retry.max),
    ("ASYA_RETRY_MULTIPLIER", |here, said| here.retry.multiplier = said.retry.multiplier),
    ("ASYA_RETRY_JITTER", |here, said| here.retry.jitter = said.retry.jitter),
    ("ASYA_RETRY_NON_RETRYABLE", |here, said| here.retry.non_retryable = said.retry.non_retryable),
    ("ASYA_MAX_DELIVERIES", |here, said| here.max_deliveries = said.max_deliveries),
    ("ASYA_MAX_HOPS", |here, said| here.max_hops = said.max_hops),
    ("ASYA_UNROUTABLE_GRACE", |here, said| here.unroutable_grace = said.unroutable_grace),
    ("ASYA_MAX_ENVELOPE", |here, said| here.limits.max_envelope = said.limits.max_envelope),
    ("ASYA_MAX_REPLY", |here, said| here.limits.max_reply = said.limits.max_reply),
    ("ASYA_MEMORY_BUDGET", |here, said| here.memory_budget = said.memory_budget),
    ("ASYA_GRACE", |here, said| here.grace = said.grace),
    ("ASYA_ROUTES_ALLOW", |here, said| here.allowed_routes = said.allowed_routes),
    ("ASYA_APPROVED_ONLY", |here, said| here.approved_only = said.approved_only),
    ("ASYA_RABBITMQ_PREFETCH", |here, said| here.max_look_ahead = said.max_look_ahead),
];

/// What is said of large payloads, where `asya up` has a store for them.
const THRESHOLD: &str = "ASYA_PAYLOAD_THRESHOLD";
const LARGEST: &str = "ASYA_PAYLOAD_MAX";
const LIFETIME: &str = "ASYA_PAYLOAD_LIFETIME";
const LOG_LEVEL: &str = "ASYA_LOG_LEVEL";

/// Variables that a runtime reads as well.
const SHARED: [&str; 2] = ["ASYA_HANDLER_MODE", "ASYA_CONCURRENCY"];

/// What a sidecar is told, and an engine here can be told too, by the names of the variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told(BTreeMap<String, String>);

impl Told {
    /// What the manifest says. Of what nothing comes here no secret is asked for.
    ///
    /// # Errors
    /// Values that cannot be found.
    pub(crate) fn of(manifest: &Manifest) -> Result<Self, Vec<String>> {
        // Other values may refer to the name.
        let mut variables = vec![EnvVar::plain("ASYA_ACTOR_NAME", manifest.name())];
        let spec = &manifest.actor.spec;
        if spec.embedded {
            // Sidecar and handler are one container there, with one environment.
            variables.extend(manifest.actor.runtime_env());
        }
        variables.extend(own(manifest).iter().cloned());
        variables.retain(|variable| is_taken(&variable.name) || variable.value_from.is_none());
        let mut values = environment::of(manifest, &variables)?;
        values.retain(|name, _| is_taken(name));
        Ok(Self(values))
    }

    /// Tells it to the engine of that manifest.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn tell(&self, manifest: &Manifest, engine: &mut EngineConfig) -> Result<(), Vec<String>> {
        if self.0.is_empty() {
            return Ok(());
        }
        let find = |name: &str| match name {
            "ASYA_ACTOR_NAME" => Some(manifest.name().to_owned()),
            name => self.0.get(name).cloned(),
        };
        let said = Settings::read(Args::of(find)).map_err(|errors| {
            let (file, name) = (manifest.file.display(), manifest.name());
            let named = |error| format!("{file}: actor {name}: sidecar: {error}");
            errors.0.into_iter().map(named).collect::<Vec<_>>()
        })?;
        for (_, take) in ENGINE.iter().filter(|(name, _)| self.0.contains_key(*name)) {
            take(engine, said.engine.clone());
        }
        engine.payloads = engine.payloads.take().map(|claims| self.claims(&claims));
        Ok(())
    }

    /// The same store, with what is said of payloads.
    fn claims(&self, claims: &Claims) -> Claims {
        let of = |name: &str| self.0.get(name).cloned();
        let text =
            PayloadText { store: None, threshold: of(THRESHOLD), most: of(LARGEST), lifetime: of(LIFETIME) };
        // What is wrong with them has been said by now.
        let (said, mut options) = (text.options(&mut Reader::default()), claims.options());
        let is_said = |name| self.0.contains_key(name);
        if is_said(THRESHOLD) {
            options.threshold = said.threshold;
        }
        if is_said(LARGEST) {
            options.most = said.most;
        }
        if is_said(LIFETIME) {
            options.lifetime = said.lifetime;
        }
        Claims::new(claims.store().clone(), options)
    }

    /// Which lines of it are to be seen, if that is said and can be read.
    pub(crate) fn level(&self) -> Option<LevelFilter> {
        log::filter(self.0.get(LOG_LEVEL)?).ok()?.max_level_hint()
    }
}

/// What an embedded handler finds in its environment besides: on a cluster its container is the sidecar's too.
pub(crate) fn embedded(manifest: &Manifest) -> impl Iterator<Item = &EnvVar> {
    own(manifest).iter().filter(|variable| is_handlers(manifest, &variable.name))
}

/// Variables of which nothing comes here: the addresses of a broker or a gateway, the ports of a pod.
pub(crate) fn unheard(manifest: &Manifest) -> Vec<&str> {
    let names = own(manifest).iter().map(|variable| variable.name.as_str());
    let mut names: Vec<_> = names.filter(|name| !is_taken(name) && !is_handlers(manifest, name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn own(manifest: &Manifest) -> &[EnvVar] {
    manifest.actor.spec.sidecar.as_ref().map(|sidecar| &*sidecar.env).unwrap_or_default()
}

/// Whether an engine is told something by this variable, and nothing else of an actor reads it.
pub(crate) fn is_engines(name: &str) -> bool {
    ENGINE.iter().any(|(taken, _)| *taken == name)
}

fn is_taken(name: &str) -> bool {
    [THRESHOLD, LARGEST, LIFETIME, LOG_LEVEL].contains(&name) || is_engines(name)
}

fn is_handlers(manifest: &Manifest, name: &str) -> bool {
    manifest.actor.spec.embedded && (SHARED.contains(&name) || !Args::reads(name))
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use asya_envelope::ActorName;
    use asya_resources::AsyncActor;
    use serde_json::{Value, json};

    use super::*;

    fn manifest(spec: Value) -> Manifest {
        let mut object = json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": "ocr"},
            "spec": {"transport": "t", "handler": "a.b"}});
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Manifest { actor: AsyncActor::read(&object).unwrap(), file: PathBuf::from("ocr.yaml") }
    }

    fn variables(list: &[(&str, &str)]) -> Value {
        list.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    }

    fn told(spec: Value) -> Result<EngineConfig, Vec<String>> {
        let manifest = manifest(spec);
        let mut engine = EngineConfig::new(ActorName::parse("ocr").unwrap());
        engine.allowed_routes = Vec::new();
        engine.grace = Duration::from_secs(3);
        Told::of(&manifest)?.tell(&manifest, &mut engine).map(|()| engine)
    }

    #[test]
    fn every_variable_that_counts_here_is_one_of_a_sidecar() {
        let names = ENGINE.iter().map(|(name, _)| *name).chain([THRESHOLD, LARGEST, LIFETIME, LOG_LEVEL]);
        for name in names.chain(SHARED) {
            assert!(Args::reads(name), "{name}");
        }
    }

    #[test]
    fn what_is_said_wins_and_the_rest_stays_as_it_is() {
        let env = variables(&[
            ("ASYA_APPROVED_ONLY", "no"),
            ("ASYA_APPROVED_ONLY", "yes"),
            ("ASYA_RUNTIME_TIMEOUT", "90s"),
            ("ASYA_RETRY_ATTEMPTS", "4"),
            ("ASYA_MAX_REPLY", "2Mi"),
            ("ASYA_ROUTES_ALLOW", ""),
            ("ASYA_RABBITMQ_HOST", "$(NOWHERE)"),
        ]);
        let engine = told(json!({"sidecar": {"env": env}})).unwrap();
        assert!(engine.approved_only);
        assert_eq!(engine.timeout, Duration::from_secs(90));
        assert_eq!((engine.retry.attempts, engine.limits.max_reply), (4, 2 << 20));
        assert_eq!(engine.allowed_routes, ["*"], "an empty variable counts as not set");
        assert_eq!(engine.grace, Duration::from_secs(3));
    }

    #[test]
    fn an_embedded_handler_and_its_sidecar_have_one_environment() {
        let (guard, sink) = (("ASYA_APPROVED_ONLY", "true"), ("SINK", "x"));
        let spec = |embedded: bool| json!({"embedded": embedded, "env": variables(&[guard]), "sidecar": {"env": variables(&[sink])}});
        assert!(told(spec(true)).unwrap().approved_only);
        assert!(!told(spec(false)).unwrap().approved_only);
        let (one, two) = (manifest(spec(true)), manifest(spec(false)));
        assert_eq!(embedded(&one).map(|variable| &*variable.name).collect::<Vec<_>>(), ["SINK"]);
        assert_eq!(unheard(&one), [""; 0]);
        assert_eq!((embedded(&two).count(), unheard(&two)), (0, vec!["SINK"]));
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_actor() {
        let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let from = |name: &str| json!({"sidecar": {"env": [{"name": name, "valueFrom": secret}]}});
        let wrong = told(json!({"sidecar": {"env": variables(&[("ASYA_GRACE", "soon")])}})).unwrap_err();
        assert!(wrong[0].starts_with("ocr.yaml: actor ocr: sidecar: ASYA_GRACE: "), "{wrong:?}");
        let missing = told(from("ASYA_GRACE")).unwrap_err();
        assert!(missing[0].contains("add a line ASYA_GRACE="), "{missing:?}");
        told(from("ASYA_RABBITMQ_PASSWORD")).unwrap();
    }

    #[test]
    fn a_level_is_that_of_a_sidecar() {
        let level = |text: &str| {
            let env = variables(&[("ASYA_LOG_LEVEL", text)]);
            Told::of(&manifest(json!({"sidecar": {"env": env}}))).unwrap().level()
        };
        assert_eq!(level("INFO"), Some(LevelFilter::INFO));
        assert_eq!(level("info,asya_sidecar=debug"), Some(LevelFilter::DEBUG));
    }
}
