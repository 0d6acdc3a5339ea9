//! Large payloads in fan-in and park, on a real queue file and a payload store in a directory: what is joined, and what
//! sweepers send by themselves.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{sync::Arc, time::Duration};

use asya_crew::{
    FanIn, Patience,
    fan_in::{self, Incomplete, sweep::Ways},
    park::{self, Park},
};
use asya_envelope::{ActorName, Envelope, Naming, Raw, Route, lineage::Lineage, original::original};
use asya_handler::{End, Handler, Reply, Request};
use asya_payload::{Claims, Options, Reference, store::directory};
use asya_sidecar::{Engine, EngineConfig, Means, Observers};
use asya_telemetry::Metrics;
use asya_transport::{
    Outgoing, Queues as _, Transport,
    local::{Local, LocalOptions},
};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

/// Of each part: two of them are more than a message of the queue file may have.
const SIZE: usize = 700_000;

struct World {
    folder: tempfile::TempDir,
    local: Arc<Local>,
    claims: Claims,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in ["join", "render", "happy-end", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let store = directory(&folder.path().join("payloads")).unwrap();
        let claims = Claims::new(store, Options::default());
        Self { folder, local, claims }
    }

    async fn take(&self, actor: &str) -> Envelope {
        let queue = Naming::bare().queue(actor);
        let mut deliveries = self.local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(30), deliveries.next()).await;
        Envelope::parse(next.unwrap().unwrap().body.clone()).unwrap()
    }

    async fn count(&self, actor: &str) -> u64 {
        self.local.depth(&Naming::bare().queue(actor)).await.unwrap().ready
    }

    /// The payload that an envelope refers to.
    async fn redeemed(&self, envelope: &Envelope) -> Raw {
        let reference = Reference::of(envelope).expect("its payload is by reference");
        assert_eq!(reference.owner, envelope.id);
        self.claims.redeem(&envelope.id, &reference).await.unwrap()
    }

    fn means(&self) -> Means {
        Means { transport: self.local.clone(), metrics: None, payloads: Some(self.claims.clone()) }
    }

    fn sweeper(&self, incomplete: Incomplete) -> fan_in::Sweeper {
        let ways = Ways {
            actor: "join".to_owned(),
            happy_end: "happy-end".to_owned(),
            error_end: "error-end".to_owned(),
        };
        let patience = Patience { incomplete, ..Patience::default() };
        fan_in::Sweeper::new(self.local.store(), self.means(), Naming::bare(), ways, patience)
    }
}

/// The payload of one part.
fn page(index: u64) -> Raw {
    Raw::of(&char::from(b'a' + u8::try_from(index).unwrap()).to_string().repeat(SIZE))
}

/// The payload that these parts are joined to.
fn pages(indices: &[u64]) -> String {
    let pages: Vec<_> = indices.iter().map(|index| page(*index).as_str().to_owned()).collect();
    format!("[{}]", pages.join(","))
}

/// The items of a fan-out, as they arrive at `join`, whole.
fn parts(count: u64) -> Vec<Envelope> {
    let input = Envelope::new("job", Route::new(["split", "join", "render"]), Raw::null());
    let lineage = Lineage::of(&input);
    (0..count)
        .map(|index| {
            let mut item = Envelope { payload: page(index), ..input.clone() };
            lineage.assign(&mut item, index, Some(count));
            item.route.current = 1;
            item
        })
        .collect()
}

/// Handles one envelope and commits what it writes.
async fn give(world: &World, actor: &dyn Handler, envelope: &Envelope) {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "join".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(10),
    };
    let Some(Reply::End(End::Platform { writes, envelopes, .. })) = actor.handle(request).recv().await else {
        panic!("it is taken")
    };
    assert!(envelopes.is_empty());
    world.local.store().commit(writes).await.unwrap();
}

