//! People talk all the time while one after the other is killed at moments that nobody chose. `ASYA_TEST_KILL_SECONDS` says for how
//! long, `ASYA_TEST_KILL_SEED` repeats the choices of a run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use asya_tests::{
    cluster::eventually,
    installed::{GATEWAY, Installed, OPERATOR},
    people::{AGENT, People},
    script::{Heard, Script, Words},
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    installed::may,
    operate::{SCALED, changes, outline},
};

/// How long people talk in the gate.
const SECONDS: u64 = 20;
/// Who talk at the same time, each about a Deployment of their own.
const TALKERS: u64 = 4;
/// Who is killed. Not k8s-write: one that dies over a claimed change leaves it alone for a minute and a half.
const VICTIMS: [&str; 5] = [GATEWAY, OPERATOR, AGENT, "k8s-read", "approval"];
/// Shortest and longest pause between two kills, in milliseconds.
const PAUSES: (u64, u64) = (200, 1200);

/// Longest time from a decision to the end of a turn. A gateway that dies over the answer to a claim leaves k8s-write in doubt, which
/// then looks again after a minute and a half, and its pauses between two looks are up to half a minute.
const CLAIMED: Duration = Duration::from_secs(180);

/// Choices that a seed repeats (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What somebody has talked about.
struct Talked {
    deployment: String,
    /// Replicas that were approved last.
    replicas: u64,
    approved: u64,
    sessions: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_whenever_each_session_ends_and_what_is_approved_is_done_once() -> Result<()> {
    let script = Script::start(scales).await?;
    let Some(mut it) = Installed::new("agents-moments", &script.url).await? else { return Ok(()) };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("ASYA_TEST_KILL_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let end = Instant::now() + Duration::from_secs(number("ASYA_TEST_KILL_SECONDS").unwrap_or(SECONDS));
    eprintln!("ASYA_TEST_KILL_SEED={seed}");
    let verbs = json!(["get", "patch"]);
    may(&it.shop, "alice", &json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs}]))
        .await?;

    let mut talks = JoinSet::new();
    for talker in 0..TALKERS {
        let deployment = format!("app-{talker}");
        it.shop.apply(&of(&deployment)).await?;
        let (people, shop, dice) = (it.people.clone(), it.shop.namespace.clone(), Dice(seed ^ (talker + 1)));
        talks.spawn(talk(people, shop, deployment, dice, end));
    }
    let mut dice = Dice(seed);
    while Instant::now() < end {
        sleep(Duration::from_millis(PAUSES.0 + dice.roll(PAUSES.1 - PAUSES.0))).await;
        match VICTIMS[usize::try_from(dice.roll(VICTIMS.len() as u64))?] {
            OPERATOR => {
                it.kill_operator().await?;
                it.start_operator().await?;
            }
            victim => it.kill(victim).await?,
        }
    }
    let mut talked = Vec::new();
    while let Some(done) = talks.join_next().await {
        talked.push(done?.with_context(|| format!("seed {seed}: {:?}\n{}", it.kills, it.words()))?);
    }
    holds(&it, &script, &talked).await.with_context(|| format!("seed {seed}: {:?}", it.kills))?;
    it.end().await
}

/// A Deployment that nobody runs.
fn of(name: &str) -> Value {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": name, "image": "registry.example/app:1"}]}}}})
}

/// Does what is asked for as `scale NAME to N in NAMESPACE`.
fn scales(heard: &Heard) -> Words {
    let words: Vec<_> = heard.asked().split(' ').collect();
    let [_, name, _, replicas, _, shop] = words[..] else { return Words::text("What?") };
    let replicas: u64 = replicas.parse().unwrap_or_default();
    changes(
        json!({"verb": "scale", "kind": "Deployment", "name": name, "namespace": shop, "replicas": replicas}),
    )(heard)
}

