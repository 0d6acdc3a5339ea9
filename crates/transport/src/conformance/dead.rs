//! Messages that nobody could handle.

use std::sync::Arc;

use anyhow::{Context as _, ensure};

use super::{
    Harness, Verdict,
    kit::{Bench, done, name, next, nothing, settle, text},
};
use crate::{Outcome, Selection};

/// A person can look at dead letters, send them again, and throw them away.
pub(super) async fn dead_letters_can_be_listed_replayed_dropped(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    const COUNT: usize = 5;
    let bench = Bench::new(harness).await?;
    let dead = &bench.client.dead_letters;
    let mut consumer = bench.consume(COUNT as u16).await?;
    bench.publish_many(COUNT).await?;
    for _ in 0..COUNT {
        let delivery = next(&mut *consumer).await?;
        let reason = format!("nobody wants {}", text(&delivery));
        settle(delivery, Outcome::DeadLetter { reason }).await?;
    }
    bench.depth_is(0, COUNT as u64).await?;

    let letters = dead.list(&bench.queue, 100).await?;
    ensure!(letters.len() == COUNT, "{} dead letters of {COUNT}", letters.len());
    ensure!(dead.list(&bench.queue, 2).await?.len() == 2, "a limit of 2 was not kept");
    let find = |n: usize| {
        letters.iter().find(|letter| letter.body == name(n)).with_context(|| format!("no letter {n}"))
    };
    if bench.traits.keeps_reason {
        for n in 0..COUNT {
            ensure!(find(n)?.reason == format!("nobody wants {}", name(n)), "letter {n} has another reason");
            ensure!(find(n)?.source.as_ref() == Some(&bench.queue), "letter {n} has another source");
        }
    }
    let shown = dead.show(&bench.queue, &find(1)?.id).await?.context("letter 1 cannot be shown")?;
    ensure!(shown.body == name(1), "another letter was shown");
    ensure!(dead.show(&bench.queue, "no-such-id").await?.is_none(), "an unknown id shows something");

    let some = Selection::Ids(vec![find(2)?.id.clone(), find(4)?.id.clone(), "no-such-id".to_owned()]);
    ensure!(dead.replay(&bench.queue, some).await? == 2, "not two were replayed");
    let mut replayed = Vec::new();
    for _ in 0..2 {
        let delivery = next(&mut *consumer).await?;
        ensure!(delivery.meta.attempts == 0, "a replay starts with fresh counters");
        replayed.push(text(&delivery));
        done(delivery).await?;
    }
    replayed.sort();
    ensure!(replayed == [name(2), name(4)], "replayed {replayed:?}");
    nothing(&mut *consumer, bench.traits.delay).await?;
    bench.depth_is(0, 3).await?;

    ensure!(
        dead.discard(&bench.queue, Selection::Ids(vec![find(0)?.id.clone()])).await? == 1,
        "not one was dropped"
    );
    bench.depth_is(0, 2).await?;
    ensure!(dead.replay(&bench.queue, Selection::All).await? == 2, "not all were replayed");
    for _ in 0..2 {
        done(next(&mut *consumer).await?).await?;
    }
    bench.depth_is(0, 0).await?;
    ensure!(dead.discard(&bench.queue, Selection::All).await? == 0, "nothing was left to drop");
    Ok(Verdict::Passed)
}
