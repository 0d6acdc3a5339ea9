//! notify on a real store and with real servers: what is told once, to whom, and what becomes of it when they are away.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod messages;
mod support;

use std::sync::Arc;

use asya_analysis::{Change, Severity};
use asya_store::{Expect, Store, Write, testing::on_each_home};
use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{Server, World, explained, finding, told};

fn slack(more: &str) -> String {
    format!(
        r#"[{{"name": "ops", "type": "slack", "url": {{"env": "HOOK"}}, "batch": {{"window": "0s"}}, "pace": "0s"{more}}}]"#
    )
}

#[tokio::test]
async fn three_identical_passes_make_one_message_and_healing_one_more() {
    each_is_told_once(None).await;
    on_each_home(async |home| each_is_told_once(Some(home.open().await.records())).await).await;
}

async fn each_is_told_once(store: Option<Arc<dyn Store>>) {
    let server = Server::start().await;
    let mut world = World::on(store, &slack(""), &server);
    let broken = told(Change::Opened, finding("web", 1));
    for _ in 0..3 {
        world.take(&broken).await;
    }
    // Somebody lost what was told before, and finds the same anew.
    world.take(&told(Change::Opened, finding("web", 2))).await;
    world.quiet().await;
    let [first] = &server.seen()[..] else { panic!("{:?}", server.seen()) };
    let text = first.json()["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "*[error] Pod shop/web (here)*\n• web has no image &lt;!channel&gt;");
    world.take(&told(Change::Resolved, finding("web", 3))).await;
    world.take(&told(Change::Resolved, finding("web", 3))).await;
    world.take(&told(Change::Opened, finding("web", 2))).await;
    world.quiet().await;
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[1].json()["text"], "*[resolved] Pod shop/web (here)*");
    world.take(&told(Change::Opened, finding("web", 4))).await;
    world.quiet().await;
    assert_eq!(server.seen().len(), 3, "broken again");
}