/// Talks until `end`, one session after the other; of three proposals about two are approved.
async fn talk(
    people: People,
    shop: String,
    deployment: String,
    mut dice: Dice,
    end: Instant,
) -> Result<Talked> {
    let mut talked = Talked { deployment, replicas: 1, approved: 0, sessions: Vec::new() };
    while Instant::now() < end {
        let wanted = if talked.replicas == 2 { 3 } else { 2 };
        let text = format!("scale {} to {wanted} in {shop}", talked.deployment);
        // One whose answer was lost began all the same, and is found at the end.
        let begins = async || Ok(Some(people.begin("alice", &text).await?));
        let session = eventually("a session begins", begins).await?;
        let waits = async || Ok(Some(people.waiting(&session).await?));
        let operation = eventually("it is proposed", waits).await?;
        let verdict = if dice.roll(3) > 0 { "approve" } else { "reject" };
        let decides = async || match people.decide("carol", &operation, verdict).await? {
            // Decided before, by one whose answer was lost.
            (200 | 409, _) => Ok(Some(())),
            (status, said) => bail!("{status} {said}"),
        };
        eventually("it is decided", decides).await?;
        let patience = Instant::now() + CLAIMED;
        let path = format!("/api/v1/sessions/{session}");
        while people.good("root", "GET", &path, None).await.unwrap_or_default()["state"] != "idle" {
            ensure!(Instant::now() < patience, "{session} does not end\n{}", people.logs());
            sleep(Duration::from_millis(50)).await;
        }
        if verdict == "approve" {
            talked.replicas = wanted;
            talked.approved += 1;
        }
        talked.sessions.push(session);
    }
    Ok(talked)
}

/// What holds at the end.
async fn holds(it: &Installed, script: &Script, talked: &[Talked]) -> Result<()> {
    // All pages: a machine at rest has more sessions than one of them holds.
    let list = async |query: &str, field: &str| {
        let (mut all, mut page) = (Vec::new(), query.to_owned());
        loop {
            let found = it.people.good("root", "GET", &page, None).await?;
            all.extend(found[field].as_array().cloned().with_context(|| found.to_string())?);
            match found["next"].as_str() {
                Some(next) => page = format!("{query}&after={next}"),
                None => return Ok::<_, anyhow::Error>(all),
            }
        }
    };
    it.people.are_heard().await?;
    for operation in list("/api/v1/approvals?phase=waiting", "operations").await? {
        let (status, said) = it.people.decide("carol", &operation, "reject").await?;
        ensure!(status == 200, "{said}");
    }
    let mut turns = 0;
    for session in list("/api/v1/sessions?all=true", "sessions").await? {
        let session = session["id"].as_str().context("an id")?;
        it.people.becomes(session, "idle").await?;
        let entries = it.people.entries(session).await?;
        if entries.is_empty() && !talked.iter().any(|it| it.sessions.iter().any(|held| held == session)) {
            // Its beginning was never answered: the gateway died before it had heard what was said.
            continue;
        }
        ensure!(outline(&entries) == SCALED, "{entries:#?}");
        turns += entries.iter().filter(|entry| entry["kind"] == "assistant").count();
    }
    let mut sessions = 0;
    for Talked { deployment, replicas, approved, sessions: held } in talked {
        let live = it.shop.get("Deployment", deployment).await?.context("it is there")?;
        ensure!(live["spec"]["replicas"] == *replicas, "{deployment} should have {replicas}: {live}");
        ensure!(
            live["metadata"]["generation"] == approved + 1,
            "{deployment} was approved {approved} times: {live}"
        );
        let mut done = 0;
        for session in held {
            let operations = list(&format!("/api/v1/approvals?session={session}"), "operations").await?;
            let [operation] = operations.as_slice() else { bail!("not one operation: {operations:?}") };
            ensure!(operation["phase"] == "done" || operation["phase"] == "rejected", "{operation}");
            done += u64::from(operation["phase"] == "done");
        }
        ensure!(done == *approved, "{deployment}: {done} changes of {approved} that were approved");
        sessions += held.len();
    }
    // What died over an answer is asked for again, once for each session that was under way; nothing else is.
    let kills: usize = it.kills.values().sum();
    let again = script.answered().len() - turns;
    ensure!(again <= kills * usize::try_from(TALKERS)?, "{again} answers were asked for again");
    eprintln!("{sessions} sessions survived {:?}; {again} of {turns} answers were asked for again", it.kills);
    Ok(())
}
