//! Opening the transport that a command works on.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use asya_envelope::{Limits, Naming, Queue};
use asya_payload::{Claims, settings::PayloadText, store};
use asya_settings::Reader;
use asya_transport::{
    DeadLetters, Depth, Queues, Transport, TransportError,
    local::{Local, LocalOptions},
};

use crate::{args::Common, exit::misconfigured};

/// Where the queue file is, below the directory it belongs to.
pub(crate) const QUEUE_FILE: &str = ".asya/queue.db";

/// A transport with everything that commands need of it.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) queues: Arc<dyn Queues>,
    pub(crate) dead: Arc<dyn DeadLetters>,
    /// The queue file, if that is the transport.
    pub(crate) local: Option<Arc<Local>>,
    /// Where large payloads are kept.
    pub(crate) payloads: Option<Claims>,
    pub(crate) naming: Naming,
    pub(crate) name: &'static str,
}

impl Broker {
    /// Opens what the common options say. `create`: a queue file that is not there is made.
    pub(crate) async fn open(common: &Common, create: bool) -> anyhow::Result<Self> {
        let payloads = said()?;
        if let Some(url) = &common.transport {
            let mut broker = Self::connect(url).await?;
            broker.payloads = payloads.map(|claims| claims.at_most(most(&broker.transport)));
            return Ok(broker);
        }
        let path = queue_file(common)?;
        if !path.exists() && !create {
            return Err(misconfigured(format!(
                "no queue file {}; start the actors with `asya up PATH` in this directory, or name the file with --queue-file",
                path.display()
            )));
        }
        if path.is_dir() {
            let file = path.join("queue.db");
            return Err(misconfigured(format!(
                "queue file {} is a directory; name a file, such as {}",
                path.display(),
                file.display()
            )));
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| {
                let parent = parent.display();
                misconfigured(format!("making directory {parent}: {error}; --queue-file names another place"))
            })?;
        }
        let local =
            Local::open(&path, LocalOptions::default()).map_err(|error| misconfigured(error.to_string()))?;
        let most = most(&(local.clone() as Arc<dyn Transport>));
        let beside = payload_directory(&path);
        let payloads = match payloads {
            None if beside.is_dir() => Some(kept_in(&beside)?),
            said => said,
        };
        Ok(Self {
            transport: local.clone(),
            queues: local.clone(),
            dead: local.clone(),
            local: Some(local),
            payloads: payloads.map(|claims| claims.at_most(most)),
            naming: Naming::bare(),
            name: "local",
        })
    }

    async fn connect(url: &str) -> anyhow::Result<Self> {
        let (scheme, _rest) = url.split_once("://").unwrap_or((url, ""));
        match scheme {
            #[cfg(feature = "rabbitmq")]
            "rabbitmq" | "rabbitmqs" | "amqp" | "amqps" => {
                use asya_transport::rabbitmq::{Rabbitmq, RabbitmqConfig};
                let mut config = RabbitmqConfig::new(url);
                "asya-cli".clone_into(&mut config.name);
                let naming = naming()?;
                let rabbitmq = Rabbitmq::connect(config).await?;
                Ok(Self::remote(rabbitmq, naming, "rabbitmq"))
            }
            #[cfg(not(feature = "rabbitmq"))]
            "rabbitmq" | "rabbitmqs" | "amqp" | "amqps" => {
                Err(misconfigured("this build of asya has no RabbitMQ: build it with the feature rabbitmq"))
            }
            #[cfg(feature = "sqs")]
            "sqs" => {
                use asya_transport::sqs::Sqs;
                let naming = naming()?;
                Ok(Self::remote(Sqs::connect(sqs_config(_rest)).await?, naming, "sqs"))
            }
            #[cfg(not(feature = "sqs"))]
            "sqs" => Err(misconfigured("this build of asya has no SQS: build it with the feature sqs")),
            other => Err(misconfigured(format!(
                "--transport begins with {other:?}; it must be rabbitmq://, amqp://, amqps:// or sqs://"
            ))),
        }
    }

    #[cfg(any(feature = "rabbitmq", feature = "sqs"))]
    fn remote<T: Transport + Queues + DeadLetters>(
        transport: Arc<T>,
        naming: Naming,
        name: &'static str,
    ) -> Self {
        Self {
            transport: transport.clone(),
            queues: transport.clone(),
            dead: transport,
            local: None,
            payloads: None,
            naming,
            name,
        }
    }

    /// The queue file, or an error that says that this needs one.
    pub(crate) fn local(&self, what: &str) -> anyhow::Result<&Arc<Local>> {
        self.local
            .as_ref()
            .ok_or_else(|| misconfigured(format!("{what} works on a queue file, not with --transport")))
    }

    /// The depth of these queues; of all in the file if none is named.
    pub(crate) async fn depths(&self, actors: &[String]) -> anyhow::Result<Vec<(Queue, Depth)>> {
        if let Some(local) = &self.local
            && actors.is_empty()
        {
            return Ok(local.queues().await?);
        }
        if actors.is_empty() {
            return Err(misconfigured(
                "a broker does not list its queues: name the actors, as in `asya queues ACTOR…`",
            ));
        }
        let mut depths = Vec::new();
        for actor in actors {
            let queue = self.naming.queue(actor);
            depths.push((queue.clone(), self.queues.depth(&queue).await?));
        }
        Ok(depths)
    }
}

/// The payload store that the environment names.
fn said() -> anyhow::Result<Option<Claims>> {
    let mut read = Reader::default();
    let claims = PayloadText::from_env().claims(&mut read);
    read.done(claims).map_err(|errors| misconfigured(errors.to_string()))
}

