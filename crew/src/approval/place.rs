//! Where an operation is proposed, which gives it its id.

use asya_envelope::Envelope;
use asya_session::{Body, desk::Transcript, hash};
use serde_json::json;

use crate::{
    asked::Asked,
    desk::{Desk, DeskError},
};

/// Digits of an operation's id behind `op-`.
const DIGITS: usize = 32;
/// Entries from the end of a session among which the call is: more than a model makes calls in one turn.
const LOOKED_AT: u64 = 100;
/// An entry behind the last one of any session: only the session itself is wanted.
const BEHIND_ALL: u64 = 1 << 50;

/// Where an actor stands that proposes: the same for a repeated delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The session in which somebody asked.
    pub session: &'a str,
    /// The envelope's id.
    pub envelope: &'a str,
    /// `route.current` there.
    pub hop: usize,
    /// The actor at it.
    pub actor: &'a str,
}

impl<'a> Place<'a> {
    /// Where this envelope is now; none: its route is finished.
    pub fn of(asked: &'a Asked, envelope: &'a Envelope) -> Option<Self> {
        let actor = envelope.route.current_actor()?;
        Some(Self {
            session: &asked.claims.session,
            envelope: &envelope.id,
            hop: envelope.route.current,
            actor,
        })
    }

    /// The id of the operation that is proposed here by this call.
    pub fn operation(&self, call: &str) -> String {
        let hash = hash::of(&json!([self.session, self.envelope, self.hop, call]));
        format!("op-{}", &hash[..DIGITS])
    }
}

/// The id of the call that a session waits for; empty if it waits for none, as where no model has called.
///
/// # Errors
/// Those of the gateway.
pub async fn open_call(desk: &Desk, asked: &Asked) -> Result<String, DeskError> {
    let session = &asked.claims.session;
    let head = desk.transcript(&asked.token, session, BEHIND_ALL).await?.session.head;
    let from = (head + 1).saturating_sub(LOOKED_AT).max(1);
    Ok(open(&desk.transcript(&asked.token, session, from).await?))
}

/// The first call of the last answer of the model that has no result.
fn open(transcript: &Transcript) -> String {
    let mut answered = Vec::new();
    for entry in transcript.entries.iter().rev() {
        match &entry.body {
            Body::Tool { call, .. } => answered.push(call),
            Body::Assistant { calls, .. } => {
                let mut calls = calls.iter().map(|call| &call.id);
                return calls.find(|id| !answered.contains(id)).cloned().unwrap_or_default();
            }
            Body::User { .. } | Body::Summary { .. } | Body::Notice { .. } => {}
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use asya_session::Session;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_id_is_that_of_its_place_and_call_and_of_no_other() {
        let place = Place { session: "s-1", envelope: "e", hop: 3, actor: "k8s-write" };
        let id = place.operation("c");
        assert_eq!(id, place.operation("c"));
        assert!(id.len() == 35 && id[3..].bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        let others = [
            place.operation("d"),
            Place { hop: 4, ..place }.operation("c"),
            Place { envelope: "f", ..place }.operation("c"),
            Place { session: "s-2", ..place }.operation("c"),
        ];
        assert!(others.iter().all(|other| *other != id));
    }

    #[test]
    fn the_open_call_is_the_first_without_a_result() {
        let session = json!({"id": "s", "title": "", "owner": "ann", "agent": "a", "state": "running", "head": 9, "hash": "",
            "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z"});
        let session: Session = serde_json::from_value(session).unwrap();
        let with = |bodies: &[Value]| {
            let entries = (1..).zip(bodies).map(|(n, body): (u64, &Value)| {
                let mut entry = json!({"n": n, "hash": "", "at": "2026-01-01T00:00:00Z"});
                entry.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
                serde_json::from_value(entry).unwrap()
            });
            open(&Transcript { session: session.clone(), entries: entries.collect() })
        };
        let call = |id: &str| json!({"id": id, "name": "t", "arguments": {}});
        let model = |calls: &[Value]| json!({"kind": "assistant", "model": "m", "calls": calls});
        let tool = |id: &str| json!({"kind": "tool", "call": id, "name": "t", "text": ""});
        assert_eq!(with(&[model(&[call("a"), call("b")])]), "a");
        assert_eq!(with(&[model(&[call("a"), call("b")]), tool("a")]), "b");
        // Providers number calls anew in each answer.
        assert_eq!(with(&[model(&[call("a")]), tool("a"), model(&[call("a")])]), "a");
        assert_eq!(with(&[model(&[call("a")]), tool("a")]), "");
        assert_eq!(with(&[]), "");
    }
}
