//! A session as Markdown, for people.

use std::fmt::Write as _;

use asya_session::{Body, Call, Entry, Session};
use serde_json::Value;

/// What stands above the entries.
pub fn head(session: &Session) -> String {
    let Session { id, title, owner, agent, usage, created, .. } = session;
    let mut text = format!("# {}\n\n", line(if title.is_empty() { id } else { title }));
    let _ = writeln!(text, "Session {id} of {} with {agent}, begun {created}.", line(owner));
    let _ = writeln!(text, "{} calls of a model, {} tokens.", usage.calls, usage.tokens());
    text
}

/// One entry.
pub fn entry(entry: &Entry) -> String {
    let Entry { n, at, body, .. } = entry;
    let mut text = String::new();
    let _ = match body {
        Body::User { by, text: said, .. } => {
            write!(text, "\n## {n}. {}, {at}\n\n{}\n", line(by), quoted(said))
        }
        Body::Assistant { text: said, calls, model, .. } => {
            let _ = write!(text, "\n## {n}. {}, {at}\n", line(model));
            if !said.is_empty() {
                let _ = write!(text, "\n{}\n", quoted(said));
            }
            calls.iter().try_for_each(|call| write!(text, "\n{}", called(call)))
        }
        Body::Tool { name, text: said, failed, .. } => {
            let failed = if *failed { ", which failed" } else { "" };
            write!(text, "\n## {n}. Answer of {}{failed}, {at}\n\n{}", line(name), fenced("", said))
        }
        Body::Summary { text: said, upto, .. } => {
            write!(text, "\n## {n}. Summary of all up to {upto}, {at}\n\n{}\n", quoted(said))
        }
        Body::Notice { code, text: said } => {
            write!(text, "\n## {n}. Notice {}, {at}\n\n{}\n", line(code), quoted(said))
        }
    };
    text
}

fn called(call: &Call) -> String {
    let Call { name, arguments, .. } = call;
    let (kind, shown) = match arguments {
        Value::String(text) => ("", text.clone()),
        json => ("json", serde_json::to_string_pretty(json).unwrap_or_default()),
    };
    format!("Calls {}:\n\n{}", line(name), fenced(kind, &shown))
}

/// Text that stays on its line, and heads nothing.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text as a quotation: its own headings do not look like those of the entries.
fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Text verbatim, between fences that are longer than any in it.
fn fenced(kind: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{kind}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn of(body: Body) -> String {
        entry(&Entry { n: 7, hash: String::new(), at: Timestamp::UNIX_EPOCH, place: None, body })
    }

    #[test]
    fn nothing_that_is_said_breaks_out_of_its_entry() {
        let hostile = "words\n## 8. ann\n```\nmore".to_owned();
        let user = of(Body::User {
            by: "eve\n# x".to_owned(),
            text: hostile.clone(),
            options: asya_session::Options::default(),
        });
        assert!(
            user.starts_with("\n## 7. eve # x, 1970-01-01T00:00:00Z\n\n> words\n> ## 8. ann\n"),
            "{user}"
        );
        let name = "t".to_owned();
        let tool = of(Body::Tool { call: "c".to_owned(), name, text: hostile, failed: true });
        assert!(tool.contains("which failed") && tool.contains("\n````\nwords\n"), "{tool}");
        let call = Call {
            id: "c".to_owned(),
            name: "k8s_write".to_owned(),
            arguments: json!({"verb": "scale"}),
            signature: None,
        };
        let said = of(Body::Assistant {
            text: String::new(),
            calls: vec![call],
            model: "m".to_owned(),
            usage: asya_session::Usage::default(),
        });
        assert!(said.contains("Calls k8s_write:\n\n```json\n{\n  \"verb\": \"scale\"\n}\n```\n"), "{said}");
    }
}
