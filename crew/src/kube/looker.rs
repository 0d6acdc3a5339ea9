//! From an envelope to a way into the cluster that leads as far as whoever asked may go.

use std::time::Duration;

use asya_analysis::scrub::scrub;
use asya_cluster::{
    Api, Fence, Patience, Refusal,
    look::{Error, kinds},
    namespaces::Namespaces,
};
use asya_envelope::Envelope;
use asya_session::desk::SUBJECT;
use asya_settings::{Reader, boolean};
use kube::Client;
use tokio::{sync::OnceCell, time::Instant};

use super::{Access, client};
use crate::{
    actor::ActError,
    asked::{Source, Subjects, Unasked},
    shipped::Variables,
};

/// How often one question is asked: whoever called can call again.
const TRIES: u32 = 2;
/// For one answer of the API server.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a tool that looks into a cluster is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it may, and for whom.
    pub access: Access,
    /// Where the keys are with which subjects are checked; none: there are none, and nobody needs one.
    pub subjects: Option<Source>,
    /// Whether envelopes are answered that say nothing of who asked.
    pub optional: bool,
}

impl Settings {
    /// Reads `ASYA_KUBE_…`, `ASYA_SUBJECT_…` and where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut reader = Reader::default();
        let access = Access::read(&mut reader, variables, Namespaces::all());
        let name = "ASYA_SUBJECT_OPTIONAL";
        let optional = reader.or(name, variables.get(name), false, boolean);
        let has_keys =
            ["ASYA_SUBJECT_KEYS_FILE", "ASYA_GATEWAY_URL"].iter().any(|name| variables.get(name).is_some());
        let subjects = if has_keys || !optional { Source::read(variables).map(Some) } else { Ok(None) };
        match (reader.done(()), subjects) {
            (Ok(()), Ok(subjects)) => Ok(Self { access, subjects, optional }),
            (read, subjects) => {
                let wrong = read.err().map(|asya_settings::Errors(wrong)| wrong).unwrap_or_default();
                Err(wrong.into_iter().chain(subjects.err().unwrap_or_default()).collect())
            }
        }
    }
}

/// Why a call is not answered.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// What the model is told.
    Told(String),
    /// Nothing that a model could do anything about.
    Failed(ActError),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Told(in_words(&error))
    }
}

/// Opens ways into the cluster.
pub(crate) struct Looker {
    access: Access,
    subjects: Option<Subjects>,
    optional: bool,
    client: OnceCell<Client>,
    /// Who asks, as the audit log of an API server says it.
    agent: &'static str,
}

impl Looker {
    /// By these settings; the cluster is looked for when the first call comes.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    pub(crate) fn new(settings: &Settings, agent: &'static str) -> Result<Self, String> {
        if settings.access.users.is_none() {
            tracing::warn!("ASYA_KUBE_USER_CLAIM is not set: whoever may chat reads what this account may");
        }
        let subjects = settings.subjects.as_ref().map(Subjects::new).transpose()?;
        let access = settings.access.clone();
        Ok(Self { access, subjects, optional: settings.optional, client: OnceCell::new(), agent })
    }

    /// Into the cluster of this client.
    pub(crate) fn into(self, client: Client) -> Self {
        Self { client: OnceCell::new_with(Some(client)), ..self }
    }

    /// A way for whoever asked for this envelope: so far as they and the tool may, for so long, for so many bytes. Cancel
    /// safe.
    pub(crate) async fn api(
        &self,
        envelope: &Envelope,
        time: Duration,
        bytes: u64,
    ) -> Result<Api, Unanswered> {
        let claims = match &self.subjects {
            Some(subjects) => match subjects.of(envelope).await {
                Ok(asked) => Some(asked.claims),
                Err(Unasked::Nobody) if self.optional => None,
                Err(error @ Unasked::Away(_)) => {
                    return Err(Unanswered::Failed(ActError::Gateway(error.to_string())));
                }
                Err(error) => return Err(Unanswered::Told(format!("refused: {error}"))),
            },
            None if envelope.headers.get_text(SUBJECT).is_some() => {
                let why = "who asked cannot be checked here: neither ASYA_SUBJECT_KEYS_FILE nor ASYA_GATEWAY_URL is set";
                return Err(Unanswered::Told(format!("refused: {why}")));
            }
            None => None,
        };
        let who = claims.as_ref().map_or("nobody who is known", |claims| &claims.sub);
        tracing::info!(who, tool = self.agent, "a look into the cluster");
        let connect = || async {
            client(self.agent)
                .await
                .map_err(|reason| ActError::Cluster { doing: "looking for the cluster".to_owned(), reason })
        };
        let client = self.client.get_or_try_init(connect).await.map_err(Unanswered::Failed)?;
        let mut fence = Fence::around(self.access.namespaces.clone());
        if let (Some(claims), Some(users)) = (claims, &self.access.users) {
            let person = users.person(&claims.sub, &claims.groups);
            let person = person.map_err(|reason| Unanswered::Told(format!("refused: {reason}")))?;
            fence = fence.reviewing(client.clone(), person);
        }
        let end = Some(Instant::now() + time);
        let patience = Patience { answer: PATIENCE, tries: TRIES, end, ..Patience::default() };
        Ok(Api::new(client.clone(), patience).within(bytes).behind(fence))
    }

    /// Namespaces that may be looked at.
    pub(crate) const fn namespaces(&self) -> &Namespaces {
        &self.access.namespaces
    }
}

/// What a model is told of an error, with what it can do about it.
pub(crate) fn in_words(error: &Error) -> String {
    if let Some((words, commands)) = error.missing_right() {
        let commands = commands.join(" && ");
        return format!(
            "this tool's own account may not {words}; an administrator of the cluster gives the right with: {commands}"
        );
    }
    match error {
        Error::NoKind { name } => format!(
            "kind: the cluster serves no {name:?}; there are {}, and the kinds of its CustomResourceDefinitions, as \
             asyncactors or asyncactors.asya.sh",
            kinds::names().collect::<Vec<_>>().join(", ")
        ),
        Error::NoNamespace { kind } => {
            format!("namespace: a {kind} is in one; list it without a name to see in which")
        }
        Error::NotThere { name } => {
            format!("there is no namespace {name}; list of kind namespace shows which there are")
        }
        Error::NoObject { served, namespace, name } => {
            let place = namespace.as_ref().map(|namespace| format!(" in namespace {namespace}"));
            format!("there is no {} {name}{}", served.kind, place.unwrap_or_default())
        }
        Error::Selector(said) => format!("selector: {said}; such as app=web,tier!=test"),
        Error::Argument { .. } | Error::NoLog(_) => error.to_string(),
        Error::Refused { refusal, resource, .. } => match refusal {
            Refusal::Forbidden(said) | Refusal::Denied(said) => said.clone(),
            Refusal::NotFound { .. } => format!("the cluster serves no {resource} there"),
            Refusal::Expired => "the list changed while it was read: ask again".to_owned(),
            Refusal::Wrong(said) | Refusal::Failed(said) => {
                format!("{resource} cannot be read: {}", scrub(said))
            }
            Refusal::TooMuch(bytes) => format!(
                "more than {} MiB would have to be read: ask for one namespace, for a selector, or for fewer",
                bytes >> 20
            ),
        },
    }
}
