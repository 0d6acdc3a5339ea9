//! What people read.

use asya_analysis::{Finding, Severity, message::Told};

use super::{
    message::Message,
    outbox::{Entry, News},
};

/// Letters of a chat's message: all of them take as many.
const MOST: usize = 12_000;
/// Stands where a text was cut.
const CUT: char = '…';

/// How a chat marks text up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    /// Slack's own.
    Slack,
    /// Markdown, as Mattermost and Teams have it.
    Markdown,
}

impl Markup {
    fn bold(self, text: &str) -> String {
        match self {
            Self::Slack => format!("*{text}*"),
            Self::Markdown => format!("**{text}**"),
        }
    }

    /// A text that mentions nobody and opens no link: it may come from a log.
    fn escaped(self, text: &str) -> String {
        match self {
            Self::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            // A space without width: nobody is called by what a pod logs.
            Self::Markdown => text.replace('@', "@\u{200b}").replace("](", "]\u{200b}("),
        }
    }

    /// The same for words that somebody may have made for it: what Mattermost reads as Slack does (`<!channel>`,
    /// `<address|words>`), and links that say elsewhere where they lead.
    fn guarded(self, text: &str) -> String {
        let text = self.escaped(text);
        match self {
            Self::Slack => text,
            Self::Markdown => {
                text.replace('<', "<\u{200b}").replace("][", "]\u{200b}[").replace("]:", "]\u{200b}:")
            }
        }
    }
}

/// All entries of one message.
pub(super) fn message(entries: &[Entry], markup: Markup) -> String {
    let each = MOST / entries.len().max(1);
    let parts: Vec<_> = entries.iter().map(|entry| cut(&one(entry, markup), each)).collect();
    parts.join("\n\n")
}

/// One entry: what happened to what, what is wrong, and why.
fn one(entry: &Entry, markup: Markup) -> String {
    let finding = &entry.told.transition.finding;
    let mut text = markup.bold(&markup.escaped(&summary(entry)));
    if matches!(entry.news, News::Opened | News::Changed) {
        for failure in &finding.failures {
            text.push_str(&format!("\n• {}", markup.escaped(&failure.text)));
        }
    }
    if entry.news != News::Resolved
        && let Some(explanation) = explanation(&entry.told)
    {
        text.push_str(&format!("\n{}", markup.escaped(&explanation)));
    }
    text
}

/// One line: what happened to what.
pub(super) fn summary(entry: &Entry) -> String {
    let finding = &entry.told.transition.finding;
    let what = match entry.news {
        News::Opened => severity(finding).to_owned(),
        News::Changed => format!("{}, changed", severity(finding)),
        News::Resolved => "resolved".to_owned(),
        News::Explained => "explained".to_owned(),
    };
    format!("[{what}] {} ({})", finding.object, finding.cluster)
}

/// A message in one line: whose it is, and what it is about.
pub(super) fn line(message: &Message) -> String {
    let about = message.title.as_deref().or(message.text.lines().next());
    format!("[message from {}] {}", message.whose(), about.unwrap_or_default())
}

/// A message as a chat shows it: a line that says whose it is, and its words as a quotation, so that no line of them can
/// pass for one of ours.
pub(super) fn spoken(message: &Message, markup: Markup) -> [String; 2] {
    let whose = markup.bold(&markup.guarded(&format!("[message from {}]", message.whose())));
    let title = message.title.as_ref().map(|title| format!(" {}", markup.guarded(title)));
    let quoted: Vec<_> = message.text.lines().map(|line| format!("> {}", markup.guarded(line))).collect();
    [format!("{whose}{}", title.unwrap_or_default()), quoted.join("\n")]
}

/// What is wrong, a line each.
pub(super) fn failures(finding: &Finding) -> String {
    finding.failures.iter().map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// What a model says, with what has to be known about it.
pub(super) fn explanation(told: &Told) -> Option<String> {
    let explanation = told.explanation.as_ref()?;
    let mut text = explanation.text.clone();
    if explanation.cut {
        text.push(CUT);
    }
    if !explanation.invented.is_empty() {
        text.push_str(&format!(
            "\n(It cites evidence that does not exist: {}.)",
            explanation.invented.join(", ")
        ));
    }
    Some(text)
}

/// The word for how bad it is.
pub(super) fn severity(finding: &Finding) -> &'static str {
    match finding.severity() {
        Some(Severity::Critical) => "critical",
        Some(Severity::Error) => "error",
        Some(Severity::Warning) => "warning",
        Some(Severity::Info) | None => "info",
    }
}

/// At most so many letters.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}{CUT}", &text[..at]),
        None => text.to_owned(),
    }
}
