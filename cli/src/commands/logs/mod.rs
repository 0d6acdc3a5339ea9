//! `asya logs`.

mod follow;
mod line;
mod print;
mod source;

use std::time::Duration;

use asya_envelope::ActorName;
use asya_resources::{Delay, Word};
use clap::Args;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use serde_json::Value;

use self::{
    line::Line,
    print::Printer,
    source::{ACTOR_LABEL, Source},
};
use crate::{
    args::Common,
    broker::queue_file,
    cluster::{Cluster, ClusterArgs, ClusterError, error::Asked, resource::PODS},
    exit::{self, misconfigured},
};

/// Lines of each container that are shown unless told otherwise.
const TAIL: i64 = 200;
/// Most that is read of one container at once, in bytes: the whole of a log that the kubelet has not rotated yet.
const MOST: i64 = 10 * 1024 * 1024;
/// Containers that are read at the same time.
const AT_ONCE: usize = 16;

/// Show what the pods of an actor print, or everything about one envelope
#[derive(Debug, Args)]
#[command(
    after_help = "Lines of all pods and containers are merged by time. With -f, pods that come up later are \
    followed too; Ctrl-C ends it. An envelope's id shows the lines of sidecars and runtimes that name it or one of its \
    fan-out children, from the pods that are still there.\n\n\
    Examples:\n  asya logs ocr -f\n  asya logs ocr --container asya-runtime --since 10m\n  \
    asya logs ocr --previous\n  asya logs 0199c0de-0000-7000-8000-000000000000 -n prod"
)]
pub(crate) struct Logs {
    /// An actor, or the id of an envelope
    #[arg(value_name = "ACTOR|ENVELOPE")]
    target: String,
    /// It is an envelope's id, whatever it looks like
    #[arg(long)]
    envelope: bool,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Not older than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    /// Lines of each container, from the end [default: 200; all with --since or an envelope's id]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    tail: Option<i64>,
    /// Only containers of this name, such as asya-runtime or asya-sidecar
    #[arg(long, short, value_name = "NAME")]
    container: Option<String>,
    /// What containers printed before their last restart
    #[arg(long, conflicts_with = "follow")]
    previous: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    Delay::parse(text).map(|delay| delay.0)
}

/// What is looked for, and where.
struct Wanted {
    /// Selector of the pods.
    labels: String,
    container: Option<String>,
    /// The envelope, if it is about one.
    envelope: Option<String>,
    params: LogParams,
}

impl Logs {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { target, envelope, follow, since, tail, container, previous, cluster } = self;
        if !cluster.asked(&common)?
            && let Ok(file) = queue_file(&common)
            && file.exists()
        {
            return Err(misconfigured(format!(
                "{} belongs to `asya up`, which prints what handlers print where it runs and keeps nothing: `asya up … | tee \
                 FILE` keeps it, `asya status ID` says how an envelope ended; for a cluster's logs add -n NAMESPACE",
                file.display()
            )));
        }
        let cluster = cluster.connect(&common).await?;
        let mut sleeping = None;
        let envelope = if envelope || !is_name(&target) {
            Some(target.clone())
        } else {
            match cluster.actor(&target).await {
                Ok(actor) => {
                    sleeping = actor.word().and_then(Word::read);
                    None
                }
                Err(error) if error.is::<ClusterError>() => return Err(error),
                Err(_) if is_uuid(&target) => Some(target.clone()),
                Err(error) => anyhow::bail!("{error}; for an envelope's id add --envelope"),
            }
        };
        let all = since.is_some() || envelope.is_some();
        let tail = tail.or((!all).then_some(TAIL));
        let since_seconds = since.map(|since| i64::try_from(since.as_secs().max(1)).unwrap_or(i64::MAX));
        let params = LogParams {
            follow,
            previous,
            since_seconds,
            tail_lines: tail,
            timestamps: true,
            limit_bytes: (!follow).then_some(MOST),
            ..LogParams::default()
        };
        let labels = match &envelope {
            Some(_) => ACTOR_LABEL.to_owned(),
            None => format!("{ACTOR_LABEL}={target}"),
        };
        let wanted = Wanted { labels, container, envelope, params };
        let mut printer = Printer::new(common.output);
        if follow {
            return tokio::select! {
                result = follow::follow(&cluster, wanted, &mut printer) => result.map(|()| exit::OK),
                // There is no other end.
                _ = tokio::signal::ctrl_c() => Ok(exit::OK),
            };
        }
        crate::commands::interruptible(once(&cluster, wanted, &target, sleeping, &mut printer)).await
    }
}

