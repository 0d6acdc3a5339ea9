//! What the program is told, read into types. All errors are found before any is reported.

use std::{collections::HashSet, path::Path, time::Duration};

use asya_settings::{Errors, boolean, filled, units};
use asya_sidecar::settings::Settings as Sidecar;

use super::args::Args;
use crate::{
    Again, Kind,
    objects::{DEFAULT_ERRORS_PREFIX, DEFAULT_RESULTS_PREFIX, Place, S3},
    shipped::{Variables, Work},
};

/// Pause before error-end's first try of its own: the sidecar's have come and gone within seconds.
const DEFAULT_ERROR_PAUSE: Duration = Duration::from_secs(30);
/// Deliveries of a message to one of these actors before it goes to the dead-letter queue. More than a sidecar allows:
/// what fails here is the store, not the message, and with the longest pause this is a night.
const MAX_DELIVERIES: &str = "200";

/// What the program does, completely.
#[derive(Debug)]
pub struct Settings {
    /// Which actor.
    pub kind: Kind,
    /// What the engine around it is told.
    pub sidecar: Sidecar,
    /// Where records are kept.
    pub records: Option<Place>,
    /// What keys of results begin with.
    pub results_prefix: String,
    /// What keys of errors begin with.
    pub errors_prefix: String,
    /// Actors that join.
    pub fan_ins: HashSet<String>,
    /// What error-end tries again.
    pub again: Again,
    /// The database, with its password.
    pub database: Option<String>,
    /// What it does, unless it is an end actor.
    pub work: Option<Work>,
    /// Whether old payloads are removed from the payload store.
    pub sweep: bool,
}

impl Settings {
    /// Reads the arguments.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(args: Args) -> Result<Self, Errors> {
        let Args {
            kind,
            handler,
            s3_bucket,
            s3_endpoint,
            s3_access_key,
            s3_secret_key,
            s3_results_prefix,
            s3_errors_prefix,
            s3_region,
            records_url,
            fan_in_actors,
            error_retry_attempts,
            error_retry_codes,
            error_retry_initial_delay,
            error_retry_max_delay,
            database_url,
            work,
            payload_sweep,
            mut sidecar,
        } = args;
        let mut errors = Vec::new();
        let kind = kind_of(filled(kind), filled(handler), filled(sidecar.actor_name.clone()))
            .map_err(|error| errors.push(error))
            .ok();
        if filled(sidecar.actor_name.clone()).is_none() {
            sidecar.actor_name = kind.map(|kind| kind.as_str().to_owned());
        }
        // The word of the operator for a container that is sidecar and handler in one.
        sidecar.runtime = None;
        sidecar.max_deliveries = filled(sidecar.max_deliveries).or_else(|| Some(MAX_DELIVERIES.to_owned()));
        let has_payloads = filled(sidecar.payload_store.clone()).is_some();
        let gateway = (sidecar.gateway_url.clone(), sidecar.gateway_token_path.clone());
        let sidecar = Sidecar::read(sidecar).map_err(|Errors(more)| errors.extend(more)).ok();

