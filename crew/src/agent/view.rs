//! A session as a model is shown it.
//!
//! What tools returned is data: it stands between marks that it cannot write itself, and no longer than a bound. Answers
//! stand directly behind their calls, as every provider wants it, whatever was said or noted in between.

use asya_llm::{Message, ToolCall, estimate};
use asya_session::{Body, Call, Entry};

use super::{
    result,
    talk::{Asked, Talk},
};

/// What stands around a result.
const OPEN: &str = "<tool-output>\n";
const CLOSE: &str = "\n</tool-output>";
/// The mark's name, and how it is written where a result has it.
const MARK: (&str, &str) = ("tool-output>", "tool-output\u{200b}>");
/// What stands before a summary.
const SUMMARY: &str = "Summary of this conversation so far, written by you when it became too long:";
/// What the model is told of a call that nobody answered.
const UNANSWERED: &str = "there is no answer to this call";
/// Longest name of a tool that every provider takes back.
const NAME: usize = 64;

/// The conversation, results of tools cut to `most` bytes each.
pub(super) fn messages(talk: &Talk, most: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    let calls = talk.calls();
    let summary = talk.entries.iter().rev().find_map(|entry| match &entry.body {
        Body::Summary { text, upto, .. } => Some((text, *upto)),
        _ => None,
    });
    let upto = summary.map_or(0, |(_, upto)| upto);
    if let Some((text, upto)) = summary {
        say(&mut messages, &format!("{SUMMARY}\n\n{text}"));
        // What is being worked on is not left to the summary.
        if let Some((n, Body::User { text, .. })) = talk.said()
            && n <= upto
        {
            say(&mut messages, text);
        }
    }
    for entry in talk.entries.iter().filter(|entry| entry.n > upto) {
        match &entry.body {
            Body::User { text, .. } => say(&mut messages, text),
            Body::Assistant { text, calls: made, .. } if !text.is_empty() || !made.is_empty() => {
                messages
                    .push(Message::Assistant { text: text.clone(), calls: made.iter().map(call).collect() });
                let own = calls.iter().filter(|asked| asked.entry.n == entry.n);
                messages.extend(own.map(|asked| answer(asked, most)));
            }
            Body::Assistant { .. } | Body::Tool { .. } | Body::Summary { .. } | Body::Notice { .. } => {}
        }
    }
    messages
}

/// About how many tokens an entry takes.
pub(super) fn tokens(entry: &Entry, most: usize) -> u64 {
    match &entry.body {
        Body::User { text, .. } | Body::Summary { text, .. } => estimate::tokens(text),
        Body::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|call| estimate::tokens(&call.arguments.to_string()) + 16);
            estimate::tokens(text) + calls.sum::<u64>()
        }
        Body::Tool { text, .. } => estimate::tokens(&result::cut(text, most)) + 16,
        Body::Notice { .. } => 0,
    }
}

/// A result between its marks.
pub(super) fn delimited(text: &str) -> String {
    format!("{OPEN}{}{CLOSE}", text.replace(MARK.0, MARK.1))
}

/// Adds words of a person; two messages of one person in a row are one for some providers.
fn say(messages: &mut Vec<Message>, words: &str) {
    match messages.last_mut() {
        Some(Message::User { text }) => {
            text.push_str("\n\n");
            text.push_str(words);
        }
        _ => messages.push(Message::user(words)),
    }
}

fn call(call: &Call) -> ToolCall {
    ToolCall {
        id: call.id.clone(),
        name: name(&call.name),
        arguments: call.arguments.clone(),
        signature: call.signature.clone(),
    }
}

fn answer(asked: &Asked<'_>, most: usize) -> Message {
    let (text, failed) = match asked.answer.map(|entry| &entry.body) {
        Some(Body::Tool { text, failed, .. }) => (delimited(&result::cut(text, most)), *failed),
        _ => (UNANSWERED.to_owned(), true),
    };
    Message::Tool { call: asked.call.id.clone(), name: name(&asked.call.name), text, failed }
}

/// A name as providers take it back: a model may have written anything.
fn name(written: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = written.chars().take(NAME).map(plain).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}
