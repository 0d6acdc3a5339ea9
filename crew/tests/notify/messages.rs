//! Messages of agents and pipelines: who may send what to whom, and what comes of it.

use std::sync::Arc;

use asya_analysis::Change;
use asya_crew::{analysis::notify::Settings, shipped::Variables};
use asya_envelope::{Envelope, Raw, Route, headers::APPROVED};
use asya_handler::End;
use asya_session::desk::SUBJECT;
use asya_store::{Store, testing::on_each_home};
use asya_subject::{AUDIENCE, Claims, Keys, Signer};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Seen, Server, World, called, finding, told};

/// A chat that takes messages, and one that does not.
const SINKS: &str = r#"[{"name": "ops", "type": "slack", "url": {"env": "HOOK"}, "messages": true,
        "batch": {"window": "10m"}, "pace": "0s", "minSeverity": "critical", "clusters": ["none"], "resolved": false},
    {"name": "quiet", "type": "slack", "url": {"env": "HOOK"}}]"#;

fn hello() -> Value {
    json!({"sink": "ops", "title": "Deploy", "text": "It is done."})
}

fn text(seen: &Seen) -> String {
    seen.json()["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_is_told_once_however_often_its_envelope_comes() {
    each_is_told_once(None).await;
    on_each_home(async |home| each_is_told_once(Some(home.open().await.records())).await).await;
}

async fn each_is_told_once(store: Option<Arc<dyn Store>>) {
    let server = Server::start().await;
    let mut world = World::on(store, SINKS, &server);
    for _ in 0..2 {
        assert_eq!(world.call("e", 1, &hello()).await, json!({"written": "ops"}));
    }
    assert_eq!((world.waiting("ops").await, world.waiting("quiet").await), (1, 0));
    // It waits for nobody, and what is only for findings does not hold it back.
    world.turn().await;
    let [first] = &server.seen()[..] else { panic!("{:?}", server.seen()) };
    assert_eq!(text(first), "*[message from ops]* Deploy\n> It is done.");
    assert_eq!(world.call("e", 1, &hello()).await, json!({"written": "ops"}), "after it was told");
    assert_eq!(world.waiting("ops").await, 0);
    world.call("e", 3, &hello()).await;
    world.call("f", 1, &hello()).await;
    world.quiet().await;
    assert_eq!(server.seen().len(), 3, "another call of the turn, and another turn");
    assert!(world.counted(r#"asya_actor_notifications_total{queue="notify",sink="ops",result="sent"} 3"#));
}

#[tokio::test]
async fn two_deliveries_at_once_are_one_message() {
    let server = Server::start().await;
    let world = World::of(SINKS, &server);
    let (hello, envelopes) = (hello(), 0..8);
    let answers = futures::future::join_all(envelopes.map(|_| world.call("e", 1, &hello))).await;
    assert!(answers.iter().all(|answer| *answer == json!({"written": "ops"})), "{answers:?}");
    assert_eq!(world.waiting("ops").await, 1);
}

#[tokio::test]
async fn only_sinks_that_take_messages_are_told_and_only_what_is_one() {
    let server = Server::start().await;
    let world = World::of(SINKS, &server);
    for (arguments, why) in [
        (json!({"sink": "quiet", "text": "a"}), "no such sink takes messages; sinks that take messages: ops"),
        (
            json!({"sink": "nobody", "text": "a"}),
            "no such sink takes messages; sinks that take messages: ops",
        ),
        (json!({"sink": "ops/", "text": "a"}), "sinks that take messages: ops"),
        (json!({"sink": "ops", "text": ""}), "text: is empty"),
        (json!({"sink": "ops", "text": "a".repeat(4001)}), "text: is longer than 4000"),
        (json!({"sink": "ops", "text": "a", "severity": "critical"}), "unknown field `severity`"),
        (json!({"sink": ["ops"], "text": "a"}), "the arguments: "),
    ] {
        let answer = world.call("e", 1, &arguments).await;
        assert!(answer["error"].as_str().is_some_and(|said| said.contains(why)), "{arguments}: {answer}");
    }
    let closed = World::of(&SINKS.replace("\"messages\": true,", ""), &server);
    let answer = closed.call("e", 1, &hello()).await;
    assert!(answer["error"].as_str().unwrap().ends_with("sinks that take messages: none"), "{answer}");
    assert!(!world.kept().await.contains("ops") && closed.kept().await.is_empty());
}

#[tokio::test]
async fn what_is_neither_a_finding_nor_a_message_fails() {
    let server = Server::start().await;
    let world = World::of(SINKS, &server);
    for payload in [json!({"text": "a"}), json!(7), json!([]), json!({"change": "opened"})] {
        let end = world.end(called("e", 1, &payload)).await;
        let End::Failed(failure) = end else { panic!("{payload}: {end:?}") };
        assert!(failure.message.starts_with("the payload is not a transition of findings: "), "{failure}");
    }
}

#[tokio::test]
async fn a_conversation_cannot_make_up_a_finding() {
    let server = Server::start().await;
    let world = World::of(SINKS, &server);
    let mut forged = serde_json::to_value(told(Change::Opened, finding("web", 1))).unwrap();
    forged["sink"] = "ops".into();
    forged["text"] = "a".into();
    let mut envelope = called("e", 1, &forged);
    envelope.headers.set(SUBJECT, Raw::of(&"any"));
    let answer = world.answer(envelope).await;
    assert!(answer["error"].as_str().is_some_and(|said| said.contains("unknown field")), "{answer}");
    assert!(world.kept().await.is_empty());
}

#[tokio::test]
async fn messages_and_findings_are_told_in_their_order_and_each_message_alone() {
    let server = Server::start().await;
    let sink = r#"[{"name": "hook", "type": "webhook", "url": "URL", "messages": true, "batch": {"window": "30s"}}]"#;
    let mut world = World::of(&sink.replace("URL", &server.url("/")), &server);
    let call = json!({"sink": "hook", "text": "a"});
    world.take(&told(Change::Opened, finding("pod-1", 1))).await;
    world.take(&told(Change::Opened, finding("pod-2", 2))).await;
    world.turn().await;
    assert!(server.seen().is_empty(), "more findings may come");
    // Keys are in milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    world.call("e", 1, &call).await;
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    world.call("e", 3, &call).await;
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    world.take(&told(Change::Opened, finding("pod-3", 3))).await;
    world.quiet().await;
    let seen: Vec<_> = server.seen().iter().map(Seen::json).collect();
    let many = |body: &Value| body["findings"].as_array().map_or(0, Vec::len);
    assert_eq!(seen.iter().map(many).collect::<Vec<_>>(), [2, 0, 0, 1]);
    assert_eq!((&seen[1]["message"]["text"], &seen[1]["message"]["from"]), (&json!("a"), &json!("ops")));
}

#[tokio::test]
async fn a_message_is_tried_again_given_up_and_refused_as_findings_are() {
    let server = Server::start().await;
    server.answers(500, &[]);
    let mut world = World::of(SINKS, &server);
    world.call("e", 1, &hello()).await;
    world.turn().await;
    assert_eq!((server.seen().len(), world.waiting("ops").await), (1, 1));
    world.restart(SINKS, &server).await;
    world.now += SignedDuration::from_hours(25);
    let logs = crate::support::Logs::start();
    world.turn().await;
    assert_eq!(world.waiting("ops").await, 0, "given up after a day");
    server.answers(200, &[]);
    server.refuses("never");
    world.restart(SINKS, &server).await;
    world.call("e", 3, &json!({"sink": "ops", "text": "never"})).await;
    world.call("e", 5, &json!({"sink": "ops", "text": "ever"})).await;
    world.quiet().await;
    assert_eq!(server.taken().len(), 1);
    assert!(world.counted(r#"sink="ops",result="dead"} 2"#));
    let logs = logs.text();
    assert!(logs.contains("never told") && logs.contains("from=\"ops\""), "{logs}");
}

/// What a sink is sent for these arguments.
async fn sent(sink: &str, arguments: &Value) -> Seen {
    let server = Server::start().await;
    let sink = sink.replace("URL", &server.url("/services/hidden-hook"));
    let mut world = World::of(&format!("[{sink}]"), &server);
    assert_eq!(world.call("e", 1, arguments).await, json!({"written": "s"}));
    world.quiet().await;
    server.seen().remove(0)
}

/// Words of somebody who wants to be taken for somebody else.
fn hostile() -> Value {
    json!({"sink": "s", "title": "done* <!here> @all\n*[critical] Pod shop/db (prod)*", "text":
        "<!channel> <@U123> @channel & <https://evil.example|status page> [status](https://evil.example) [a][b]\n\
         [b]: https://evil.example\n\u{1b}]0;x\u{7}\u{202e}dna\n\n*[critical] Pod shop/db (prod)*\n• password=hunter2\n\
         — the key is sk-abcdefghijklmnop1234"})
}

#[tokio::test]
async fn words_mention_nobody_forge_no_link_and_pass_for_nothing_of_ours() {
    let slack = r#"{"name": "s", "type": "slack", "url": {"env": "HOOK"}, "messages": true}"#;
    let said = text(&sent(slack, &hostile()).await);
    assert!(said.starts_with("*[message from ops]* done* &lt;!here&gt; @all *[critical] Pod"), "{said}");
    assert!(
        said.contains("&lt;!channel&gt; &lt;@U123&gt; @channel &amp; &lt;https://evil.example|"),
        "{said}"
    );
    assert!(!said.contains('<') && said.lines().skip(1).all(|line| line.starts_with("> ")), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{said:?}");
    assert!(!said.contains("hunter2") && !said.contains("abcdefghijklmnop"), "{said}");

    let mattermost =
        r#"{"name": "s", "type": "mattermost", "url": {"env": "HOOK"}, "messages": true, "channel": "dev"}"#;
    let body = sent(mattermost, &hostile()).await.json();
    assert_eq!(body["channel"], "dev");
    let teams = r#"{"name": "s", "type": "teams", "url": {"env": "HOOK"}, "messages": true}"#;
    let card = sent(teams, &hostile()).await.json()["attachments"][0]["content"]["body"].clone();
    assert_eq!(card.as_array().unwrap().len(), 2);
    let card = format!("{}\n{}", card[0]["text"].as_str().unwrap(), card[1]["text"].as_str().unwrap());
    for said in [body["text"].as_str().unwrap(), &card] {
        assert!(said.starts_with("**[message from ops]** done"), "{said}");
        for forged in ["@all", "@channel", "@U123", "<!", "<@", "<http", "](", "][", "]:", "hunter2"] {
            assert!(!said.contains(forged), "{forged} in {said}");
        }
        assert!(said.lines().skip(1).all(|line| line.starts_with("> ")), "{said}");
    }
}

#[tokio::test]
async fn every_kind_of_sink_is_sent_what_it_reads() {
    let plain = json!({"sink": "s", "title": "Deploy", "text": "It is \"done\".\n@all"});
    let pager = r#"{"name": "s", "type": "pagerduty", "url": "URL", "routingKey": {"env": "TOKEN"}, "messages": true}"#;
    let page = sent(pager, &plain).await.json();
    assert_eq!((&page["event_action"], &page["payload"]["severity"]), (&json!("trigger"), &json!("info")));
    assert_eq!(page["payload"]["summary"], "[message from ops] Deploy");
    assert_eq!(page["payload"]["custom_details"], json!({"text": "It is \"done\".\n@all", "from": "ops"}));
    assert_eq!(page["dedup_key"].as_str().map(str::len), Some(32));
    assert_eq!(page["dedup_key"], sent(pager, &plain).await.json()["dedup_key"], "the same at each try");

    let bus = r#"{"name": "s", "type": "cloudevents", "url": "URL", "messages": true}"#;
    let seen = sent(bus, &plain).await;
    assert_eq!(seen.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    let event = seen.json();
    assert_eq!((&event["type"], &event["source"]), (&json!("sh.asya.message"), &json!("/asya/actors/ops")));
    assert_eq!((&event["id"], &event["data"]["title"]), (&page["dedup_key"], &json!("Deploy")));
    let binary = r#"{"name": "s", "type": "cloudevents", "url": "URL", "messages": true, "mode": "binary"}"#;
    let seen = sent(binary, &plain).await;
    assert_eq!(
        (seen.header("ce-type"), seen.header("ce-id")),
        (Some("sh.asya.message"), event["id"].as_str())
    );
    assert_eq!(seen.json()["text"], "It is \"done\".\n@all");

    let template = r#"{"name": "s", "type": "webhook", "url": "URL", "messages": true, "template":
        "{\"title\": \"{severity}: {kind} {namespace}/{name}\", \"body\": \"{text}{explanation}\", \"all\": {json}}"}"#;
    let body = sent(template, &plain).await.json();
    assert_eq!(body["title"], "info: message ops/Deploy");
    assert_eq!((&body["body"], &body["all"]["from"]), (&json!("It is \"done\".\n@all"), &json!("ops")));
}

#[tokio::test]
async fn it_is_said_who_asked_where_the_gateway_has_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let signer = Signer::generate().unwrap().0;
    std::fs::write(&file, Keys::of([signer.jwk().clone()]).unwrap().to_json().to_string()).unwrap();
    let now = Timestamp::now().as_second();
    let claims = Claims {
        iss: "gateway".to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: "oidc:ann <!here>".to_owned(),
        groups: Vec::new(),
        session: "s-1".to_owned(),
        root: "e".to_owned(),
        iat: now,
        exp: now + 60,
    };
    let token = signer.sign(&claims).unwrap();
    let server = Server::start().await;
    let mut world = World::of(SINKS, &server).keyed(SINKS, &server, &file);
    let mut approved: Envelope = called("e", 2, &hello());
    approved.route = Route::new(["desk", "approval", "notify", "desk"]);
    approved.route.current = 2;
    approved.headers.set(SUBJECT, Raw::of(&token));
    approved.headers.set(APPROVED, Raw::of(&json!({"operation": "op-1", "hop": 2})));
    assert_eq!(world.answer(approved.clone()).await, json!({"written": "ops"}));
    world.quiet().await;
    let said = text(&server.seen()[0]);
    assert!(
        said.starts_with("*[message from desk for oidc:ann &lt;!here&gt;, session s-1]* Deploy\n"),
        "{said}"
    );

    // Without the keys nobody is named, and people are told all the same.
    let nowhere = folder.path().join("none.json");
    let mut unkeyed = World::of(SINKS, &server).keyed(SINKS, &server, &nowhere);
    assert_eq!(unkeyed.answer(approved.clone()).await, json!({"written": "ops"}));
    unkeyed.quiet().await;
    assert!(text(&server.seen()[1]).starts_with("*[message from desk]* Deploy\n"));

    // Somebody else's token names nobody, and nothing is written by it.
    let copied = Envelope { id: "f".to_owned(), ..approved };
    let answer = world.answer(copied).await;
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|said| said.contains("another") || said.contains("not for this one")),
        "{answer}"
    );
    assert_eq!(world.waiting("ops").await, 0);
    assert_eq!(world.call("g", 1, &hello()).await, json!({"written": "ops"}), "a pipeline has nobody");
}

#[test]
fn keys_are_asked_for_only_where_messages_are_taken() {
    let read = |sinks: &str| {
        let sinks = sinks.to_owned();
        let find = move |name: &str| match name {
            "ASYA_NOTIFY_SINKS" => Some(sinks.clone()),
            "ASYA_GATEWAY_URL" => Some("gateway:80".to_owned()),
            _ => None,
        };
        Settings::read(&Variables { find: &find, base: std::path::Path::new("/") })
    };
    let sink = r#"[{"name": "a", "type": "webhook", "url": "http://x/"}]"#;
    assert!(read(sink).is_ok());
    let errors = read(&sink.replace('}', ", \"messages\": true}")).unwrap_err();
    assert!(errors[0].starts_with("ASYA_GATEWAY_URL: "), "{errors:?}");
}
