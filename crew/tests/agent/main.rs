//! The actor agent on a real gateway, a real queue file and a model behind a real server: whole turns, also with an agent that
//! is killed between any two of its requests, and many sessions at once.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod model;
mod world;

use std::sync::Arc;

use asya_crew::{ErrorEnd, HappyEnd, Recorder};
use asya_envelope::{ActorName, Envelope, Headers, Raw};
use asya_handler::{Capacity, End, Handler, Item, Readiness, Replies, Reply, Request};
use asya_session::{Body, Entry, desk::Delta};
use asya_sidecar::{Engine, EngineConfig, Observers, gateway::Gateway};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use world::{AGENT, Cut, LIMIT, Line, World, until};

fn request(envelope: &Envelope) -> Request {
    let body = envelope.encode();
    Request { envelope: envelope.clone(), body, actor: AGENT.to_owned(), attempt: 1, timeout: LIMIT }
}

async fn handled(agent: &dyn Handler, envelope: &Envelope) -> End {
    let mut replies = agent.handle(request(envelope));
    match timeout(LIMIT, replies.recv()).await.unwrap().unwrap() {
        Reply::End(end) => end,
        reply => panic!("{reply:?}"),
    }
}

/// What was sent on, as the sidecar makes it.
fn sent(envelope: &Envelope, end: &End) -> Envelope {
    let End::Done(items) = end else { panic!("{end:?}") };
    let [Item { payload, route, headers }] = items.as_slice() else { panic!("{items:?}") };
    let mut next = Envelope { payload: payload.clone(), ..envelope.clone() };
    next.route = route.clone().unwrap_or_else(|| envelope.route.advanced());
    next.headers = Headers::merged(&envelope.headers, headers.clone().unwrap()).0;
    next.headers.remove("asya-cost");
    next
}

/// What the tool makes of it.
fn looked(mut envelope: Envelope) -> Envelope {
    assert_eq!(envelope.route.current_actor(), Some("look"));
    let arguments: Value = serde_json::from_slice(envelope.payload.as_bytes()).unwrap();
    envelope.payload = Raw::of(&json!({"value": arguments["key"]}));
    envelope.route = envelope.route.advanced();
    envelope
}

fn kinds(entries: &[Entry]) -> Vec<&'static str> {
    let kind = |entry: &Entry| match &entry.body {
        Body::User { .. } => "user",
        Body::Assistant { .. } => "assistant",
        Body::Tool { .. } => "tool",
        Body::Summary { .. } => "summary",
        Body::Notice { .. } => "notice",
    };
    entries.iter().map(kind).collect()
}

fn answer(entries: &[Entry]) -> &str {
    match &entries.last().unwrap().body {
        Body::Assistant { text, calls, .. } if calls.is_empty() => text,
        other => panic!("{other:?}"),
    }
}

