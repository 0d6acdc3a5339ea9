//! The actor `k8s-read`: the tool by which a model reads a cluster, for whoever asked it.
//!
//! | module | holds |
//! |---|---|
//! | this | [`K8sRead`]: from an envelope to an answer |
//! | `asked` | verbs and arguments |
//! | `list`, `object`, `describe`, `logs`, `events`, `top` | what each verb answers |
//! | `near` | what is there instead of what is not |
//!
//! The payload is the call's arguments; what goes on is `{"text"}`, `{"object"}` or, for the model to see, `{"error"}`. The
//! invariant: **it only reads, and no more than both its own account and whoever asked may.** There is no verb but those of a
//! table, every question is a GET, and each passes a [`Fence`](asya_cluster::Fence).

mod asked;
mod describe;
mod events;
mod list;
mod logs;
pub(super) mod near;
mod object;
mod top;

use std::time::Duration;

use asya_cluster::{Api, Served, look::Error, look::kinds};
use asya_handler::{End, Item, Request};
use futures::future::BoxFuture;
use kube::Client;
use serde_json::{Map, Value};

pub use self::asked::verbs;
use self::asked::{Arguments, Verb};
use super::{
    answer,
    looker::{Looker, Settings, Unanswered, in_words},
};
use crate::{
    InProcess,
    actor::{Act, ActError},
};

/// Calls at once: each may hold [`READ`] bytes several times over while they are parsed.
const CALLS: usize = 4;
/// How long a call may take; and no more than four fifths of what the engine allows, so that it can say so.
const TIME: Duration = Duration::from_secs(20);
/// Most that one call reads of the API server's answers, in bytes.
const READ: u64 = 16 * 1024 * 1024;

/// Reads a cluster.
pub struct K8sRead {
    looker: Looker,
}

impl K8sRead {
    /// The actor. The cluster is that of `KUBECONFIG`, or of the service account around this process.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(settings: &Settings) -> Result<InProcess<Self>, String> {
        let looker = Looker::new(settings, "asya-k8s-read")?;
        Ok(InProcess::new(Self { looker }, CALLS))
    }

    /// The actor, for the cluster of this client.
    ///
    /// # Errors
    /// As [`K8sRead::new`].
    pub fn with(settings: &Settings, client: Client) -> Result<InProcess<Self>, String> {
        let looker = Looker::new(settings, "asya-k8s-read")?.into(client);
        Ok(InProcess::new(Self { looker }, CALLS))
    }

    async fn answer(&self, request: &Request) -> Result<Value, Unanswered> {
        let (verb, arguments) = asked::read(arguments(request)?)?;
        let time = TIME.min(request.timeout / 5 * 4);
        let api = self.looker.api(&request.envelope, time, READ).await?;
        let call = Call { api, looker: &self.looker, arguments };
        match call.answer(verb).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let near = near::near(&call.api, self.looker.namespaces(), &error).await;
                Err(Unanswered::Told(format!("{}{near}", in_words(&error))))
            }
        }
    }
}

impl Act for K8sRead {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { ended(self.answer(&request).await) })
    }
}

/// The arguments of the call that an envelope is.
pub(super) fn arguments(request: &Request) -> Result<Map<String, Value>, Unanswered> {
    serde_json::from_slice(request.envelope.payload.as_bytes())
        .map_err(|_| Unanswered::Told("the arguments must be a JSON object".to_owned()))
}

/// What goes on after a call.
pub(super) fn ended(answered: Result<Value, Unanswered>) -> Result<End, ActError> {
    let payload = match answered {
        Ok(answer) => answer,
        Err(Unanswered::Told(sentence)) => answer::error(&sentence),
        Err(Unanswered::Failed(error)) => return Err(error),
    };
    Ok(End::Done(vec![Item::payload(asya_envelope::Raw::of(&payload))]))
}

/// One call.
struct Call<'a> {
    api: Api,
    looker: &'a Looker,
    arguments: Arguments,
}

impl Call<'_> {
    async fn answer(&self, verb: Verb) -> Result<Value, Error> {
        match verb {
            // As kubectl has it.
            Verb::Get if self.arguments.name.is_none() => self.list().await,
            Verb::Get => self.get().await,
            Verb::List => self.list().await,
            Verb::Describe => self.describe().await,
            Verb::Logs => self.logs().await,
            Verb::Events => self.events().await,
            Verb::Top => self.top().await,
        }
    }

    async fn kind(&self) -> Result<Served, Error> {
        kinds::called(&self.api, self.arguments.kind()?).await
    }

    fn namespace(&self) -> Option<&str> {
        self.arguments.namespace.0.as_deref()
    }
}
