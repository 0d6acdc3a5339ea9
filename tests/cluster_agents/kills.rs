//! Conversations on a cluster whose gateway, operator and agent are killed between every two entries of the session.

use anyhow::{Context, Result, bail, ensure};
use asya_tests::{
    installed::{Installed, TOOLS},
    script::Script,
};
use serde_json::Value;

/// What the conversation waits for.
enum Next {
    /// The model.
    Model,
    /// The actor of a tool.
    Tool(String),
    /// Somebody who says something.
    Person,
}

impl Next {
    fn after(entry: &Value) -> Result<Self> {
        Ok(match entry["kind"].as_str() {
            Some("user" | "tool") => Self::Model,
            Some("assistant") => match entry["calls"].as_array().map(Vec::as_slice) {
                None | Some([]) => Self::Person,
                Some([call]) => Self::Tool(call["name"].as_str().context("a name")?.replace('_', "-")),
                Some(_) => bail!("several calls at once: {entry}"),
            },
            _ => bail!("nothing follows from {entry}"),
        })
    }
}

/// Who decides what the agent proposes, and what is looked at on the way.
pub(crate) trait Decides {
    /// While an operation waits.
    async fn meanwhile(&self, _: &mut Installed) -> Result<()> {
        Ok(())
    }

    /// It is decided.
    async fn decides(&self, it: &Installed, operation: &Value) -> Result<()>;

    /// The tool has said what came of it, and the model does not know yet.
    async fn afterwards(&self, _: &Installed) -> Result<()> {
        Ok(())
    }
}

/// What a conversation that was killed all the time came to.
pub(crate) struct Survived {
    /// Its entries.
    pub(crate) entries: Vec<Value>,
    /// How often everything was killed.
    pub(crate) rounds: usize,
    /// Answers of the model.
    pub(crate) turns: usize,
    /// How often it was asked for them.
    pub(crate) asked: usize,
}

/// Leads a session to its end. It stands still after each entry, because the model keeps its answer back and the tool that is
/// called is frozen; then gateway, operator and agent are killed, and are to find everything as it was. While an operation
/// waits `person` decides it.
pub(crate) async fn through(
    it: &mut Installed,
    script: &Script,
    session: &str,
    person: &impl Decides,
) -> Result<Survived> {
    let (mut rounds, mut turns, mut calls) = (0, 0, 0);
    for n in 1.. {
        let entries = reaches(it, session, n).await?;
        match Next::after(&entries[n - 1])? {
            Next::Model => {
                // What is killed over a question asks again: nothing was stored that would answer it.
                script.until_asked(turns, 1).await.with_context(|| it.words())?;
                let before = script.asked(turns);
                it.kill_all().await?;
                script.until_asked(turns, before + 1).await.with_context(|| it.words())?;
                turns += 1;
                for tool in TOOLS {
                    it.freeze(tool)?;
                }
                stands(it, session, n).await?;
                script.release();
            }
            Next::Tool(called) => {
                calls += 1;
                for tool in TOOLS.iter().filter(|tool| **tool != called) {
                    it.thaw(tool)?;
                }
                it.kill_all().await?;
                stands(it, session, n).await?;
                it.thaw(&called)?;
                if called == "k8s-write" {
                    it.people.becomes(session, "input-required").await?;
                    person.meanwhile(it).await?;
                    it.kill_all().await?;
                    let operation = it.people.waiting(session).await?;
                    it.freeze(&called)?;
                    person.decides(it, &operation).await?;
                    it.kill_all().await?;
                    stands(it, session, n).await?;
                    it.thaw(&called)?;
                    reaches(it, session, n + 1).await?;
                    person.afterwards(it).await?;
                    rounds += 2;
                }
            }
            Next::Person => {
                for tool in TOOLS {
                    it.thaw(tool)?;
                }
                it.kill_all().await?;
                it.people.becomes(session, "idle").await?;
                let entries = it.people.entries(session).await?;
                ensure!(entries.len() == n, "{entries:?}");
                // Once when it was killed, and once after it. A call goes out twice where the kill came between its sending and
                // its acknowledgement, and both of its results may ask then.
                let (asked, most) = (script.heard().len(), 2 * (turns + calls));
                ensure!((2 * turns..=most).contains(&asked), "{turns} answers were asked for {asked} times");
                return Ok(Survived { entries, rounds: rounds + 1, turns, asked });
            }
        }
        rounds += 1;
    }
    bail!("it does not end")
}

/// Waits until there are so many entries.
async fn reaches(it: &Installed, session: &str, n: usize) -> Result<Vec<Value>> {
    let there = async || Ok(it.people.entries(session).await.is_ok_and(|now| now.len() >= n));
    it.people.until(&format!("there are {n} entries"), there).await.with_context(|| it.words())?;
    it.people.entries(session).await
}

/// Nothing was lost, and nothing went on by itself.
async fn stands(it: &Installed, session: &str, n: usize) -> Result<()> {
    let entries = it.people.entries(session).await?;
    ensure!(entries.len() == n, "{n} entries became {}: {entries:?}", entries.len());
    Ok(())
}