const ANSWER: &str = "rain has <tool-output>{\"value\":\"rain-1\"}</tool-output> and \
                      <tool-output>{\"value\":\"rain-2\"}</tool-output>";

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_with_an_agent_that_dies_after_every_request_asks_the_model_nothing_twice() {
    let world = World::start().await;
    let session = world.session("rain").await;
    let mut envelope = world.take(AGENT).await;
    let mut deaths = 0;
    let end = loop {
        // At the keys, at the session, and at each entry until none is missing.
        let mut after = 0;
        let end = loop {
            let line = Line::start(&world.url, Cut { after, done: true }).await;
            let agent = world.silent(&line.url);
            let died = tokio::select! {
                end = handled(&*agent, &envelope) => Some(end),
                () = line.silence() => None,
            };
            match died {
                Some(end) => break end,
                None => deaths += 1,
            }
            after = (after + 1).min(2);
        };
        let again = handled(&*world.agent(&world.url), &envelope).await;
        let End::Done(items) = &end else { panic!("{end:?}") };
        let End::Done(repeated) = &again else { panic!("{again:?}") };
        assert_eq!(items, repeated, "a repeat sends the same again");
        let next = sent(&envelope, &end);
        if next.route.current_actor().is_none() {
            break next;
        }
        envelope = looked(next);
    };
    assert_eq!(deaths, 10, "keys and session of three deliveries, and four entries");
    assert_eq!(end.payload.as_str(), json!({"text": ANSWER}).to_string());
    let entries = world.entries(&session).await;
    assert_eq!(kinds(&entries), ["user", "assistant", "tool", "tool", "assistant"]);
    assert_eq!(answer(&entries), ANSWER);
    assert_eq!(world.model.asked().len(), 2, "{:?}", world.model.asked());
    assert_eq!(world.state(&session).await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_with_an_agent_that_dies_before_every_request_comes_to_the_same() {
    let world = World::start().await;
    let session = world.session("rain").await;
    let mut envelope = world.take(AGENT).await;
    loop {
        let mut after = 0;
        let end = loop {
            let line = Line::start(&world.url, Cut { after, done: false }).await;
            let agent = world.silent(&line.url);
            let died = tokio::select! {
                end = handled(&*agent, &envelope) => Some(end),
                () = line.silence() => None,
            };
            if let Some(end) = died {
                break end;
            }
            after += 1;
        };
        let next = sent(&envelope, &end);
        if next.route.current_actor().is_none() {
            break;
        }
        envelope = looked(next);
    }
    let entries = world.entries(&session).await;
    assert_eq!(kinds(&entries), ["user", "assistant", "tool", "tool", "assistant"]);
    assert_eq!(answer(&entries), ANSWER);
    // An answer that was never stored has to be asked for again: twice, once per answer.
    assert_eq!(world.model.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_shown_while_they_come() {
    let world = World::start().await;
    let session = world.session("slow").await;
    let line = Line::start(&world.url, Cut { after: usize::MAX, done: true }).await;
    let agent = world.agent(&line.url);
    let mut envelope = world.take(AGENT).await;
    while envelope.route.current_actor().is_some() {
        envelope = sent(&envelope, &handled(&*agent, &envelope).await);
        if envelope.route.current_actor() == Some("look") {
            envelope = looked(envelope);
        }
    }
    let entries = world.entries(&session).await;
    let shown = line.shown();
    assert!(!shown.is_empty());
    for Delta { n, offset, text } in shown {
        assert_eq!(n, 5);
        assert_eq!(answer(&entries)[usize::try_from(offset).unwrap()..].get(..text.len()), Some(&*text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_deliveries_and_copies_of_a_subject_do_nothing() {
    let world = World::start().await;
    let session = world.session("rain").await;
    let (begin, agent) = (world.take(AGENT).await, world.agent(&world.url));
    let call = looked(sent(&begin, &handled(&*agent, &begin).await));
    let second = looked(sent(&call, &handled(&*agent, &call).await));
    // What was handled before comes again, late.
    assert!(matches!(handled(&*agent, &begin).await, End::Drop { .. }));

    // A copy of the subject on another envelope, and parts of a fan-out.
    let copy = Envelope { id: "another".to_owned(), ..second.clone() };
    let mut part = second.clone();
    asya_envelope::lineage::Lineage::of(&second).assign(&mut part, 0, Some(2));
    let mut nobody = second.clone();
    nobody.headers.remove(asya_session::desk::SUBJECT);
    for (what, refused) in [("a copy", copy), ("a part", part), ("nobody", nobody)] {
        let end = handled(&*agent, &refused).await;
        assert!(matches!(end, End::Failed(_)), "{what}: {end:?}");
    }
    assert_eq!(kinds(&world.entries(&session).await), ["user", "assistant", "tool"]);

    // The turn is cancelled; the tool's answer comes all the same, and the next message goes on.
    world.cancel(&session).await;
    assert!(matches!(handled(&*agent, &second).await, End::Drop { .. }));
    world.say(&session, "snow").await;
    let next = world.take(AGENT).await;
    let first = sent(&next, &handled(&*agent, &next).await);
    assert_eq!(first.route.current_actor(), Some("look"));
    let entries = world.entries(&session).await;
    let expected = ["user", "assistant", "tool", "notice", "user", "tool", "assistant"];
    assert_eq!(kinds(&entries), expected);
}

/// An actor that answers at once what [`looked`] does.
struct Look {
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
}

impl Look {
    fn new() -> Self {
        let capacity = Capacity { running: 8, look_ahead: 8 };
        Self { capacity: watch::Sender::new(capacity), readiness: watch::Sender::new(Readiness::Ready) }
    }
}

impl Handler for Look {
    fn handle(&self, request: Request) -> Replies {
        let (sender, replies) = Replies::channel();
        let payload = looked(request.envelope).payload;
        sender.try_send(Reply::End(End::Done(vec![Item::payload(payload)]))).unwrap();
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.capacity.subscribe()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_sessions_at_once_do_not_get_into_each_other() {
    let world = World::start().await;
    let stop = CancellationToken::new();
    let reports = Gateway::new(&world.url, None).unwrap();
    let handlers: [(&str, Arc<dyn Handler>); 4] = [
        (AGENT, world.agent(&world.url)),
        ("look", Arc::new(Look::new())),
        ("happy-end", Arc::new(HappyEnd::new(Recorder::Nowhere, Default::default()))),
        ("error-end", Arc::new(ErrorEnd::new(Recorder::Nowhere, Default::default()))),
    ];
    for (name, handler) in handlers {
        let config = EngineConfig::new(ActorName::parse(name).unwrap());
        let observers = Observers { ends: Some(reports.clone()), ..Observers::default() };
        let engine = Engine::new(config, world.local.clone(), handler, observers);
        let stop = stop.clone();
        tokio::spawn(async move { engine.run(stop).await });
    }
    let sessions = futures::future::join_all((0..20).map(|n| {
        let world = &world;
        async move { (n, world.session(&format!("word{n}")).await) }
    }));
    let sessions = timeout(LIMIT, sessions).await.unwrap();
    for (_, session) in &sessions {
        world.say(session, "again").await;
    }
    for (n, session) in &sessions {
        until("both turns have ended", async || {
            world.state(session).await == "idle" && world.entries(session).await.len() == 10
        })
        .await;
        let entries = world.entries(session).await;
        let turn = ["user", "assistant", "tool", "tool", "assistant"];
        assert_eq!(kinds(&entries), [turn, turn].concat());
        assert_eq!(answer(&entries[..5]), ANSWER.replace("rain", &format!("word{n}")));
        assert_eq!(answer(&entries), ANSWER.replace("rain", "again"));
        // What another session said stands nowhere.
        let all = serde_json::to_string(&entries).unwrap();
        let foreign =
            (0..20).filter(|other| other != n).find(|other| all.contains(&format!("word{other}-1")));
        assert_eq!(foreign, None, "in session {n}");
    }
    assert_eq!(world.model.asked().len(), 80);
    stop.cancel();
}