        let key = match (filled(s3_access_key), filled(s3_secret_key)) {
            (Some(id), Some(secret)) => Some((id, secret)),
            (None, None) => None,
            _ => {
                errors.push("ASYA_S3_ACCESS_KEY and ASYA_S3_SECRET_KEY: only one of them is set".to_owned());
                None
            }
        };
        let bucket = filled(s3_bucket).map(|bucket| {
            let (endpoint, region) = (filled(s3_endpoint), filled(s3_region));
            Place::S3(S3 { bucket, endpoint, key, region })
        });
        let url = filled(records_url).and_then(|url| {
            Place::parse(&url).map_err(|error| errors.push(format!("ASYA_RECORDS_URL: {error}"))).ok()
        });
        if bucket.is_some() && url.is_some() {
            errors.push("ASYA_S3_BUCKET and ASYA_RECORDS_URL: only one of them can count".to_owned());
        }
        let mut again = Again::default();
        again.policy.initial = DEFAULT_ERROR_PAUSE;
        if let Some(sidecar) = &sidecar {
            again.policy.non_retryable.clone_from(&sidecar.engine.retry.non_retryable);
        }
        let mut parse = Reader(&mut errors);
        parse.replace(
            &mut again.policy.attempts,
            "ASYA_ERROR_RETRY_ATTEMPTS",
            error_retry_attempts,
            |text| {
                let runs = text.parse::<u32>().ok().filter(|runs| *runs > 0);
                runs.ok_or_else(|| format!("{text:?} must be a whole number, at least 1"))
            },
        );
        let (initial, max) = ("ASYA_ERROR_RETRY_INITIAL_DELAY", "ASYA_ERROR_RETRY_MAX_DELAY");
        parse.replace(&mut again.policy.initial, initial, error_retry_initial_delay, units::duration);
        parse.replace(&mut again.policy.max, max, error_retry_max_delay, units::duration);
        if let Some(codes) = filled(error_retry_codes) {
            again.codes = list(&codes);
        }
        let database = filled(database_url);
        let mut sweep = false;
        Reader(&mut errors).replace(&mut sweep, "ASYA_PAYLOAD_SWEEP", payload_sweep, boolean);
        if sweep && !has_payloads {
            errors.push("ASYA_PAYLOAD_SWEEP: there is no store to sweep: set ASYA_PAYLOAD_STORE".to_owned());
        }
        let find = |name: &str| match name {
            "ASYA_GATEWAY_URL" => gateway.0.clone(),
            "ASYA_GATEWAY_TOKEN_PATH" => gateway.1.clone(),
            name => work.get(name),
        };
        let variables = Variables { find: &find, base: Path::new("") };
        let work = kind.and_then(|kind| {
            Work::read(kind, &variables).map_err(|more| errors.extend(more)).unwrap_or_default()
        });
        if let Some(why) = work.as_ref().and_then(Work::keeps).filter(|_| database.is_none()) {
            errors.push(format!("ASYA_DATABASE_URL: is required, {why}"));
        }
        match (kind, sidecar) {
            (Some(kind), Some(sidecar)) if errors.is_empty() => Ok(Self {
                kind,
                sidecar: as_end(kind, sidecar),
                records: bucket.or(url),
                results_prefix: filled(s3_results_prefix)
                    .unwrap_or_else(|| DEFAULT_RESULTS_PREFIX.to_owned()),
                errors_prefix: filled(s3_errors_prefix).unwrap_or_else(|| DEFAULT_ERRORS_PREFIX.to_owned()),
                fan_ins: fan_in_actors.map(|names| list(&names).into_iter().collect()).unwrap_or_default(),
                again,
                database,
                work,
                sweep,
            }),
            _ => Err(Errors(errors)),
        }
    }
}

/// The first of the three that says it.
fn kind_of(kind: Option<String>, handler: Option<String>, name: Option<String>) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::as_str).join(", ");
    if let Some(kind) = kind {
        return Kind::of_name(&kind)
            .ok_or_else(|| format!("{kind:?} is no actor; it must be one of {}", known()));
    }
    if let Some(handler) = handler {
        return go_handler(&handler).or_else(|| Kind::of_handler(&handler)).ok_or_else(|| {
            format!("ASYA_HANDLER: {handler:?} is none of this program; it must be asya_crew.NAME with one of {}, and _ for -", known())
        });
    }
    name.as_deref().and_then(Kind::of_name).ok_or_else(|| {
        format!("which actor: name one of {}, by argument, ASYA_HANDLER or ASYA_ACTOR_NAME", known())
    })
}

/// The end actors as manifests of the Go system name them.
fn go_handler(handler: &str) -> Option<Kind> {
    match handler {
        "handlers.end_handlers.happy_end_handler" => Some(Kind::HappyEnd),
        "handlers.end_handlers.error_end_handler" => Some(Kind::ErrorEnd),
        _ => None,
    }
}

