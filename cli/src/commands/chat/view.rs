//! How entries and operations look in a terminal. Answers go to standard output, everything beside them to standard error.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _, Write as _},
};

use asya_session::{Body, Entry, Operation, Phase, Verdict, desk::Delta};

use crate::output::{Output, safe, short};

/// Characters of arguments and results that are shown.
const SHOWN: usize = 160;
/// Notice: a wish for the turn was not taken.
const OPTION_NOT_TAKEN: &str = "option_not_taken";
/// What stands for what looks like a secret.
const HIDDEN: &str = "***";

/// What has been shown.
pub(crate) struct View {
    quiet: bool,
    colours: bool,
    /// Number of the last entry that was shown.
    seen: u64,
    /// The answer that is being written: its number, and what of it is on the screen.
    writing: Option<(u64, String)>,
    /// What was typed here, and will come back.
    typed: VecDeque<String>,
    /// A turn has ended since somebody asked.
    ended: bool,
    /// A prompt is the last thing on the screen.
    prompted: bool,
}

impl View {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            quiet: output == Output::Json,
            colours: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            seen: 0,
            writing: None,
            typed: VecDeque::new(),
            ended: false,
            prompted: false,
        }
    }

    /// Something was typed here.
    pub(crate) fn said(&mut self, text: &str) {
        self.typed.push_back(text.to_owned());
        self.prompted = false;
    }

    /// What was typed last was not taken.
    pub(crate) fn unsaid(&mut self) {
        self.typed.pop_back();
    }

    /// Whether a turn has ended since this was asked last.
    pub(crate) fn turn_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Asks for a line.
    pub(crate) fn prompt(&mut self, words: &str) {
        if !self.quiet && !self.prompted {
            self.finish();
            eprint!("{words}");
            let _ = io::stderr().flush();
            self.prompted = true;
        }
    }

    /// Shows an entry; says whether it is the end of a turn that has no answer.
    pub(crate) fn entry(&mut self, entry: &Entry) -> bool {
        let Entry { n, body, .. } = entry;
        if *n <= self.seen {
            return false;
        }
        self.seen = *n;
        match body {
            Body::User { by, text, .. } => {
                if self.typed.front() == Some(text) {
                    self.typed.pop_front();
                } else {
                    self.beside(&format!("{by}: {text}"), "1");
                }
                false
            }
            Body::Assistant { text, calls, .. } => {
                self.answer(*n, text);
                for call in calls {
                    let arguments = short(&call.arguments.to_string(), SHOWN);
                    self.beside(&format!("  -> {} {arguments}", call.name), "2");
                }
                self.ended = calls.is_empty();
                false
            }
            Body::Tool { name, text, failed, .. } => {
                let how = if *failed { "failed: " } else { "" };
                self.beside(&format!("  <- {name} {how}{}", short(text, SHOWN)), "2");
                false
            }
            Body::Summary { .. } => {
                self.beside("  (what was said before is summed up for the model)", "2");
                false
            }
            Body::Notice { code, text } => {
                self.beside(&format!("! {text}"), "33");
                // The only one after which the turn goes on.
                let ends = code != OPTION_NOT_TAKEN;
                self.ended |= ends;
                ends
            }
        }
    }

    /// Shows a piece of an answer, if it follows on what is there; else the entry will tell.
    pub(crate) fn delta(&mut self, delta: &Delta) {
        if self.quiet || delta.n <= self.seen {
            return;
        }
        if self.writing.as_ref().is_none_or(|(n, _)| *n != delta.n) {
            self.finish();
            self.writing = Some((delta.n, String::new()));
        }
        let Some((_, written)) = &mut self.writing else { return };
        let known = usize::try_from(delta.offset).ok().and_then(|offset| written.len().checked_sub(offset));
        let Some(new) = known.and_then(|known| delta.text.get(known..)) else { return };
        written.push_str(new);
        put(&safe(new));
    }

    /// Shows what became of an operation, or asks for it.
    pub(crate) fn operation(&mut self, operation: &Operation) {
        let Operation { proposal, phase, decision, .. } = operation;
        match (phase, decision) {
            (Phase::Waiting, _) => {
                for line in card(operation) {
                    let colour = match line.as_bytes() {
                        [b'+', ..] => "32",
                        [b'-', ..] => "31",
                        _ => "0",
                    };
                    self.beside(&line, colour);
                }
            }
            (Phase::Rejected | Phase::Expired | Phase::Approved, Some(decision)) => {
                let word = match (phase, decision.verdict) {
                    (Phase::Expired, _) => "not decided in time".to_owned(),
                    (_, Verdict::Approve) => format!("approved by {}", decision.by),
                    (_, Verdict::Reject) => format!("rejected by {}", decision.by),
                };
                let comment = if decision.comment.is_empty() {
                    String::new()
                } else {
                    format!(": {}", decision.comment)
                };
                self.beside(&format!("  {}: {word}{comment}", proposal.summary), "2");
            }
            _ => {}
        }
    }

    /// The whole of an answer, of which a part may be there.
    fn answer(&mut self, n: u64, text: &str) {
        if self.quiet {
            return;
        }
        let written =
            self.writing.take().filter(|(of, _)| *of == n).map_or(String::new(), |(_, written)| written);
        match text.strip_prefix(&written) {
            Some(rest) => put(&safe(rest)),
            // The model began again, and said something else.
            None => put(&format!("\n{}", safe(text))),
        }
        if !text.is_empty() || !written.is_empty() {
            put("\n");
        }
        self.prompted = false;
    }

    /// Ends the line of an answer that is being written.
    fn finish(&mut self) {
        if self.writing.take().is_some_and(|(_, written)| !written.is_empty()) {
            put("\n");
        }
    }

    fn beside(&mut self, text: &str, colour: &str) {
        if self.quiet {
            return;
        }
        self.finish();
        if std::mem::take(&mut self.prompted) {
            eprintln!();
        }
        let text = safe(text);
        if self.colours { eprintln!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { eprintln!("{text}") }
    }
}