#[tokio::test]
async fn parts_that_were_checked_in_are_joined_whole_and_go_on_by_reference() {
    let world = World::new().await;
    for mut part in parts(3) {
        let reference = world.claims.check_in(&part.id, &part.payload).await.unwrap();
        reference.expect("it is large").stand_in(&mut part);
        let message = Outgoing { queue: Naming::bare().queue("join"), body: part.encode() };
        world.local.publish(message, None).await.unwrap();
    }
    let mut config = EngineConfig::new(ActorName::parse("join").unwrap());
    config.payloads = Some(world.claims.clone());
    let metrics = Metrics::new("asya_actor");
    let observers = Observers { metrics: Some(metrics.clone()), ..Observers::default() };
    let join = Arc::new(FanIn::new(world.local.store(), Patience::default()));
    let engine = Engine::new(config, world.local.clone(), join, observers);
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.run(stop.clone()));
    let joined = world.take("render").await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(joined.id == "job" && joined.encode().len() < 2000);
    assert_eq!(world.redeemed(&joined).await.as_str(), pages(&[0, 1, 2]));
    // A part whose group has changed in between is handled again, and read again for that.
    let text = metrics.encode();
    let count = |name: &str, direction: &str| {
        let line = format!("asya_actor_{name}{{queue=\"join\",direction=\"{direction}\"}} ");
        let count = text.lines().find_map(|text| text.strip_prefix(&line)).unwrap();
        count.parse::<usize>().unwrap()
    };
    let (fetched, stored) = (count("payloads_total", "fetched"), count("payloads_total", "checked_in"));
    assert!(fetched >= 3 && stored >= 1, "{fetched} {stored}");
    assert_eq!(count("payload_bytes_total", "fetched"), fetched * (SIZE + 2));
    assert_eq!(count("payload_bytes_total", "checked_in"), stored * pages(&[0, 1, 2]).len());
}

#[tokio::test]
async fn what_a_sweeper_of_a_fan_in_sends_is_by_reference_where_it_is_large() {
    for incomplete in [Incomplete::Partial, Incomplete::Fail] {
        let world = World::new().await;
        let join = FanIn::new(world.local.store(), Patience::default());
        for part in &parts(3)[..2] {
            give(&world, &join, part).await;
        }
        let over = Timestamp::now() + SignedDuration::from_hours(8 * 24);
        assert_eq!(world.sweeper(incomplete).sweep(over).await.unwrap(), 1);
        let mut sent = match incomplete {
            Incomplete::Partial => world.take("render").await,
            Incomplete::Fail => world.take("error-end").await,
        };
        assert!(sent.encode().len() < 4000);
        if incomplete == Incomplete::Fail {
            assert!(sent.payload.as_str().contains(fan_in::EXPIRED));
            sent = original(sent).unwrap();
        }
        assert_eq!(world.redeemed(&sent).await.as_str(), pages(&[0, 1]));
    }
}

#[tokio::test]
async fn what_expires_in_park_is_by_reference_where_it_is_large() {
    let world = World::new().await;
    let park = asya_crew::committed::Committed::new(
        world.local.store(),
        Park::new(world.local.store(), Duration::from_secs(60)),
        1,
    );
    let mut order = Envelope::new("order", Route::new(["park", "render"]), page(0));
    order.headers.set(park::KEY, Raw::of(&"k"));
    give(&world, &park, &order).await;
    let sweeper =
        park::Sweeper::new(world.local.store(), world.means(), "park", Naming::bare().queue("error-end"));
    assert_eq!(sweeper.sweep(Timestamp::now() + SignedDuration::from_hours(1)).await.unwrap(), 1);
    let failed = world.take("error-end").await;
    assert!(failed.encode().len() < 4000 && failed.payload.as_str().contains(park::EXPIRED));
    assert_eq!(world.redeemed(&original(failed).unwrap()).await, page(0));
}

#[tokio::test]
async fn while_the_payload_store_is_away_a_deadline_waits_and_loses_nothing() {
    let world = World::new().await;
    let join = FanIn::new(world.local.store(), Patience::default());
    give(&world, &join, &parts(3)[0]).await;
    let payloads = world.folder.path().join("payloads");
    std::fs::remove_dir_all(&payloads).unwrap();
    std::fs::write(&payloads, "a file where the folder should be").unwrap();
    let sweeper = world.sweeper(Incomplete::Partial);
    let over = Timestamp::now() + SignedDuration::from_hours(8 * 24);
    assert_eq!((sweeper.sweep(over).await.unwrap(), world.count("render").await), (0, 0));
    std::fs::remove_file(&payloads).unwrap();
    assert_eq!(sweeper.sweep(over + SignedDuration::from_secs(60)).await.unwrap(), 1);
    let sent = world.take("render").await;
    assert_eq!(world.redeemed(&sent).await.as_str(), pages(&[0]));
}
