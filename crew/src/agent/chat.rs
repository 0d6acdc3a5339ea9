//! Sessions for tests: [`Chat`] plays the gateway. It takes what is appended as the store does, and stops a run after any
//! number of steps, as a crash would.

use asya_envelope::{Raw, Route};
use asya_session::{Body, Call, Entry, Options, Place, Risk, Session, State, Usage, hash};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    step::{Rules, Step},
    talk::{Here, Talk},
    tools::{Tool, Toolbox},
};

/// The agent's name.
pub(super) const AGENT: &str = "helper";

pub(super) fn rules() -> Rules {
    let tool = |name: &str, approval: bool| Tool {
        name: name.to_owned(),
        description: format!("does {name}"),
        parameters: json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}),
        actor: format!("{name}-actor"),
        risk: Risk::Low,
        approval,
        mcp_tool: None,
    };
    Rules {
        actor: AGENT.to_owned(),
        approval: "approval".to_owned(),
        prompt: "be brief".to_owned(),
        tools: Toolbox::new(&[tool("look", false), tool("change", true)]).unwrap(),
        models: vec!["other".to_owned()],
        turns: 5,
        tokens: 10_000,
        repeats: 3,
        context: 4_000,
    }
}

/// A session with the envelope whose turn runs, and where it is.
#[derive(Clone)]
pub(super) struct Chat {
    pub(super) talk: Talk,
    pub(super) route: Route,
    pub(super) envelope: String,
}

/// What a model says: words, and calls of tools with a number.
pub(super) fn says(text: &str, calls: &[(&str, Value)]) -> Body {
    let calls = calls.iter().enumerate().map(|(at, (name, arguments))| Call {
        id: format!("c{at}"),
        name: (*name).to_owned(),
        arguments: arguments.clone(),
        signature: None,
    });
    let usage = Usage { calls: 1, input: 90, output: 10 };
    Body::Assistant { text: text.to_owned(), calls: calls.collect(), model: "p/m".to_owned(), usage }
}

pub(super) fn n(n: u64) -> Value {
    json!({"n": n})
}

impl Chat {
    /// A session in which somebody has just said something.
    pub(super) fn new() -> Self {
        let (at, text) = (Timestamp::UNIX_EPOCH, |text: &str| text.to_owned());
        let session = Session {
            id: text("s-1"),
            title: text("t"),
            owner: text("ann"),
            agent: text(AGENT),
            state: State::Idle,
            head: 0,
            hash: String::new(),
            envelope: None,
            waiting: Vec::new(),
            shared: Vec::new(),
            usage: Usage::default(),
            created: at,
            updated: at,
        };
        let talk = Talk { session, entries: Vec::new() };
        let mut chat = Self { talk, route: Route::new([AGENT]), envelope: String::new() };
        chat.say("how many pods?", Options::default());
        chat
    }

    /// Somebody says something, and a new envelope is on its way.
    pub(super) fn say(&mut self, text: &str, options: Options) {
        self.put(None, Body::User { by: "ann".to_owned(), text: text.to_owned(), options });
        self.envelope = format!("e{}", self.talk.session.head);
        self.talk.session.envelope = Some(self.envelope.clone());
        self.route = Route::new([AGENT]);
    }

    pub(super) fn put(&mut self, place: Option<Place>, body: Body) {
        let before = self.talk.session.hash.clone();
        let hash = hash::link(&before, &serde_json::to_value(&body).unwrap());
        assert_eq!(hash, body.link(&before));
        self.talk.push(Entry { n: self.talk.session.head + 1, hash, at: Timestamp::UNIX_EPOCH, place, body });
    }

    pub(super) fn here(&self) -> Here {
        let (envelope, hop) = (self.envelope.clone(), self.route.current as u64);
        Here { envelope, hop, turns_left: None, tokens_left: None }
    }

    pub(super) fn next(&self, arrived: &Value) -> Step {
        rules().next(&self.talk, &self.here(), &self.route, &Raw::of(arrived))
    }

    /// Appends here, as the store does: an answer without calls ends the turn.
    pub(super) fn append(&mut self, body: Body) {
        assert!(self.talk.runs(&self.envelope), "{body:?} in a session where nothing runs");
        let ends = matches!(&body, Body::Assistant { calls, .. } if calls.is_empty());
        self.put(Some(self.talk.place(&self.here())), body);
        if ends {
            self.talk.session.envelope = None;
        }
    }

    /// Takes steps until one ends the delivery, the model saying these things in order.
    pub(super) fn deliver(&mut self, arrived: &Value, said: &mut Vec<Body>) -> Step {
        loop {
            match self.next(arrived) {
                Step::Append(body) => self.append(body),
                Step::Ask(_) => self.append(said.remove(0)),
                step => return step,
            }
        }
    }

    /// The call has gone, and its answer comes back.
    pub(super) fn returns(&mut self, step: &Step) {
        let Step::Send { route, .. } = step else { panic!("{step:?}") };
        self.route = route.clone();
        while self.route.current_actor() != Some(AGENT) {
            self.route = self.route.advanced();
        }
    }

    pub(super) fn kinds(&self) -> String {
        let kinds = self.talk.entries.iter().map(|entry| match &entry.body {
            Body::User { .. } => 'u',
            Body::Assistant { .. } => 'a',
            Body::Tool { failed: false, .. } => 't',
            Body::Tool { failed: true, .. } => 'f',
            Body::Summary { .. } => 's',
            Body::Notice { .. } => 'n',
        });
        kinds.collect()
    }

    pub(super) fn last_tool(&self) -> &str {
        let tool = |entry: &Entry| matches!(entry.body, Body::Tool { .. });
        match &self.talk.entries.iter().rfind(|entry| tool(entry)).unwrap().body {
            Body::Tool { text, .. } => text,
            _ => unreachable!("a tool was looked for"),
        }
    }
}
