//! When a conversation does not fit into a model any more: what a summary stands for from then on.
//!
//! A summary ends before something that a person said, or before a turn of the model whose predecessors' calls are all
//! answered: never between a call and its answer.

use asya_llm::{Request, estimate};
use asya_session::{Body, Entry};

use super::{result, talk::Talk, view};

/// What a model is told that makes a summary.
const PROMPT: &str = include_str!("summary.txt");
/// Bound of a summary, in tokens.
const LENGTH: u32 = 1_500;
/// What a summary is shown of each result, in bytes.
const SHOWN: usize = 2 * 1024;

/// A summary that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compaction {
    /// The last entry that it stands for.
    pub(super) upto: u64,
    /// What the model is asked.
    pub(super) request: Request,
}

/// The summary that leaves about half of `context` tokens to what is kept as it is; `None`: there is nothing that one could
/// stand for.
pub(super) fn of(talk: &Talk, context: u64, most: usize) -> Option<Compaction> {
    let before = talk.entries.iter().rev().find_map(|entry| match &entry.body {
        Body::Summary { upto, .. } => Some(*upto),
        _ => None,
    });
    let shown: Vec<&Entry> = talk
        .entries
        .iter()
        .filter(|entry| entry.n > before.unwrap_or(0) && !matches!(entry.body, Body::Summary { .. }))
        .collect();
    let starts = |entry: &Entry| matches!(entry.body, Body::User { .. } | Body::Assistant { .. });
    // The last turn of the model stays as it is, with the answers to its calls.
    let last = shown.iter().rposition(|entry| starts(entry))?;
    let (mut cut, mut kept) = (None, 0);
    for (index, entry) in shown.iter().enumerate().rev() {
        kept += view::tokens(entry, most);
        if cut.is_some() && kept > context / 2 {
            break;
        }
        if index <= last && starts(entry) && !answers(&shown[index..], talk, entry.n) {
            cut = Some(index);
        }
    }
    let cut = cut?;
    let upto = shown[..cut].last()?.n;
    Some(Compaction { upto, request: request(talk, &shown[..cut], context) })
}

/// Whether what follows on a cut before entry `n` has an answer to a call before it.
fn answers(rest: &[&Entry], talk: &Talk, n: u64) -> bool {
    let earlier = talk.calls().into_iter().filter(|asked| asked.entry.n < n);
    earlier.filter_map(|asked| asked.answer).any(|answer| rest.iter().any(|entry| entry.n == answer.n))
}

/// What is asked about `old`: as much of it as fits into three quarters of the context, what is newest first.
fn request(talk: &Talk, old: &[&Entry], context: u64) -> Request {
    let summary = talk.entries.iter().rev().find_map(|entry| match &entry.body {
        Body::Summary { text, .. } => Some(format!("Summary of what was before:\n{text}")),
        _ => None,
    });
    let (mut lines, mut used) = (Vec::new(), summary.as_deref().map_or(0, estimate::tokens));
    for entry in old.iter().rev() {
        let Some(line) = line(&entry.body) else { continue };
        used += estimate::tokens(&line);
        if used > context / 4 * 3 {
            lines.push("[what was before is left out]".to_owned());
            break;
        }
        lines.push(line);
    }
    lines.extend(summary);
    lines.reverse();
    Request { max_tokens: Some(LENGTH), ..Request::ask(PROMPT, lines.join("\n\n")) }
}

fn line(body: &Body) -> Option<String> {
    match body {
        Body::User { by, text, .. } => Some(format!("{by} said:\n{}", result::cut(text, 4 * SHOWN))),
        Body::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|call| format!("\ncalled {} {}", call.name, call.arguments));
            let calls = result::cut(&calls.collect::<String>(), SHOWN);
            Some(format!("The assistant said:\n{}{calls}", result::cut(text, 2 * SHOWN)))
        }
        Body::Tool { name, text, .. } => {
            Some(format!("{name} answered:\n{}", view::delimited(&result::cut(text, SHOWN))))
        }
        Body::Notice { text, .. } => Some(format!("Notice: {text}")),
        Body::Summary { .. } => None,
    }
}