#[tokio::test]
async fn what_gets_worse_is_told_again_and_what_is_not_wanted_is_not() {
    let server = Server::start().await;
    let mut world = World::of(&slack(r#", "minSeverity": "error", "namespaces": ["shop"]"#), &server);
    let mut mild = finding("web", 1);
    mild.failures[0].severity = Severity::Warning;
    let mut elsewhere = finding("other", 2);
    elsewhere.object.namespace = Some("lab".to_owned());
    world.take(&told(Change::Opened, mild)).await;
    world.take(&told(Change::Opened, elsewhere.clone())).await;
    elsewhere.sequence.number = 3;
    world.take(&told(Change::Resolved, elsewhere)).await;
    world.quiet().await;
    assert!(server.seen().is_empty());
    world.take(&told(Change::Changed, finding("web", 4))).await;
    world.quiet().await;
    let mut worse = finding("web", 5);
    worse.failures[0].severity = Severity::Critical;
    world.take(&told(Change::Changed, worse)).await;
    world.quiet().await;
    let texts: Vec<_> = server.seen().iter().map(|seen| seen.json()["text"].to_string()).collect();
    assert!(texts[0].contains("[error] Pod") && texts[1].contains("[critical, changed] Pod"), "{texts:?}");
    assert_eq!(texts.len(), 2);
}

#[tokio::test]
async fn a_sink_that_is_down_holds_up_no_other_and_is_told_everything_when_it_is_back() {
    let (down, well) = (Server::start().await, Server::start().await);
    down.answers(500, &[]);
    let sinks = format!(
        r#"[{{"name": "down", "type": "webhook", "url": "{}", "batch": {{"window": "0s"}}}},
            {{"name": "well", "type": "webhook", "url": "{}", "batch": {{"most": 1}}}}]"#,
        down.url("/"),
        well.url("/")
    );
    let mut world = World::of(&sinks, &well);
    for number in 1..=5 {
        world.take(&told(Change::Opened, finding(&format!("pod-{number}"), number))).await;
    }
    well.until(5, async || world.turn().await).await;
    assert!(!down.seen().is_empty());
    assert_eq!(world.waiting("down").await, 5);
    // Another process goes on, and does not wait for the pause of the one before.
    world.restart(&sinks, &well).await;
    down.answers(200, &[]);
    let before = down.seen().len();
    world.quiet().await;
    let told: Vec<_> = down.seen()[before..].iter().map(|seen| seen.json()["findings"].clone()).collect();
    let [findings] = &told[..] else { panic!("one message: {told:?}") };
    let names: Vec<_> =
        findings.as_array().unwrap().iter().map(|told| &told["finding"]["object"]["name"]).collect();
    assert_eq!(names, ["pod-1", "pod-2", "pod-3", "pod-4", "pod-5"]);
}

#[tokio::test]
async fn a_sink_that_says_how_long_to_wait_is_left_alone_so_long() {
    let server = Server::start().await;
    server.answers(429, &[("retry-after", "3600")]);
    let mut world = World::of(&slack(""), &server);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    for _ in 0..5 {
        world.turn().await;
    }
    assert_eq!((server.seen().len(), world.waiting("ops").await), (1, 1));
}

#[tokio::test]
async fn a_slow_sink_is_tried_again_after_its_time() {
    let server = Server::start().await;
    server.hangs();
    let mut world = World::of(&slack(r#", "timeout": "20ms""#), &server);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    world.turn().await;
    assert_eq!((server.seen().len(), world.waiting("ops").await), (1, 1));
    server.answers(200, &[]);
    world.restart(&slack(""), &server).await;
    world.quiet().await;
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_a_sink_never_takes_is_given_up_and_the_others_of_its_message_are_not() {
    let server = Server::start().await;
    server.refuses("pod-2");
    let sink =
        slack("").replace("\"batch\": {\"window\": \"0s\"}", "\"batch\": {\"window\": \"0s\", \"most\": 5}");
    let mut world = World::of(&sink, &server);
    for number in 1..=3 {
        world.take(&told(Change::Opened, finding(&format!("pod-{number}"), number))).await;
    }
    world.quiet().await;
    let taken: Vec<_> = server.taken().iter().map(|seen| seen.json()["text"].to_string()).collect();
    assert_eq!(taken.len(), 2);
    assert!(taken[0].contains("pod-1") && taken[1].contains("pod-3"), "{taken:?}");
    assert!(world.counted(r#"asya_actor_notifications_total{queue="notify",sink="ops",result="dead"} 1"#));
}

#[tokio::test]
async fn what_cannot_be_told_for_too_long_is_given_up() {
    let server = Server::start().await;
    server.answers(404, &[]);
    let mut world = World::of(&slack(r#", "giveUp": "1h""#), &server);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    world.turn().await;
    assert_eq!(world.waiting("ops").await, 1, "an address may be mended");
    world.restart(&slack(r#", "giveUp": "1h""#), &server).await;
    world.now += SignedDuration::from_hours(2);
    world.turn().await;
    assert_eq!(world.waiting("ops").await, 0);
    assert!(world.counted(r#"result="dead"} 1"#) && world.counted(r#"result="retried"} 2"#));
}

#[tokio::test]
async fn findings_of_one_window_are_one_message_and_messages_keep_their_pace() {
    let server = Server::start().await;
    let sink = r#"[{"name": "ops", "type": "slack", "url": {"env": "HOOK"}, "batch": {"window": "10m", "most": 3},
        "pace": "1h"}]"#;
    let mut world = World::of(sink, &server);
    for number in 1..=2 {
        world.take(&told(Change::Opened, finding(&format!("pod-{number}"), number))).await;
    }
    world.turn().await;
    assert!(server.seen().is_empty(), "more may come");
    world.take(&told(Change::Opened, finding("pod-3", 3))).await;
    world.take(&told(Change::Opened, finding("pod-4", 4))).await;
    world.turn().await;
    let text = server.seen()[0].json()["text"].as_str().unwrap().to_owned();
    assert_eq!(text.matches("has no image").count(), 3);
    world.now += SignedDuration::from_hours(2);
    world.turn().await;
    assert_eq!((server.seen().len(), world.waiting("ops").await), (1, 1), "an hour between two");
}

#[tokio::test]
async fn two_processes_do_not_tell_a_sink_at_the_same_time() {
    let server = Server::start().await;
    server.answers(500, &[]);
    let mut world = World::of(&slack(""), &server);
    let mut other = world.another(&slack(""), &server);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    world.turn().await;
    other.turn(world.now).await.unwrap();
    assert_eq!(server.seen().len(), 1, "the sink is the other's");
    server.answers(200, &[]);
    world.restart(&slack(""), &server).await;
    world.quiet().await;
    world.take(&told(Change::Opened, finding("pod", 2))).await;
    other.turn(world.now).await.unwrap();
    assert_eq!(server.taken().len(), 2, "it is nobody's when nothing waits");
}

#[tokio::test]
async fn a_claim_that_somebody_else_has_by_now_is_left_to_them() {
    let server = Server::start().await;
    let go_on = server.waits();
    let mut world = World::of(&slack(""), &server);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    let store = world.store();
    let theirs = Bytes::from_static(br#"{"by":7,"until":"2999-01-01T00:00:00Z"}"#);
    let overtaken = async {
        server.until(1, async || tokio::task::yield_now().await).await;
        let (table, key, value) = ("analysis_sinks", "ops".to_owned(), Some(theirs.clone()));
        store.commit(vec![Write { table, key, value, expect: Expect::Anything }]).await.unwrap();
        go_on.notify_one();
    };
    tokio::join!(world.turn(), overtaken);
    assert_eq!((server.taken().len(), world.waiting("ops").await), (1, 0), "told, and noted");
    assert_eq!(store.get("analysis_sinks", "ops").await.unwrap().unwrap().value, theirs);
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_holds_up_nobody() {
    let server = Server::start().await;
    let mut world = World::of(&slack(""), &server);
    let key = "ops/0000000000001/here/Pod/shop/old/opened".to_owned();
    let (table, value) = ("analysis_outbox", Some(Bytes::from_static(br#"{"news":"of another version"}"#)));
    let odd = Write { table, key: key.clone(), value: value.clone(), expect: Expect::Anything };
    world.store().commit(vec![odd]).await.unwrap();
    world.take(&told(Change::Opened, finding("web", 1))).await;
    world.quiet().await;
    assert_eq!(server.taken().len(), 1);
    let kept = world.store().get("analysis_outbox_unreadable", &key).await.unwrap();
    assert_eq!(kept.map(|record| record.value), value);
}

#[tokio::test]
async fn secrets_are_in_no_message_and_no_error() {
    let server = Server::start().await;
    // A server that repeats what it is sent.
    server.repeats(403);
    let sinks = format!(
        r#"[{{"name": "hook", "type": "webhook", "url": "{}",
              "headers": {{"Authorization": {{"env": "TOKEN", "prefix": "Bearer "}}}}}},
            {{"name": "ops", "type": "slack", "url": {{"env": "HOOK"}}, "batch": {{"window": "0s"}}}}]"#,
        server.url("/")
    );
    let mut world = World::of(&sinks, &server);
    let logs = support::Logs::start();
    world.take(&told(Change::Opened, finding("web", 1))).await;
    world.now += SignedDuration::from_secs(60);
    world.turn().await;
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().any(|seen| seen.header("authorization") == Some("Bearer pass-word-1")));
    let logs = logs.text();
    assert!(logs.contains("it answers 403"), "{logs}");
    for secret in ["pass-word-1", "services/hidden-hook"] {
        assert!(!logs.contains(secret), "{secret} in {logs}");
        assert!(seen.iter().all(|seen| !seen.body.contains(secret)));
        assert!(!world.kept().await.contains(secret));
    }
}

#[tokio::test]
async fn an_explanation_that_comes_late_is_told_to_who_wants_it_once() {
    let server = Server::start().await;
    let sinks = format!(
        r#"[{{"name": "a", "type": "webhook", "url": "{0}", "late": true, "batch": {{"most": 1}}}},
            {{"name": "b", "type": "webhook", "url": "{0}", "batch": {{"most": 1}}}}]"#,
        server.url("/")
    );
    let mut world = World::of(&sinks, &server);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    for _ in 0..2 {
        world.take(&explained(told(Change::Opened, finding("web", 1)), true)).await;
    }
    world.quiet().await;
    let changes: Vec<_> =
        server.seen().iter().map(|seen| seen.json()["findings"][0]["change"].clone()).collect();
    assert_eq!(changes.iter().filter(|change| **change == "opened").count(), 2);
    assert_eq!(changes.iter().filter(|change| **change == "explained").count(), 1);
}

/// What each kind of sink is sent for the same.
async fn sent(sink: &str, changes: &[Change]) -> Vec<support::Seen> {
    let server = Server::start().await;
    let sink = sink.replace("URL", &server.url("/services/hidden-hook"));
    let mut world = World::of(&format!("[{sink}]"), &server);
    for (index, change) in changes.iter().enumerate() {
        let number = index as u64 + 1;
        world.take(&explained(told(*change, finding("web", number)), false)).await;
        world.quiet().await;
    }
    server.seen()
}

#[tokio::test]
async fn teams_and_mattermost_are_sent_what_they_read() {
    let seen = sent(r#"{"name": "t", "type": "teams", "url": {"env": "HOOK"}}"#, &[Change::Opened]).await;
    let card = &seen[0].json()["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    let text = card["content"]["body"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("**[error] Pod shop/web (here)**") && text.contains("No image [e1]."), "{text}");
    assert!(text.contains("cites evidence that does not exist: e9"), "{text}");
    let sink = r#"{"name": "m", "type": "mattermost", "url": {"env": "HOOK"}, "channel": "dev"}"#;
    let body = sent(sink, &[Change::Opened]).await[0].json();
    assert_eq!(body["channel"], "dev");
    assert!(!body["text"].as_str().unwrap().contains("@all"));
}

#[tokio::test]
async fn pagerduty_gets_one_alert_per_object_that_healing_closes() {
    let sink = r#"{"name": "p", "type": "pagerduty", "url": "URL", "routingKey": {"env": "TOKEN"}}"#;
    let seen = sent(sink, &[Change::Opened, Change::Resolved]).await;
    let (opened, resolved) = (seen[0].json(), seen[1].json());
    assert_eq!((&opened["event_action"], &opened["routing_key"]), (&json!("trigger"), &json!("pass-word-1")));
    assert_eq!(opened["payload"]["severity"], "error");
    assert_eq!(
        opened["payload"]["custom_details"]["explanation"].as_str().unwrap().lines().next(),
        Some("No image [e1]. Ask @all [e9].")
    );
    assert_eq!(
        (&resolved["event_action"], &resolved["dedup_key"]),
        (&json!("resolve"), &opened["dedup_key"])
    );
    assert_eq!(opened["dedup_key"], "here/Pod/shop/web");
}

#[tokio::test]
async fn cloud_events_have_their_attributes_in_the_body_or_in_headers() {
    let seen = sent(r#"{"name": "c", "type": "cloudevents", "url": "URL"}"#, &[Change::Opened]).await;
    assert_eq!(seen[0].header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    let event = seen[0].json();
    for (name, value) in [
        ("specversion", "1.0"),
        ("type", "sh.asya.finding.opened"),
        ("source", "/asya/clusters/here"),
        ("id", "here-1-1-opened"),
        ("subject", "Pod/shop/web"),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(event[name], value);
    }
    assert_eq!(event["data"]["finding"]["object"]["name"], "web");
    let sink = r#"{"name": "c", "type": "cloudevents", "url": "URL", "mode": "binary", "source": "/a b"}"#;
    let seen = sent(sink, &[Change::Opened]).await;
    assert_eq!(
        (seen[0].header("ce-type"), seen[0].header("ce-source")),
        (Some("sh.asya.finding.opened"), Some("/a%20b"))
    );
    assert_eq!(seen[0].json()["change"], "opened");
    let sink = r#"{"name": "c", "type": "cloudevents", "url": "URL", "batch": {"most": 5, "window": "0s"}}"#;
    let seen = sent(sink, &[Change::Opened, Change::Resolved]).await;
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_webhook_is_sent_what_its_template_says() {
    let sink = r#"{"name": "w", "type": "webhook", "url": "URL",
        "template": "{\"title\": \"{severity} {kind} {namespace}/{name}\", \"why\": \"{text}\", \"all\": {json}}"}"#;
    let body: Value = sent(sink, &[Change::Opened]).await[0].json();
    assert_eq!(body["title"], "error Pod shop/web");
    assert_eq!(body["all"]["finding"]["cluster"], "here");
    let sink = r#"{"name": "w", "type": "webhook", "url": "URL", "contentType": "text/plain", "template": "{change}: {name}"}"#;
    let seen = sent(sink, &[Change::Opened]).await;
    assert_eq!((seen[0].body.as_str(), seen[0].header("content-type")), ("opened: web", Some("text/plain")));
}

#[tokio::test]
async fn an_address_in_a_file_is_read_again() {
    let (first, second) = (Server::start().await, Server::start().await);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", first.url("/"))).unwrap();
    let path = file.path().display();
    let sink = format!(
        r#"[{{"name": "a", "type": "slack", "url": {{"file": "{path}"}}, "batch": {{"window": "0s"}}, "pace": "0s"}}]"#
    );
    let mut world = World::of(&sink, &first);
    world.take(&told(Change::Opened, finding("web", 1))).await;
    world.quiet().await;
    std::fs::write(file.path(), second.url("/")).unwrap();
    world.take(&told(Change::Opened, finding("pod", 2))).await;
    world.quiet().await;
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
}