/// What there is now, by time.
async fn once(
    cluster: &Cluster,
    wanted: Wanted,
    target: &str,
    word: Option<Word>,
    printer: &mut Printer,
) -> anyhow::Result<u8> {
    let pods = cluster.list(PODS, Some(&cluster.namespace), &wanted.labels).await?;
    let sources: Vec<_> = pods.iter().flat_map(|pod| Source::of(pod, wanted.container.as_deref())).collect();
    if sources.is_empty() {
        return nothing(&pods, &wanted, target, word);
    }
    let wanted = &wanted;
    let reads: Vec<_> = stream::iter(&sources)
        .map(async |source| (source, read(cluster, source, wanted).await))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut lines = Vec::new();
    for (source, read) in reads {
        match read {
            // A right that is missing is missing for all.
            Err(error @ ClusterError::Forbidden(_)) => return Err(error.into()),
            Err(error) => printer.note(&format!("{}: {error}", source.prefix())),
            Ok(read) => lines.extend(read.into_iter().map(|line| (source, line))),
        }
    }
    if let Some(id) = &wanted.envelope
        && lines.is_empty()
    {
        let pods = pods.len();
        printer.note(&format!(
            "no line of the {pods} pods of namespace {} names {id}: runs that succeed leave none unless the handler prints; \
             pods that are gone took theirs along",
            cluster.namespace
        ));
        return Ok(exit::FAILED);
    }
    // Lines without a time of their own stay behind the one before them.
    lines.sort_by_key(|(_, line)| line.time);
    for (source, line) in lines {
        printer.line(source, &line);
    }
    Ok(exit::OK)
}

/// The lines of one container that are wanted.
async fn read(cluster: &Cluster, source: &Source, wanted: &Wanted) -> Result<Vec<Line>, ClusterError> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &source.namespace);
    let params = LogParams { container: Some(source.container.clone()), ..wanted.params.clone() };
    let text = cluster.ask(asked(&source.namespace), api.logs(&source.pod, &params)).await?;
    let mut lines: Vec<_> = text.lines().map(Line::read).collect();
    let mut last = None;
    for line in &mut lines {
        // A traceback's lines have the time of what they follow.
        line.time = line.time.or(last);
        last = line.time;
    }
    if let Some(id) = &wanted.envelope {
        lines.retain(|line| line.is_about(id));
    }
    Ok(lines)
}

fn asked(namespace: &str) -> Asked<'_> {
    Asked { verb: "get", resource: PODS, subresource: Some("log"), namespace: Some(namespace) }
}

/// Says why there is nothing to show.
fn nothing(pods: &[Value], wanted: &Wanted, target: &str, word: Option<Word>) -> anyhow::Result<u8> {
    if let (Some(first), Some(container)) = (pods.first(), &wanted.container) {
        let there = source::containers(first);
        if !there.contains(container) {
            return Err(misconfigured(format!("no container {container}; there are: {}", there.join(", "))));
        }
    }
    let why = match (pods.len(), word) {
        (0, Some(word)) => {
            format!("{target} has no pod ({}: {}); -f waits for one", word.as_str(), word.meaning())
        }
        (0, None) => "there is no pod; -f waits for one".to_owned(),
        (count, _) => {
            format!("none of the {count} pods has started a container; see `asya explain actor {target}`")
        }
    };
    eprintln!("note: {why}");
    Ok(exit::OK)
}

/// Whether an actor could be called so.
fn is_name(text: &str) -> bool {
    ActorName::parse(text).is_ok()
}

/// Whether it looks like an id that we make, or a child's of one.
fn is_uuid(text: &str) -> bool {
    text.get(..36).is_some_and(|start| uuid::Uuid::try_parse(start).is_ok())
}