/// Where large payloads are kept on this machine, beside the queue file.
pub(crate) fn payload_directory(queue_file: &Path) -> PathBuf {
    queue_file.with_extension("payloads")
}

/// Claims on a directory, which is made.
pub(crate) fn kept_in(directory: &Path) -> anyhow::Result<Claims> {
    let directory = std::path::absolute(directory).context("finding the current directory")?;
    let mut read = Reader::default();
    let options = PayloadText::from_env().options(&mut read);
    let options = read.done(options).map_err(|errors| misconfigured(errors.to_string()))?;
    Ok(Claims::new(store::directory(&directory).map_err(misconfigured)?, options))
}

/// Payloads above this do not travel in their envelopes: the engine's bound.
fn most(transport: &Arc<dyn Transport>) -> usize {
    let mut limits = Limits::default();
    limits.max_envelope = transport.max_message().unwrap_or(usize::MAX).min(limits.max_envelope);
    limits.publishable() / 2
}

/// How a broker's queues are called: as `ASYA_QUEUE_TEMPLATE` and `ASYA_NAMESPACE` say, which sidecars read too.
///
/// # Errors
/// Another template, or one without its namespace.
#[cfg(any(feature = "rabbitmq", feature = "sqs"))]
fn naming() -> anyhow::Result<Naming> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    named(set("ASYA_QUEUE_TEMPLATE").as_deref(), set("ASYA_NAMESPACE").as_deref())
}

#[cfg(any(feature = "rabbitmq", feature = "sqs"))]
fn named(template: Option<&str>, namespace: Option<&str>) -> anyhow::Result<Naming> {
    match (template, namespace) {
        (None | Some("asya-{actor}"), _) => Ok(Naming::bare()),
        (Some("asya-{namespace}-{actor}"), Some(namespace)) => Ok(Naming::namespaced(namespace)),
        (Some(template @ "asya-{namespace}-{actor}"), None) => Err(misconfigured(format!(
            "ASYA_QUEUE_TEMPLATE={template} needs ASYA_NAMESPACE, the actors' namespace"
        ))),
        (Some(other), _) => Err(misconfigured(format!(
            "ASYA_QUEUE_TEMPLATE={other}: must be asya-{{actor}} or asya-{{namespace}}-{{actor}}"
        ))),
    }
}

/// Says what to do about an error of the transport.
pub(crate) fn explain(error: TransportError) -> anyhow::Error {
    match error {
        TransportError::Unroutable { queue } => anyhow::anyhow!(
            "no actor \"{}\" (queue {queue} not found): start it with `asya up`, or make its queue with --create",
            queue.routing_key()
        ),
        error => error.into(),
    }
}

/// Where the queue file is: as told, else the one here or in the nearest parent directory, else here.
pub(crate) fn queue_file(common: &Common) -> anyhow::Result<PathBuf> {
    if let Some(file) = &common.queue_file {
        return Ok(file.clone());
    }
    let here = std::env::current_dir().context("finding the current directory")?;
    Ok(find_above(&here).unwrap_or_else(|| here.join(QUEUE_FILE)))
}

fn find_above(here: &Path) -> Option<PathBuf> {
    here.ancestors().map(|directory| directory.join(QUEUE_FILE)).find(|file| file.is_file())
}

/// `sqs://`, `sqs://REGION`, or `sqs://HOST:PORT` with `?region=`.
#[cfg(feature = "sqs")]
fn sqs_config(rest: &str) -> asya_transport::sqs::SqsConfig {
    let (place, query) =
        rest.trim_end_matches('/').split_once('?').unwrap_or((rest.trim_end_matches('/'), ""));
    let region = query.split('&').find_map(|pair| pair.strip_prefix("region="));
    let endpoint = place.contains(':').then(|| format!("http://{place}"));
    let bare = (endpoint.is_none() && !place.is_empty()).then_some(place);
    asya_transport::sqs::SqsConfig {
        region: region.or(bare).map(str::to_owned),
        endpoint: endpoint
            .or_else(|| std::env::var("ASYA_SQS_ENDPOINT").ok().filter(|text| !text.is_empty())),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_queue_file_above_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b");
        std::fs::create_dir_all(deep.join(".asya")).unwrap();
        std::fs::create_dir_all(directory.path().join(".asya")).unwrap();
        let outer = directory.path().join(QUEUE_FILE);
        std::fs::write(&outer, "").unwrap();
        assert_eq!(find_above(&deep), Some(outer));
        std::fs::write(deep.join(QUEUE_FILE), "").unwrap();
        assert_eq!(find_above(&deep), Some(deep.join(QUEUE_FILE)));
    }

    #[cfg(feature = "rabbitmq")]
    #[test]
    fn queues_of_a_cluster_are_named_by_its_template() {
        let queue = |template, namespace| named(template, namespace).unwrap().queue("ocr").to_string();
        assert_eq!(queue(None, Some("prod")), "asya-ocr");
        assert_eq!(queue(Some("asya-{actor}"), None), "asya-ocr");
        assert_eq!(queue(Some("asya-{namespace}-{actor}"), Some("prod")), "asya-prod-ocr");
        assert!(named(Some("asya-{namespace}-{actor}"), None).is_err());
        assert!(named(Some("{actor}"), None).is_err());
    }

    #[cfg(feature = "sqs")]
    #[test]
    fn sqs_addresses_name_a_region_or_an_endpoint() {
        assert_eq!(sqs_config("eu-west-1").region.as_deref(), Some("eu-west-1"));
        let config = sqs_config("localhost:9324?region=x");
        assert_eq!(config.endpoint.as_deref(), Some("http://localhost:9324"));
        assert_eq!(config.region.as_deref(), Some("x"));
    }
}
