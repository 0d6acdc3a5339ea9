//! Conversations of tests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_envelope::{Envelope, Raw, Route};
use asya_session::{
    Body, Call, Entry, Operation, Place, Proposal, Review, Risk, Session, Usage, Verdict,
    desk::{Append, Propose},
    hash,
};
use asya_store::{
    EnvelopeStore,
    chat::{Appended, Begin, Heard, NewSession, Proposed, Renew, Ruling, Said, Spoken},
    envelopes::{NewEnvelope, Publish},
};
use serde_json::{Value, json};

use crate::support::{at, envelope};

/// A conversation of alice with the agent `helper`, on one replica.
pub(crate) struct Talk {
    pub(crate) store: EnvelopeStore,
    pub(crate) id: String,
}

/// Envelopes along this route, one for each turn, with the id of session and entry.
pub(crate) fn begin() -> Begin {
    Arc::new(|turn| {
        let id = format!("{}-turn-{}", turn.session.id, turn.n);
        let payload = Raw::of(&json!({"session": turn.session.id, "turn": turn.n}));
        let mut body = Envelope::new(&id, Route::new([turn.session.agent.as_str()]), payload.clone());
        body.headers.set("x-asya-subject", Raw::of(&json!(format!("{} now", turn.said.by))));
        NewEnvelope {
            actors: body.route.actors.clone(),
            headers: Some(body.headers.to_raw()),
            payload,
            publish: Publish { actor: turn.session.agent.clone(), body: body.encode() },
            ..envelope(&id)
        }
    })
}

/// Everybody is heard.
pub(crate) fn heard() -> Heard {
    Arc::new(|_, _| Ok(()))
}

/// Signs the subject anew.
pub(crate) fn renew() -> Renew {
    Arc::new(|_, envelope| {
        let headers = &mut envelope.headers;
        let subject = headers.get_text("x-asya-subject").unwrap();
        headers.set("x-asya-subject", Raw::of(&json!(subject.replace("now", "again"))));
        true
    })
}

pub(crate) fn said(by: &str, text: &str) -> Said {
    Said {
        by: by.to_owned(),
        text: text.to_owned(),
        options: Default::default(),
        id: None,
        asker: json!({"groups": [by]}),
    }
}

pub(crate) fn answer(text: &str) -> Body {
    assistant(text, &[])
}

pub(crate) fn calls(names: &[&str]) -> Body {
    assistant("", names)
}

fn assistant(text: &str, names: &[&str]) -> Body {
    let call = |(number, name): (usize, &&str)| Call {
        id: format!("call-{number}"),
        name: (*name).to_owned(),
        arguments: json!({}),
        signature: None,
    };
    Body::Assistant {
        text: text.to_owned(),
        calls: names.iter().enumerate().map(call).collect(),
        model: "test/model".to_owned(),
        usage: Usage { calls: 1, input: 10, output: 3 },
    }
}

pub(crate) fn result(call: usize, text: &str) -> Body {
    let call = format!("call-{call}");
    Body::Tool { call, name: "k8s_write".to_owned(), text: text.to_owned(), failed: false }
}

impl Talk {
    pub(crate) async fn begin(store: &EnvelopeStore, id: &str) -> Self {
        let new = NewSession {
            id: id.to_owned(),
            title: String::new(),
            owner: "alice".to_owned(),
            agent: "helper".to_owned(),
        };
        store.chat_create(&new, at(0)).await.unwrap();
        Self { store: store.clone(), id: id.to_owned() }
    }

    /// The same, as another replica has it.
    pub(crate) fn on(&self, store: &EnvelopeStore) -> Self {
        Self { store: store.clone(), id: self.id.clone() }
    }

    pub(crate) async fn session(&self) -> Session {
        self.store.chat_session(&self.id).await.unwrap().unwrap()
    }

    pub(crate) async fn entries(&self) -> Vec<Entry> {
        self.store.chat_entries(&self.id, 0, 200).await.unwrap()
    }

    pub(crate) async fn say(&self, text: &str, seconds: i64) -> Spoken {
        self.store.chat_say(&self.id, &said("alice", text), &begin(), at(seconds)).await.unwrap()
    }