/// An operation that waits, for whoever decides: all of it, since what is cut could be what matters.
pub(crate) fn card(operation: &Operation) -> Vec<String> {
    let Operation { proposal, requester, .. } = operation;
    let mut lines = vec![
        format!("approval needed: {}", proposal.summary),
        format!("  asked for by {requester}, done by {}, until {}", proposal.actor, proposal.expires),
        format!(
            "  risk {}, operation {}",
            word(proposal.risk),
            &proposal.hash.get(..12).unwrap_or(&proposal.hash)
        ),
    ];
    let may = |who: &str, may: Option<bool>| {
        may.map(|may| format!("{who} {}", if may { "may" } else { "may NOT" }))
    };
    let review: Vec<_> = [may("the person", proposal.review.person), may("the tool", proposal.review.tool)]
        .into_iter()
        .flatten()
        .collect();
    if !review.is_empty() {
        lines.push(
            format!("  the cluster says: {} {}", review.join(", "), proposal.review.reason)
                .trim_end()
                .to_owned(),
        );
    }
    if proposal.four_eyes {
        lines.push("  somebody else than who asked must decide".to_owned());
    }
    lines.extend(proposal.diff.lines().map(str::to_owned));
    if proposal.diff.is_empty() || proposal.diff.contains(HIDDEN) {
        lines.push("  exactly this is done:".to_owned());
        let operation = serde_json::to_string_pretty(&proposal.operation).unwrap_or_default();
        lines.extend(operation.lines().map(str::to_owned));
    }
    lines
}

fn word(risk: asya_session::Risk) -> &'static str {
    match risk {
        asya_session::Risk::Low => "low",
        asya_session::Risk::Medium => "medium",
        asya_session::Risk::High => "high",
    }
}

/// Writes to standard output; a closed pipe ends the program quietly, as for `head`.
fn put(text: &str) {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}
