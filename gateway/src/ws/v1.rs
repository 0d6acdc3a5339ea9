//! `asya.v1`: everything, with the shapes of `/api/v1`.
//!
//! Each message is an object with a `type`. What a client says may have a `ref`, which its answer has too; what it is
//! told has its content in `data`: that of events is what the events of a session have.

use asya_session::{Verdict, desk::Delta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{line::Form, talk::Talk};
use crate::{
    rest::api::{
        Refusal,
        chat::{
            approvals::Ruling,
            messages::{First, NewMessage, Taken},
            sessions::NewSession,
        },
    },
    service::chat::follow::Happening,
};

/// Longest `ref`, in bytes.
const REF: usize = 256;

/// The form.
pub(super) struct V1;

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    /// Nothing, but an answer is wanted.
    Ping {},
    /// Begin a conversation and follow it.
    Begin(NewSession),
    /// Follow one from an entry on.
    Follow {
        session: String,
        #[serde(default)]
        from: First,
    },
    /// Say something in it.
    Say(NewMessage),
    /// Cancel the turn that runs in it.
    Cancel {},
    /// Approve or reject an operation.
    Decide {
        operation: String,
        verdict: Verdict,
        hash: String,
        #[serde(default)]
        comment: String,
    },
}

impl Form for V1 {
    const NAME: &'static str = super::door::ASYA_V1;

    fn hello(&mut self, talk: &Talk) -> Option<Value> {
        Some(word("hello", &json!({"who": talk.who().name, "roles": talk.who().roles})))
    }

    async fn heard(&mut self, talk: &mut Talk, said: Result<&str, Refusal>) -> Vec<Value> {
        let (own, said) = match said {
            Ok(text) => read(text),
            Err(refusal) => (None, Err(refusal)),
        };
        let answer = match said {
            Ok(said) => answer(talk, said).await,
            Err(refusal) => Err(refusal),
        };
        let mut answer = answer.unwrap_or_else(|refusal| word("error", refusal.problem()));
        if let Some(own) = own {
            answer["ref"] = own;
        }
        vec![answer]
    }

    fn told(&mut self, _: &str, happening: Happening) -> Option<Value> {
        Some(match happening {
            Happening::Entry(entry) => word("entry", &entry),
            Happening::Delta(delta) => word::<Delta>("delta", &delta),
            Happening::Session(session) => word("session", &session),
            Happening::Operation(operation) => word("operation", &operation),
        })
    }

    fn gone(&mut self, session: &str) -> Value {
        word("gone", &json!({"session": session}))
    }

    fn last(&mut self, why: &str) -> Option<Value> {
        Some(word("bye", &json!({"reason": why})))
    }
}

/// A word with its content.
fn word<T: Serialize>(name: &str, data: &T) -> Value {
    json!({"type": name, "data": data})
}

/// The `ref` of what a client says, which its answer has whatever else is wrong, and what that is.
fn read(text: &str) -> (Option<Value>, Result<Said, Refusal>) {
    let wrong = |error: serde_json::Error| Refusal::field("", format!("it cannot be read: {error}"));
    let mut fields: Map<String, Value> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        Err(error) => return (None, Err(wrong(error))),
    };
    match fields.remove("ref") {
        Some(own) if !is_ref(&own) => {
            let text = format!("a ref is a number, or a text of at most {REF} bytes");
            (None, Err(Refusal::field("ref", text)))
        }
        own => (own, serde_json::from_value(Value::Object(fields)).map_err(wrong)),
    }
}

fn is_ref(own: &Value) -> bool {
    own.is_number() || own.as_str().is_some_and(|text| text.len() <= REF)
}

async fn answer(talk: &mut Talk, said: Said) -> Result<Value, Refusal> {
    if !matches!(said, Said::Ping {}) {
        talk.pace()?;
    }
    Ok(match said {
        Said::Ping {} => json!({"type": "pong"}),
        Said::Begin(new) => word("begun", &talk.begin(new.beginning()?).await?),
        Said::Follow { session, from } => word("following", &talk.follow(&session, from.0).await?),
        Said::Say(new) => word("said", &Taken::from(talk.say(new.message()).await?)),
        Said::Cancel {} => word("cancelled", &talk.cancel().await?),
        Said::Decide { operation, verdict, hash, comment } => {
            let ruling = Ruling { verdict, hash, comment };
            word("decided", &talk.decide(&operation, ruling).await?)
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> String {
        match read(text).1 {
            Ok(_) => "good".to_owned(),
            Err(refusal) => refusal.problem().detail.clone(),
        }
    }

    #[test]
    fn what_is_said_is_read_strictly_and_what_is_wrong_is_named() {
        for good in [
            r#"{"type":"ping"}"#,
            r#"{"type":"begin","ref":"a","agent":"ops","message":"hi"}"#,
            r#"{"type":"follow","ref":1,"session":"s-1","from":7}"#,
            r#"{"type":"say","text":"hi","id":"1","options":{"model":"x"}}"#,
            r#"{"type":"cancel"}"#,
            r#"{"type":"decide","operation":"op-1","verdict":"approve","hash":"00"}"#,
        ] {
            assert_eq!(kind(good), "good", "{good}");
        }
        for (wrong, says) in [
            ("", "cannot be read"),
            ("[]", "cannot be read"),
            ("{}", "missing field `type`"),
            (r#"{"type":"sing"}"#, "`sing`"),
            (r#"{"type":"say","txt":"hi"}"#, "`txt`"),
            (r#"{"type":"ping","more":1}"#, "`more`"),
            (r#"{"type":"follow","session":"s","from":0}"#, "from 1 on"),
            (r#"{"type":"decide","operation":"o","verdict":"maybe","hash":""}"#, "maybe"),
            (r#"{"type":"decide","operation":"o","verdict":"approve","hash":"","force":true}"#, "`force`"),
            (r#"{"type":"ping","ref":[]}"#, "a ref is"),
            (&"[".repeat(100_000), "cannot be read"),
            (&"{\"a\":".repeat(100_000), "recursion limit"),
        ] {
            assert!(kind(wrong).contains(says), "{wrong:.60}: {}", kind(wrong));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much_for_it(text in ".{0,64}") {
            let _ = kind(&text);
            let _ = kind(&format!("{{\"type\":{text}"));
        }
    }
}
