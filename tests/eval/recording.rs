//! Answers of a model to one case, written down. They are played again turn by turn, and the conversation is then held against
//! them: whatever it did otherwise is told.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use asya_tests::script::{Heard, Script, Words};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    case::{Case, folder},
    pattern::Pattern,
    transcript::Transcript,
};

/// What a model said in one conversation.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recording {
    /// Who answered: `hand`, or provider and model.
    pub(crate) by: String,
    /// Of an answer in evals/wrong: the case that it is an answer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<String>,
    /// Of such an answer: what the judge has to say of it, each as a pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fails: Vec<String>,
    /// Its answers in order.
    pub(crate) turns: Vec<Said>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// What the results before it have to contain, each as a pattern: it would not have been said otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) seen: Vec<String>,
    /// Words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) text: String,
    /// Calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) calls: Vec<Asks>,
    /// Tokens that it read and wrote, where somebody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<(u64, u64)>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asks {
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments.
    pub(crate) with: Value,
    /// Whether its result says that it failed, or was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) fails: bool,
}

impl Recording {
    /// A file of evals/answers or evals/wrong, for `namespace`.
    ///
    /// # Errors
    /// A file that is none, with its name.
    pub(crate) fn read(of: &str, name: &str, namespace: &str) -> Result<Self> {
        let path = path(of, name);
        let read = || {
            let recording: Self =
                serde_saphyr::from_str(&std::fs::read_to_string(&path)?.replace("{ns}", namespace))?;
            for pattern in recording.turns.iter().flat_map(|said| &said.seen).chain(&recording.fails) {
                Pattern::new(pattern)?;
            }
            Ok::<_, anyhow::Error>(recording)
        };
        read().with_context(|| path.display().to_string())
    }

    /// What was said in a conversation in `namespace`. Of the evidence each turn gets what it was the first to see.
    pub(crate) fn of(case: &Case, transcript: &Transcript, namespace: &str) -> Result<Self> {
        let (results, mut turns, mut known) = (transcript.results(), Vec::new(), 0);
        let mut by = String::new();
        let mut answered = results.iter();
        for turn in transcript.turns() {
            turn.model.clone_into(&mut by);
            let (before, new) = results[..turn.shown].split_at(known);
            let among = |some: &[(&str, &str, bool)], pattern: &Pattern| {
                some.iter().any(|(_, text, _)| pattern.is_in(text))
            };
            let seen = case.evidence.iter().filter(|pattern| among(new, pattern) && !among(before, pattern));
            known = turn.shown;
            let calls = turn.calls.iter().map(|call| Asks {
                tool: call.name.clone(),
                with: call.arguments.clone(),
                fails: answered.next().is_some_and(|(_, _, failed)| *failed),
            });
            turns.push(Said {
                seen: seen.map(|pattern| pattern.as_str().to_owned()).collect(),
                text: turn.text.to_owned(),
                calls: calls.collect(),
                usage: Some((turn.usage.input, turn.usage.output)),
            });
        }
        let recording = Self { by, case: None, fails: Vec::new(), turns };
        let text = serde_json::to_string(&recording)?.replace(namespace, "{ns}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Writes it to evals/answers.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn write(&self, name: &str) -> Result<()> {
        let path = path("answers", name);
        std::fs::write(&path, serde_saphyr::to_string(self)?).with_context(|| path.display().to_string())
    }

    /// Where the conversation was otherwise than what is recorded.
    pub(crate) fn departures(&self, transcript: &Transcript) -> Vec<String> {
        let (turns, results) = (transcript.turns(), transcript.results());
        let mut wrong = Vec::new();
        let (said, recorded) = (turns.len(), self.turns.len());
        if said != recorded {
            wrong.push(format!("the conversation has {said} answers, its recording {recorded}"));
        }
        let mut results_of = results.iter();
        for (index, (turn, said)) in turns.iter().zip(&self.turns).enumerate() {
            let nth = index + 1;
            for pattern in &said.seen {
                let shown = &results[..turn.shown];
                if !Pattern::new(pattern)
                    .is_ok_and(|found| shown.iter().any(|(_, text, _)| found.is_in(text)))
                {
                    wrong.push(format!(
                        "answer {nth} of the recording rests on /{pattern}/, which no result before it contains any more"
                    ));
                }
            }
            let same = turn.text == said.text
                && turn.calls.len() == said.calls.len()
                && turn.calls.iter().zip(&said.calls).all(|(a, b)| a.name == b.tool && a.arguments == b.with);
            if !same {
                wrong.push(format!("answer {nth} is not the one that is recorded"));
            }
            for call in &said.calls {
                // One without a result is the last of a conversation that ended without an answer, as the judge says.
                let Some((_, text, failed)) = results_of.next() else { break };
                if *failed != call.fails {
                    let (tool, now) = (&call.tool, if *failed { "failed" } else { "worked" });
                    wrong.push(format!(
                        "the call of {tool} in answer {nth} {now}, not so when it was recorded: {text}"
                    ));
                }
            }
        }
        wrong
    }
}

fn path(of: &str, name: &str) -> PathBuf {
    folder(of).join(format!("{name}.yaml"))
}

/// A model that answers each of these questions from its recording.
///
/// # Errors
/// When no port can be had.
pub(crate) async fn play(recordings: Vec<(String, Recording)>) -> Result<Script> {
    let recordings = Arc::new(recordings);
    Script::start(move |heard| words(&recordings, heard)).await
}

/// The next answer: by what was asked, and how often it was answered since. A repeated question has the same one.
fn words(recordings: &[(String, Recording)], heard: &Heard) -> Words {
    let recorded = recordings.iter().find(|(question, _)| question.trim() == heard.asked().trim());
    match recorded.and_then(|(_, recording)| recording.turns.get(heard.answers())) {
        Some(said) => Words {
            text: said.text.clone(),
            calls: said.calls.iter().map(|call| (call.tool.clone(), call.with.clone())).collect(),
            usage: said.usage,
        },
        // The judge sees one answer more than is recorded.
        None => Words::text("(no answer to this is recorded)"),
    }
}

#[cfg(test)]
mod tests {
    use asya_session::Entry;
    use serde_json::json;