/// An end actor under another name is one all the same.
fn as_end(kind: Kind, mut sidecar: Sidecar) -> Sidecar {
    let name = sidecar.engine.actor.as_str().to_owned();
    match kind {
        Kind::HappyEnd => sidecar.engine.happy_end = name,
        Kind::ErrorEnd => sidecar.engine.error_end = name,
        Kind::FanIn
        | Kind::Schedule
        | Kind::Park
        | Kind::HttpCall
        | Kind::HttpGet
        | Kind::K8sWatch
        | Kind::K8sAnalyze
        | Kind::Custom
        | Kind::Findings
        | Kind::Explain
        | Kind::Notify
        | Kind::Remedy
        | Kind::Results
        | Kind::Approval
        | Kind::K8sWrite
        | Kind::Helm
        | Kind::Agent
        | Kind::K8sRead
        | Kind::Analyze
        | Kind::Mcp => {}
    }
    sidecar
}

struct Reader<'a>(&'a mut Vec<String>);

impl Reader<'_> {
    /// Replaces a default by what was said, if anything was.
    fn replace<T>(
        &mut self,
        target: &mut T,
        name: &str,
        value: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) {
        match filled(value).map(|text| parse(&text)) {
            Some(Ok(value)) => *target = value,
            Some(Err(error)) => self.0.push(format!("{name}: {error}")),
            None => {}
        }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        let mut args = Args::default();
        args.sidecar.transport = Some("local".to_owned());
        args.sidecar.local_path = Some("queue.db".to_owned());
        args
    }

    #[test]
    fn argument_handler_and_name_say_which_actor_in_this_order() {
        for (kind, handler, name, expected) in [
            (Some("error-end"), Some("asya_crew.happy_end"), Some("x"), Kind::ErrorEnd),
            (None, Some("asya_crew.happy_end"), Some("error-end"), Kind::HappyEnd),
            (None, Some("handlers.end_handlers.error_end_handler"), Some("x"), Kind::ErrorEnd),
            (None, None, Some("error-end"), Kind::ErrorEnd),
        ] {
            let mut args = args();
            (args.kind, args.handler) = (kind.map(str::to_owned), handler.map(str::to_owned));
            args.sidecar.actor_name = name.map(str::to_owned);
            let settings = Settings::read(args).unwrap();
            assert_eq!((settings.kind, settings.sidecar.engine.actor.as_str()), (expected, name.unwrap()));
            assert!(settings.sidecar.engine.ends_here());
        }
    }

    #[test]
    fn without_a_name_the_actor_is_called_as_what_it_is() {
        let settings = Settings::read(Args { kind: Some("happy-end".to_owned()), ..args() }).unwrap();
        assert_eq!(settings.sidecar.engine.actor.as_str(), "happy-end");
        assert_eq!((settings.records, settings.results_prefix.as_str()), (None, "happy-asya/"));
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let Errors(errors) = Settings::read(Args {
            handler: Some("my.handler".to_owned()),
            s3_access_key: Some("id".to_owned()),
            records_url: Some("ftp://x".to_owned()),
            error_retry_attempts: Some("0".to_owned()),
            payload_sweep: Some("maybe".to_owned()),
            ..args()
        })
        .unwrap_err();
        let all = errors.join("\n");
        for name in [
            "ASYA_HANDLER",
            "ASYA_S3_ACCESS_KEY",
            "ASYA_RECORDS_URL",
            "ASYA_ERROR_RETRY_ATTEMPTS",
            "ASYA_PAYLOAD_SWEEP",
        ] {
            assert!(all.contains(name), "{name} in {all}");
        }
    }

    #[test]
    fn a_sweep_needs_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let mut args =
            Args { kind: Some("happy-end".to_owned()), payload_sweep: Some("true".to_owned()), ..args() };
        let refused = Settings::read(args.clone()).unwrap_err().to_string();
        assert!(refused.contains("ASYA_PAYLOAD_STORE"), "{refused}");
        args.sidecar.payload_store = Some(format!("file://{}", folder.path().display()));
        assert!(Settings::read(args).unwrap().sweep);
    }

    #[test]
    fn the_word_of_the_operator_for_one_container_is_understood_and_secrets_are_not_shown() {
        let mut args = Args { kind: Some("happy-end".to_owned()), ..args() };
        args.sidecar.runtime = Some("embedded".to_owned());
        args.s3_bucket = Some("b".to_owned());
        (args.s3_access_key, args.s3_secret_key) = (Some("id".to_owned()), Some("hidden".to_owned()));
        let settings = Settings::read(args).unwrap();
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}
