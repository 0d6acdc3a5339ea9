//! The envelope that carries a turn, and messages that wait for theirs.

use std::{sync::Arc, time::Duration};

use asya_envelope::{Budget, Envelope, Headers, Raw, Route, headers::BUDGET};
use asya_session::{desk::SUBJECT, hash};
use asya_store::{
    chat::{Begin, Heard, Turn},
    envelopes::{NewEnvelope, Publish},
};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Chat, Error, Service, people::Asker};
use crate::{agents, auth::oidc};

/// Sessions whose next message is begun by one sweep.
const BATCH: usize = 100;

impl Service {
    /// What makes the envelopes of turns that begin now.
    pub(super) fn begin(&self) -> Result<Begin, Error> {
        let (chat, namespace) = (Arc::clone(self.chat()?), self.rules().namespace.clone());
        Ok(Arc::new(move |turn| envelope(&chat, namespace.clone(), turn)))
    }

    /// Begins the turn of the message that waits longest, of those whose speakers may still say them.
    pub(super) async fn begin_next(&self, id: &str) -> Result<(), Error> {
        let chat = Arc::clone(self.chat()?);
        let heard: Heard =
            Arc::new(move |session, said| chat.people.still_heard(session, said, Timestamp::now()));
        self.store.chat_continue(id, &heard, &self.begin()?, Timestamp::now()).await?;
        Ok(())
    }

    /// Begins the turns of messages that wait in sessions where nothing runs: the process that should have done so is gone,
    /// or the turn before was cancelled or has failed. What one call leaves is done by the next.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin_waiting(&self) -> Result<(), Error> {
        if self.chat.is_none() {
            return Ok(());
        }
        for id in self.store.chat_waiting(BATCH).await? {
            if let Err(error) = self.begin_next(&id).await {
                tracing::warn!(%error, session = id, "a message waits on");
            }
        }
        Ok(())
    }
}

/// The envelope of a turn: to the agent, in the name of who spoke, with the agent's budget.
fn envelope(chat: &Chat, namespace: Option<String>, turn: &Turn<'_>) -> NewEnvelope {
    let now = Timestamp::now();
    let Turn { session, n, said } = turn;
    let id = match &said.id {
        // The same message again is the same envelope.
        Some(id) => format!("turn-{}", &hash::of(&json!([session.id, said.by, id]))[..32]),
        None => Uuid::now_v7().to_string(),
    };
    let known = chat.people.known(&said.by, None).filter(|_| !said.by.starts_with(oidc::PREFIX));
    let groups = known.map_or_else(|| Asker::kept(said).groups, |known| known.groups);
    let subject = chat.subjects.sign((&said.by, &groups), &session.id, &id, now);
    let subject = subject.expect("the store takes no longer names, and groups are bounded");
    let mut headers = vec![(SUBJECT.to_owned(), Raw::of(&subject))];
    if let Some(budget) = chat.agent(&session.agent).and_then(|agent| allowance(agent.budget, now)) {
        headers.push((BUDGET.to_owned(), budget.to_raw()));
    }
    let payload = Raw::of(&json!({"session": session.id, "turn": n}));
    let mut envelope = Envelope::new(id, Route::new([&session.agent]), payload);
    envelope.headers = Headers::from_pairs(headers);
    let body = envelope.encode();
    let Envelope { id, route, headers, payload, .. } = envelope;
    NewEnvelope {
        id,
        actors: route.actors,
        metadata: None,
        headers: Some(headers.to_raw()),
        payload,
        tool: None,
        sender: Some(said.by.clone()),
        namespace,
        timeout: None,
        deadline: None,
        resubmit_of: None,
        replays: None,
        publish: Publish { actor: session.agent.clone(), body },
    }
}

/// An agent's budget as it travels from `now` on; none where nothing is bounded.
fn allowance(budget: agents::Budget, now: Timestamp) -> Option<Budget> {
    let agents::Budget { turns, tokens, route, depth, wall_clock } = budget;
    let until = wall_clock.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)).ok());
    Some(Budget { turns, tokens, route, depth, until }).filter(|budget| *budget != Budget::default())
}
