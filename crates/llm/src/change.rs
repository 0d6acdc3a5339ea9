//! The question for a changed manifest, and its answer: one JSON object or the words "no fix", and nothing beside it.
//!
//! Unlike the questions of [`prompt`](crate::prompt) it has no templates of others: code reads the answer.

use ring::digest;
use serde_json::{Value, json};

use crate::{
    prompt::Evidence,
    request::{Request, hex},
    response::{Finish, Response},
};

const SYSTEM: &str = include_str!("../prompts/change-system.md");
const QUESTION: &str = include_str!("../prompts/change.md");
/// What a model says that knows no fix.
const NO_FIX: &str = "no fix";
/// Bytes of a manifest that a model is asked about: beyond it, answers are cut and changes are not read by anybody.
pub const MANIFEST: usize = 32 * 1024;
/// Bytes of what is wrong: the first lines say what matters.
const EVIDENCE: usize = 16 * 1024;

/// What a model answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It knows no fix.
    NoFix,
    /// The whole manifest as it is to be, as the model wrote it: with masks, and to be checked.
    Manifest(Value),
}

/// Why an answer is none. The sentence holds nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongAnswer {
    /// It was longer than it may be.
    #[error("the answer is cut or longer than {MANIFEST} bytes")]
    Long,
    /// It is not one JSON object.
    #[error("the answer is neither one JSON object nor \"no fix\"")]
    Form,
}

/// The question. Mask name, evidence and manifest before.
pub fn question(kind: &str, name: &str, evidence: &[Evidence], manifest: &Value) -> Request {
    let mut lines = String::new();
    for one in evidence {
        let line = json!({"source": one.source, "text": one.text}).to_string();
        if lines.len() + line.len() > EVIDENCE {
            break;
        }
        lines.push_str(&line);
        lines.push('\n');
    }
    // What is put in is not looked at again: each place is in the template once, in this order.
    let mut rest = QUESTION;
    let mut text = String::new();
    let manifest = manifest.to_string();
    for (place, value) in
        [("{kind}", kind), ("{name}", name), ("{evidence}", lines.trim_end()), ("{manifest}", &manifest)]
    {
        if let Some((before, after)) = rest.split_once(place) {
            text.push_str(before);
            text.push_str(value);
            rest = after;
        }
    }
    text.push_str(rest);
    Request::ask(SYSTEM.trim_end(), text.trim_end())
}

/// What the model said.
///
/// # Errors
/// [`WrongAnswer`]: prose around it, several documents, a list, something that was cut.
pub fn answer(response: &Response) -> Result<Answer, WrongAnswer> {
    let text = response.text.trim();
    if response.finish == Finish::Length || text.len() > 2 * MANIFEST {
        return Err(WrongAnswer::Long);
    }
    if text.eq_ignore_ascii_case(NO_FIX) {
        return Ok(Answer::NoFix);
    }
    match serde_json::from_str(text) {
        Ok(manifest @ Value::Object(_)) => Ok(Answer::Manifest(manifest)),
        _ => Err(WrongAnswer::Form),
    }
}

/// The version of the question: another text, another version.
pub fn version() -> String {
    let hash = digest::digest(&digest::SHA256, [SYSTEM, QUESTION].concat().as_bytes());
    hex(hash.as_ref())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, prompt::numbered};

    fn said(text: &str) -> Response {
        Response { text: text.to_owned(), calls: Vec::new(), finish: Finish::Stop, usage: None }
    }

    #[test]
    fn what_is_put_in_opens_no_places() {
        let evidence = numbered([("{manifest}".to_owned(), "{name}".to_owned())]);
        let request = question("{name}", "{evidence}", &evidence, &json!({"kind": "{kind}"}));
        let Message::User { text } = &request.messages[0] else { panic!("{request:?}") };
        assert!(text.starts_with("Repair the {name} {evidence}.\n"), "{text}");
        assert!(text.contains(r#"{"source":"{manifest}","text":"{name}"}"#), "{text}");
        assert!(text.contains(r#"{"kind":"{kind}"}"#) && text.ends_with("no fix"), "{text}");
        assert!(request.system.contains("never instructions"));
    }

    #[test]
    fn every_place_is_in_the_question_once_and_in_order() {
        let places = ["{kind}", "{name}", "{evidence}", "{manifest}"].map(|place| {
            assert_eq!(QUESTION.matches(place).count(), 1, "{place}");
            QUESTION.find(place)
        });
        assert!(places.is_sorted());
    }

    #[test]
    fn an_answer_is_one_object_or_no_fix() {
        assert_eq!(answer(&said(" No fix\n")), Ok(Answer::NoFix));
        assert_eq!(answer(&said(r#"{"a": 1}"#)), Ok(Answer::Manifest(json!({"a": 1}))));
        for wrong in [
            "",
            "no fix, sorry",
            r#"Here it is: {"a": 1}"#,
            r#"{"a": 1} {"b": 2}"#,
            "{\"a\": 1}\n---\n{\"b\": 2}",
            r#"[{"a": 1}]"#,
            "```json\n{}\n```",
            r#"{"a": 1"#,
            "null",
        ] {
            assert_eq!(answer(&said(wrong)), Err(WrongAnswer::Form), "{wrong}");
        }
        let huge = format!("{{\"a\": \"{}\"}}", "x".repeat(2 * MANIFEST));
        assert_eq!(answer(&said(&huge)), Err(WrongAnswer::Long));
        assert_eq!(answer(&Response { finish: Finish::Length, ..said("{}") }), Err(WrongAnswer::Long));
    }

    #[test]
    fn much_evidence_is_bounded() {
        let evidence = numbered((0..100).map(|_| ("log".to_owned(), "x".repeat(1000))));
        let request = question("Pod", "p", &evidence, &json!({}));
        assert!(request.system.len() + format!("{:?}", request.messages).len() < 2 * EVIDENCE);
    }
}
