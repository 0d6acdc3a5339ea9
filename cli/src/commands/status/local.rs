//! What a queue file knows.

use asya_crew::{ERRORS, RESULTS};
use serde_json::json;

use crate::{
    args::Common,
    broker::Broker,
    exit, follow,
    output::{Output, print, short, table},
};

/// Records that are counted; beyond it the count ends in a plus.
const COUNTED: usize = 100_000;
/// Failures that are shown.
const SHOWN: usize = 10;

pub(super) async fn run(id: Option<String>, common: &Common) -> anyhow::Result<u8> {
    let broker = Broker::open(common, false).await?;
    let local = broker.local("status")?;
    let store = local.store();
    if let Some(id) = id {
        return one(common, &*store, id).await;
    }
    let succeeded = store.list(RESULTS, "", COUNTED).await?;
    let failed = store.list(ERRORS, "", COUNTED).await?;
    let joined =
        succeeded.iter().filter(|record| record.value.starts_with(b"{\"status\":\"joined\"")).count();
    let depths = local.queues().await?;
    let waiting: u64 = depths.iter().map(|(_, depth)| depth.ready + depth.in_flight + depth.delayed).sum();
    let dead: u64 = depths.iter().map(|(_, depth)| depth.dead).sum();
    let line = json!({
        "succeeded": succeeded.len() - joined, "joined": joined, "failed": failed.len(), "on_the_way": waiting,
        "dead": dead, "queue_file": local.path(),
    });
    common.output.line(&line, || {
        format!(
            "{} succeeded, {} failed, {waiting} on the way, {dead} dead ({})",
            succeeded.len() - joined,
            failed.len(),
            local.path().display()
        )
    });
    let mut last = failed;
    last.drain(..last.len().saturating_sub(SHOWN));
    let mut rows = Vec::new();
    for record in last {
        let (ended, _) = follow::read(&record.key, &record.value)?;
        let why = ended.error.clone().unwrap_or_default();
        if common.output == Output::Json {
            common.output.line(&ended, String::new);
        }
        let message =
            why.type_name.map_or_else(|| why.message.clone(), |name| format!("{name}: {}", why.message));
        rows.push(vec![ended.id, why.actor, why.code, short(&message, 80)]);
    }
    if common.output == Output::Human && !rows.is_empty() {
        print(&format!("\n{}", table(&["FAILED", "ACTOR", "CODE", "MESSAGE"], &rows)));
    }
    Ok(exit::OK)
}

async fn one(common: &Common, store: &dyn asya_store::Store, id: String) -> anyhow::Result<u8> {
    if let Some(ends) = follow::ends(store, id.clone()).await? {
        for ended in &ends {
            common.output.line(ended, || ended.text());
            if let Some(traceback) = ended.error.as_ref().and_then(|why| why.traceback.as_ref())
                && common.output == Output::Human
            {
                print(traceback.trim_end());
            }
        }
        return Ok(if ends.iter().any(follow::Ended::failed) { exit::FAILED } else { exit::OK });
    }
    let partly = follow::end(store, &id).await?;
    let sentence = if partly.is_some() {
        "has ended, some of its children have not"
    } else {
        "has not ended: it is on its way, or was never sent here"
    };
    let status = if partly.is_some() { "children_on_the_way" } else { "unknown" };
    common.output.line(&json!({"id": id, "status": status}), || format!("{id} {sentence}"));
    Ok(exit::FAILED)
}
