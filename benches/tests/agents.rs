//! 200 sessions with an agent at once, as processes on one queue file: whose is whose, each thing once, and memory that has a
//! bound. How fast it is nobody asks here: `make bench-agents` does.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::time::Duration;

use asya_benches::{
    agents::{
        script::{Pace, Script, Step},
        talk::{faults, talk},
        world::{AGENT, GATEWAY, Queues, World},
    },
    load::steady,
};

/// Sessions at once.
const SESSIONS: usize = 200;
/// Messages in each.
const MESSAGES: usize = 2;
/// Most resident memory of a process in MiB: half of it is the program itself, which is built without optimization.
const MEMORY: f64 = 300.0;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_at_once_do_not_get_into_each_other() {
    let millis = Duration::from_millis;
    let pace = Pace { seed: 7, model: (millis(200), millis(800)), tool: (millis(20), millis(60)) };
    let script = Script::gathering(pace, SESSIONS).await.unwrap();
    let world = World::start(Queues::Local, SESSIONS, script.port).await.unwrap();
    let (talked, _) = steady(SESSIONS, SESSIONS, |session| {
        let client = world.client.clone();
        async move { talk(&client, session, MESSAGES).await }
    })
    .await
    .unwrap();

    assert_eq!(script.most_at_once(), SESSIONS, "questions that were in hand at once");
    assert_eq!(script.foreign(), [] as [String; 0], "a question to the model holds what it should not");
    let wrong: Vec<_> = talked.iter().flat_map(faults).collect();
    assert_eq!(wrong, [] as [String; 0]);
    // What is kept is what came to whoever followed.
    for talked in &talked {
        let kept = world.client.json(&format!("/api/v1/sessions/{}/entries", talked.id)).await.unwrap();
        assert_eq!(kept["entries"].as_array().unwrap(), &talked.entries);
    }
    let notes = script.notes();
    let times = |wanted: fn(Step) -> bool| -> usize {
        let notes = notes.iter().filter(|((_, step), _)| wanted(*step));
        notes.map(|(_, noted)| noted.times).sum()
    };
    assert_eq!(times(|step| step == Step::Tool), SESSIONS * MESSAGES);
    assert_eq!(times(|step| step != Step::Tool), 2 * SESSIONS * MESSAGES);
    for name in [GATEWAY, AGENT] {
        let peak = world.peak(name).unwrap();
        assert!(peak < MEMORY, "{name} took {peak:.0} MiB");
    }
}
