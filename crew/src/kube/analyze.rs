//! The actor `analyze`: the analyzers of `asya analyze` as a tool, for whoever asked.
//!
//! The payload is `{namespace?, filters?}`; what goes on is `{"text"}` or, for the model to see, `{"error"}`. Each question to
//! the API server passes the fence of whoever asked: what they may not read is told as not verified.

use std::{fmt::Write as _, time::Duration};

use asya_cluster::{
    Api,
    look::{
        Error,
        analysis::Wanted,
        arguments::{self, Namespace},
        kinds,
        list::Wanted as List,
    },
    report::{Finding, Report},
};
use asya_handler::{End, Request};
use futures::future::BoxFuture;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    answer::{Text, start_of},
    looker::{Looker, Settings, Unanswered, in_words},
    read::{self, near::near},
};
use crate::{
    InProcess,
    actor::{Act, ActError},
};

/// Calls at once; most of them wait for the one that reads.
const CALLS: usize = 2;
/// How long an analysis may take: what was not read by then is not verified. And no more than four fifths of what the engine
/// allows, so that it can say so.
const TIME: Duration = Duration::from_secs(50);
/// Most that an analysis reads, in bytes. In memory it is several times as much.
const READ: u64 = 32 * 1024 * 1024;
/// Longest sentence of a failure, or value of its evidence, in bytes.
const SENTENCE: usize = 600;
/// Places of one failure that are told.
const PLACES: usize = 3;
/// Most namespaces that are looked at where not all may be.
const NAMESPACES: usize = 50;

/// Analyses a cluster.
pub struct AnalyzeCluster {
    looker: Looker,
    /// One at a time: it holds what it has read until its end.
    place: Semaphore,
}

/// The arguments of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    namespace: Namespace,
    #[serde(default)]
    filters: Vec<String>,
}

impl AnalyzeCluster {
    /// The actor. The cluster is that of `KUBECONFIG`, or of the service account around this process.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(settings: &Settings) -> Result<InProcess<Self>, String> {
        Ok(Self::by(Looker::new(settings, "asya-analyze")?))
    }

    /// The actor, for the cluster of this client.
    ///
    /// # Errors
    /// As [`AnalyzeCluster::new`].
    pub fn with(settings: &Settings, client: Client) -> Result<InProcess<Self>, String> {
        Ok(Self::by(Looker::new(settings, "asya-analyze")?.into(client)))
    }

    fn by(looker: Looker) -> InProcess<Self> {
        InProcess::new(Self { looker, place: Semaphore::new(1) }, CALLS)
    }

    async fn answer(&self, request: &Request) -> Result<Value, Unanswered> {
        let Arguments { namespace: Namespace(namespace), filters } =
            arguments::read(read::arguments(request)?)?;
        let mut wanted =
            Wanted::by(&filters).map_err(|reason| Unanswered::Told(format!("filters: {reason}")))?;
        let _place = self.place.acquire().await;
        let time = TIME.min(request.timeout / 5 * 4);
        let api = self.looker.api(&request.envelope, time, READ).await?;
        let mut notes = Vec::new();
        wanted.namespaces = match namespace {
            Some(namespace) => Some([namespace].into()),
            None if self.looker.namespaces().is_all() => None,
            None => {
                let (these, more) = self.namespaces(&api).await?;
                if more {
                    notes.push(format!("only {NAMESPACES} namespaces were looked at: name one"));
                }
                Some(these.into_iter().collect())
            }
        };
        match wanted.run(&api).await {
            Ok(mut report) => {
                report.notes.extend(notes);
                Ok(in_text(&report))
            }
            Err(error) => {
                let near = near(&api, self.looker.namespaces(), &error).await;
                Err(Unanswered::Told(format!("{}{near}", in_words(&error))))
            }
        }
    }

    /// The namespaces that may be looked at, where these are not all; and whether there are more.
    async fn namespaces(&self, api: &Api) -> Result<(Vec<String>, bool), Error> {
        let Some(served) = kinds::known("namespace") else { return Ok((Vec::new(), false)) };
        let wanted = List { served: &served, namespace: None, labels: "", limit: arguments::MAX_LIMIT };
        let listed = wanted.list(api, |row| Some(row.name)).await?;
        let mut these = listed.items;
        these.retain(|name| self.looker.namespaces().contains(name));
        let more = listed.more || these.len() > NAMESPACES;
        these.truncate(NAMESPACES);
        Ok((these, more))
    }
}

impl Act for AnalyzeCluster {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { read::ended(self.answer(&request).await) })
    }
}

/// What is broken, the worst first, and what nobody knows; the latter first where the text would end before it.
fn in_text(report: &Report) -> Value {
    let mut text = Text::default();
    let problems = report.problems();
    text.line(&format!(
        "{problems} problems of {} objects; {} objects of {} were looked at",
        report.findings.len(),
        report.objects,
        report.place.scope
    ));
    let unknown = report.errors.iter().map(|error| format!("not looked at: {error}"));
    let open = report.open.iter().map(|open| format!("not verified, {} times: {}", open.count, open.why));
    for line in unknown.chain(open).chain(report.notes.iter().cloned()) {
        text.line(start_of(&line, SENTENCE));
    }
    let told = report.findings.iter().take_while(|finding| {
        let mut one = String::new();
        write_finding(&mut one, finding);
        // Whole findings only: half of one misleads.
        text.fits(&one) && {
            text.lines(&one);
            true
        }
    });
    let left = report.findings.len() - told.count();
    text.answer(
        left > 0,
        &format!("{left} objects were left out, the least severe: narrow by namespace or filters"),
    )
}

fn write_finding(out: &mut String, finding: &Finding) {
    let owner = finding.parent.as_ref().map(|owner| format!(" of {owner}")).unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}{owner}:", finding.object);
    for failure in &finding.failures {
        let said = on_a_line(&failure.text);
        let _ = writeln!(out, "  {} {}: {said}", failure.severity, failure.code);
        for seen in failure.evidence.iter().take(PLACES) {
            let object = Some(&seen.object).filter(|object| **object != finding.object);
            let object = object.map(|object| format!("{object} ")).unwrap_or_default();
            let value = seen.value.as_ref().map(|value| format!(" = {}", on_a_line(value)));
            let _ = writeln!(out, "    see {object}{}{}", seen.path, value.unwrap_or_default());
        }
    }
}

fn on_a_line(text: &str) -> String {
    start_of(text, SENTENCE).replace('\n', " ")
}
