//! Following pods, those that come up later included.
//!
//! A watch says which containers there are; each run of a container is read by one task until it ends. A connection
//! that breaks while the container runs is made again, from the last line on.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::LogParams,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use super::{Line, Printer, Source, Wanted, asked};
use crate::cluster::{Cluster, ClusterError, resource::PODS};

/// Lines that wait to be printed; containers that print more are read more slowly.
const BUFFERED: usize = 1_024;
/// Containers that are followed at the same time; each is a connection.
const FOLLOWED: usize = 100;
/// Before a broken connection is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a reading task says.
enum News {
    Line(Source, Line),
    /// Nobody may read these logs.
    Refused(ClusterError),
}

/// Follows until there is an error that waiting does not mend.
pub(super) async fn follow(cluster: &Cluster, wanted: Wanted, printer: &mut Printer) -> anyhow::Result<()> {
    // Asked once by hand, because a watch would try again for ever where a right is missing.
    let first = cluster.list(PODS, Some(&cluster.namespace), &wanted.labels).await?;
    if first.is_empty() {
        printer.note("there is no pod yet; lines appear when one comes up");
    }
    let api = cluster.api(PODS, Some(&cluster.namespace));
    let config = watcher::Config::default().labels(&wanted.labels);
    let mut pods = std::pin::pin!(watcher::watcher(api, config).default_backoff());
    let (sender, mut news) = mpsc::channel(BUFFERED);
    let mut tasks = JoinSet::new();
    let mut known = HashSet::new();
    let mut started = false;
    let mut crowded = false;
    loop {
        tokio::select! {
            event = pods.next() => {
                let (pod, later) = match event.context("the watch of pods ended")? {
                    Ok(Event::InitApply(pod)) => (pod, started),
                    Ok(Event::Apply(pod)) => (pod, true),
                    Ok(Event::InitDone) => {
                        started = true;
                        continue;
                    }
                    Ok(Event::Init | Event::Delete(_)) => continue,
                    // It is made again, ever more slowly.
                    Err(error) => {
                        tracing::debug!(%error, "watching pods");
                        continue;
                    }
                };
                let pod = serde_json::to_value(&pod)?;
                for source in Source::of(&pod, wanted.container.as_deref()) {
                    if tasks.len() >= FOLLOWED {
                        if !crowded {
                            printer.note(&format!("more than {FOLLOWED} containers; --container follows fewer of each pod"));
                        }
                        crowded = true;
                    } else if known.insert(source.clone()) {
                        // What comes up while we look is shown from its first line.
                        let tail = if later { None } else { wanted.params.tail_lines };
                        let params = LogParams { tail_lines: tail, ..wanted.params.clone() };
                        tasks.spawn(read(cluster.clone(), source, params, wanted.envelope.clone(), sender.clone()));
                    }
                }
            }
            Some(_) = tasks.join_next() => {}
            Some(said) = news.recv() => match said {
                News::Line(source, line) => printer.line(&source, &line),
                News::Refused(error) => return Err(error.into()),
            },
        }
    }
}

/// Reads one run of a container to its end.
async fn read(
    cluster: Cluster,
    source: Source,
    mut params: LogParams,
    envelope: Option<String>,
    sender: mpsc::Sender<News>,
) {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &source.namespace);
    params.container = Some(source.container.clone());
    let mut last: Option<Timestamp> = None;
    loop {
        match api.log_stream(&source.pod, &params).await {
            Ok(stream) => {
                let mut lines = stream.lines();
                while let Ok(Some(raw)) = lines.try_next().await {
                    let line = Line::read(&raw);
                    if last.is_some()
                        && line.time.is_some()
                        && line.time <= last
                        && params.since_time.is_some()
                    {
                        continue;
                    }
                    last = line.time.or(last);
                    if envelope.as_ref().is_none_or(|id| line.is_about(id))
                        && sender.send(News::Line(source.clone(), line)).await.is_err()
                    {
                        return;
                    }
                }
            }
            Err(error @ kube::Error::Api(_)) => match ClusterError::of(&error, asked(&source.namespace)) {
                refused @ ClusterError::Forbidden(_) => {
                    // Nobody listens any more: the command ends.
                    let _ = sender.send(News::Refused(refused)).await;
                    return;
                }
                // Pod or container are gone, or not there yet: the watch says when that changes.
                _ => return,
            },
            Err(error) => tracing::debug!(%error, "reading a log"),
        }
        sleep(PAUSE).await;
        match cluster.get(PODS, Some(&source.namespace), &source.pod).await {
            Ok(Some(pod)) if source.runs_in(&pod) => {}
            Ok(_) => return,
            // The API server is away: the next try says whether the container runs.
            Err(_) => continue,
        }
        params.tail_lines = if last.is_some() { None } else { Some(0) };
        params.since_seconds = None;
        params.since_time = last;
    }
}
