//! The push scaler with 1,500 actors at zero, one stream each as KEDA opens them: what brokers notice, how fast actors
//! wake, what it costs. `make test-keda` runs it and prints the figures.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::{
    collections::HashSet,
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use asya_envelope::Queue;
use asya_operator::{
    queues::Brokers,
    scaler::{
        self, Counters, Target,
        proto::{IsActiveResponse, ScaledObjectRef, external_scaler_client::ExternalScalerClient},
        target::Known,
    },
    settings::Push,
};
use asya_transport::{
    Source,
    rabbitmq::{Admin, RabbitmqConfig},
};
use futures::{StreamExt, stream};
use queues::{Rabbit, SOON, eventually, fresh_queue, rabbitmqs, settings};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

const ACTORS: usize = 1_500;
/// Actors that are woken, one after the other.
const WOKEN: usize = 100;
/// Between two messages: no multiple of the scaler's tick, so that they fall everywhere between two looks.
const APART: Duration = Duration::from_millis(110);
/// What `docs/scaling.md` says: looks in a second for all actors together.
const LOOKS_PER_SECOND: f64 = 1_000.0;
/// A second with looks of two ticks more than its share is still right.
const SLACK: f64 = 1.2;
/// Brokers count their connections every 5 s.
const COUNTED: Duration = Duration::from_secs(6);
/// An actor is looked at every 1.5 s; the rest is the machine's.
const GOAL: Duration = Duration::from_secs(3);
const CONNECTION: &str = "asya-operator";

/// Memory of this process in MiB; scaler and clients both.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Connections of the operator, channels on them, and channels that were ever opened, as the broker counts them.
fn counted(rabbit: &Rabbit) -> (usize, u64, u64) {
    let connections: Vec<Value> = serde_json::from_str(&rabbit.api("GET", "connections", "")).unwrap();
    let ours = |it: &&Value| {
        it["client_properties"]["connection_name"].as_str().is_some_and(|name| name.contains(CONNECTION))
    };
    let channels = connections.iter().filter(ours).map(|it| it["channels"].as_u64().unwrap_or_default());
    let overview: Value = serde_json::from_str(&rabbit.api("GET", "overview", "")).unwrap();
    let opened = overview["churn_rates"]["channel_created"].as_u64().unwrap_or_default();
    (connections.iter().filter(ours).count(), channels.sum(), opened)
}

async fn open(client: &ExternalScalerClient<Channel>, name: String) -> Streaming<IsActiveResponse> {
    let object = ScaledObjectRef { name, namespace: "team".to_owned() };
    timeout(SOON, client.clone().stream_is_active(object)).await.unwrap().unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and wants a quiet broker: make test-keda runs it"]
async fn many_actors_at_zero_cost_a_broker_one_connection_and_one_channel() {
    for rabbit in rabbitmqs() {
        let source = {
            let url = rabbit.amqp.clone();
            Source::new(move || Ok(url.trim_end_matches('/').to_owned()))
        };
        let admin =
            Admin::connect(RabbitmqConfig { dead_letters: false, ..RabbitmqConfig::new(source) }).unwrap();
        let queues: Vec<Queue> =
            std::iter::repeat_with(fresh_queue).take(ACTORS).collect::<HashSet<_>>().into_iter().collect();
        assert_eq!(queues.len(), ACTORS);
        stream::iter(&queues)
            .for_each_concurrent(16, |queue| async { admin.ensure_queue(queue).await.map(drop).unwrap() })
            .await;

        let config = json!({"host": rabbit.host(), "port": rabbit.port()});
        let transports = json!({"rabbitmq": {"enabled": true, "config": config}});
        let brokers = Arc::new(Brokers::new(&settings(&transports, Path::new("/nowhere"))));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (actors, counters) = (Arc::new(Known::default()), Counters::default());
        let set = |number: usize, at_zero: bool| {
            let (transport, queue) = ("rabbitmq".to_owned(), queues[number].clone());
            let target = Target { transport, queue, push: true, at_zero, queue_length: 5 };
            actors.set("team", &format!("a-{number}"), Some(target));
        };
        (0..ACTORS).for_each(|number| set(number, true));
        let stop = CancellationToken::new();
        let _ended = stop.clone().drop_guard();
        let push = Push {
            bind: address,
            address: address.to_string(),
            tls: None,
            authentication: None,
            default: true,
        };
        let serving = (actors.clone(), counters.clone(), stop.clone());
        tokio::spawn(async move { scaler::serve(&push, serving.0, brokers, serving.1, serving.2).await });
        eventually("the scaler listens", async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let client = ExternalScalerClient::new(endpoint.connect().await.unwrap());

        let mut streams = vec![open(&client, "a-0".to_owned()).await];
        eventually("the queue is looked at", async || counters.looks.get() > 1).await;
        sleep(COUNTED).await;
        let (one, before) = (counted(&rabbit), resident());
        assert_eq!((one.0, one.1), (1, 1), "connections and channels with one actor");

        for number in 1..ACTORS {
            streams.push(open(&client, format!("a-{number}")).await);
        }
        assert_eq!(counters.streams.get(), i64::try_from(ACTORS).unwrap());
        let (since, looks) = (Instant::now(), counters.looks.get());
        sleep(COUNTED).await;
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = (counters.looks.get() - looks) as f64 / since.elapsed().as_secs_f64();
        let (many, after) = (counted(&rabbit), resident());
        assert_eq!(many, one, "connections, channels, and channels ever opened");
        assert!(rate > 0.0 && rate < LOOKS_PER_SECOND * SLACK, "{rate} looks a second");

        let mut times = Vec::new();
        for (number, stream) in streams.iter_mut().enumerate().take(WOKEN) {
            let published = Instant::now();
            rabbit.publish(&queues[number], "work");
            let said = timeout(SOON, stream.message()).await.unwrap().unwrap();
            times.push(published.elapsed());
            assert!(said.unwrap().result, "a stream never says false");
            set(number, false);
            sleep(APART).await;
        }
        times.sort_unstable();
        let (half, most) = (times[WOKEN / 2], times[WOKEN * 99 / 100]);
        println!(
            "{ACTORS} actors at zero on {}: {} connection, {} channel, {rate:.0} looks a second, woken in {half:.2?} \
             (median), {most:.2?} (99 of 100), {:.1} KB of memory per stream with its client",
            rabbit.port(),
            many.0,
            many.1,
            (after - before) * 1024.0 / f64::from(u32::try_from(ACTORS).unwrap()),
        );
        assert!(most < GOAL, "woken after {most:?}");
        stream::iter(&queues)
            .for_each_concurrent(16, |queue| async { admin.remove(queue).await.unwrap() })
            .await;
    }
}