    use super::*;

    fn recording() -> Recording {
        let text = "by: hand\nturns:\n- calls: [{tool: analyze, with: {namespace: '{ns}'}}]\n- {seen: [OOMKilled], text: it was memory}\n";
        serde_saphyr::from_str(&text.replace("{ns}", "eval-x")).unwrap()
    }

    fn talked(namespace: &str, result: &str, failed: bool, answer: &str) -> Transcript {
        let call = json!({"id": "c", "name": "analyze", "arguments": {"namespace": namespace}});
        let entries = [
            json!({"kind": "user", "by": "alice", "text": "why in eval-x?"}),
            json!({"kind": "assistant", "calls": [call], "model": "p/m", "usage": {"calls": 1, "input": 7, "output": 2}}),
            json!({"kind": "tool", "call": "c", "name": "analyze", "text": result, "failed": failed}),
            json!({"kind": "assistant", "text": answer, "model": "p/m"}),
        ];
        let entry = |(n, mut body): (usize, Value)| {
            let more = json!({"n": n, "hash": "", "at": "2026-01-01T00:00:00Z"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Entry>(body).unwrap()
        };
        Transcript { entries: entries.into_iter().enumerate().map(entry).collect(), ..Transcript::default() }
    }

    #[test]
    fn a_conversation_that_leaves_its_recording_is_told_where() {
        let departures = |transcript: &Transcript| recording().departures(transcript).join("\n");
        assert_eq!(departures(&talked("eval-x", "OOMKilled", false, "it was memory")), "");
        for (transcript, why) in [
            (talked("eval-x", "0 problems", false, "it was memory"), "rests on /OOMKilled/"),
            (talked("eval-x", "OOMKilled", true, "it was memory"), "the call of analyze in answer 1 failed"),
            (
                talked("other", "OOMKilled", false, "it was memory"),
                "answer 1 is not the one that is recorded",
            ),
            (talked("eval-x", "OOMKilled", false, "x"), "answer 2 is not the one that is recorded"),
        ] {
            assert!(departures(&transcript).contains(why), "{why} in {}", departures(&transcript));
        }
        let mut shorter = talked("eval-x", "OOMKilled", false, "it was memory");
        shorter.entries.truncate(2);
        let told = departures(&shorter);
        assert!(told.contains("has 1 answers, its recording 2"), "{told}");
    }

    #[test]
    fn what_is_recorded_is_played_again_in_any_namespace() {
        let case = Case::parse(
            "question: why in {ns}?\nsituation: x\nevidence: [OOMKilled, more]\ncauses: []\n",
            "eval-x",
        )
        .unwrap();
        let recorded =
            Recording::of(&case, &talked("eval-x", "OOMKilled", false, "eval-x lacks memory"), "eval-x");
        let text = serde_saphyr::to_string(&recorded.unwrap()).unwrap();
        assert!(text.contains("p/m") && !text.contains("eval-x"), "{text}");
        let again: Recording = serde_saphyr::from_str(&text.replace("{ns}", "eval-y")).unwrap();
        assert_eq!(again.turns[0].calls[0].with, json!({"namespace": "eval-y"}));
        assert_eq!(
            (again.turns[0].usage, again.turns[1].text.as_str()),
            (Some((7, 2)), "eval-y lacks memory")
        );
        assert_eq!(again.turns[1].seen, ["OOMKilled"]);
        assert_eq!(again.departures(&talked("eval-y", "OOMKilled", false, "eval-y lacks memory")), [""; 0]);
    }

    #[test]
    fn the_next_answer_follows_from_the_question_and_how_often_it_was_answered() {
        let recordings = [("why?".to_owned(), recording())];
        let heard =
            |messages: Value| Heard { messages: messages.as_array().unwrap().clone(), tools: Vec::new() };
        let user = json!({"role": "user", "content": "why?"});
        let first = words(&recordings, &heard(json!([user])));
        assert_eq!(first.calls[0].0, "analyze");
        assert_eq!(first, words(&recordings, &heard(json!([user]))), "a repeat is answered likewise");
        let said = json!({"role": "assistant"});
        assert_eq!(words(&recordings, &heard(json!([user, said]))).text, "it was memory");
        for beyond in [json!([user, said, said]), json!([{"role": "user", "content": "what else?"}])] {
            assert!(words(&recordings, &heard(beyond)).text.contains("no answer to this is recorded"));
        }
    }
}