    /// Says something that begins a turn at once; answers the turn's envelope.
    pub(crate) async fn ask(&self, text: &str, seconds: i64) -> String {
        match self.say(text, seconds).await {
            Spoken::Began { envelope, .. } => envelope,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// What an actor sends that has read the session just now.
    pub(crate) async fn next(&self, hop: u64, body: Body) -> (u64, Append) {
        let session = self.session().await;
        let envelope = session.envelope.unwrap_or_default();
        let append = Append { before: session.hash, place: Place { envelope, hop, step: 0 }, body };
        (session.head + 1, append)
    }

    pub(crate) async fn append(&self, n: u64, append: &Append, seconds: i64) -> Appended {
        self.store.chat_append(&self.id, n, append, at(seconds)).await.unwrap()
    }

    /// Appends what comes next; answers the entry and whether a message waits.
    pub(crate) async fn write(&self, hop: u64, body: Body, seconds: i64) -> (Entry, bool) {
        let (n, append) = self.next(hop, body).await;
        match self.append(n, &append, seconds).await {
            Appended::New { entry, waits } => (entry, waits),
            other => panic!("entry {n}: {other:?}"),
        }
    }

    /// A proposal of `k8s-write` on the way `[helper, approval, k8s-write, helper]`, which expires at second 1000.
    pub(crate) async fn proposal(&self, number: u32) -> Propose {
        let operation = json!({"verb": "scale", "replicas": number});
        let proposal = Proposal {
            id: format!("op-{}-{number}", self.id),
            session: self.id.clone(),
            call: "call-0".to_owned(),
            tool: "k8s_write".to_owned(),
            actor: "k8s-write".to_owned(),
            summary: format!("scale Deployment shop/web to {number}"),
            verb: "scale".to_owned(),
            target: "Deployment shop/web".to_owned(),
            hash: hash::of(&operation),
            operation,
            diff: "-1\n+3".to_owned(),
            review: Review::default(),
            risk: Risk::Low,
            expires: at(1000),
            four_eyes: false,
        };
        let route = Route { current: 2, ..Route::new(["helper", "approval", "k8s-write", "helper"]) };
        let id = self.session().await.envelope.unwrap();
        let mut envelope = Envelope::new(id, route, Raw::of(&json!({"proposal": proposal})));
        envelope.headers.set("x-asya-subject", Raw::of(&json!("alice now")));
        Propose { proposal, envelope: serde_json::from_slice(&envelope.encode()).unwrap() }
    }

    /// Begins a turn, and proposes; answers the operation.
    pub(crate) async fn proposed(&self, number: u32, seconds: i64) -> Operation {
        self.ask("scale it", seconds).await;
        self.write(0, calls(&["k8s_write"]), seconds).await;
        self.sent().await;
        let propose = self.proposal(number).await;
        match self.store.operation_propose(&propose, "alice", "sa:approval", at(seconds)).await.unwrap() {
            Proposed::New(operation) => operation,
            other => panic!("{other:?}"),
        }
    }

    /// Publishes whatever is in the outbox of this session; answers actors and messages.
    pub(crate) async fn sent(&self) -> Vec<(String, Value)> {
        let claimed = self.store.claim(at(5000), Duration::from_secs(1), 1000).await.unwrap();
        self.store.confirm(&claimed).await.unwrap();
        let own = claimed.into_iter().filter(|entry| entry.id.starts_with(&self.id));
        own.map(|entry| (entry.actor, serde_json::from_slice(&entry.body).unwrap())).collect()
    }
}

pub(crate) fn ruling(by: &str, verdict: Verdict, operation: &Operation) -> Ruling {
    Ruling { verdict, by: by.to_owned(), hash: operation.proposal.hash.clone(), comment: String::new() }
}

/// Every entry follows on the one before it, with no gap, and the session ends with the last.
pub(crate) fn check_chain(session: &Session, entries: &[Entry]) {
    let mut before = String::new();
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(entry.n, number as u64 + 1);
        assert_eq!(entry.hash, entry.body.link(&before), "entry {}", entry.n);
        before.clone_from(&entry.hash);
    }
    assert_eq!((session.head, &session.hash), (entries.len() as u64, &before));
}

/// What a closure was given.
pub(crate) type Seen<T> = Arc<Mutex<Vec<T>>>;
