//! The push scaler as KEDA sees it: a real client of gRPC, real RabbitMQ brokers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use asya_envelope::Queue;
use asya_operator::{
    queues::{Brokers, Whose},
    scaler::{
        self, Counters, Target,
        proto::{
            GetMetricsRequest, IsActiveResponse, ScaledObjectRef,
            external_scaler_client::ExternalScalerClient,
        },
        target::Known,
    },
    settings::Push,
};
use queues::{Cable, Rabbit, SOON, eventually, fresh_queue, rabbitmqs, settings};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

/// Within this an actor at zero is to be woken.
const GOAL: Duration = Duration::from_secs(2);
/// Longer than it takes to name an actor again: who says nothing for so long is silent.
const SILENCE: Duration = Duration::from_secs(3);

/// A scaler that serves.
struct Scaler {
    address: SocketAddr,
    actors: Arc<Known>,
    counters: Counters,
    stop: CancellationToken,
    served: JoinHandle<Result<(), scaler::Error>>,
}

impl Scaler {
    async fn start(brokers: Brokers, tls: Option<PathBuf>) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let actors = Arc::new(Known::default());
        let (counters, stop) = (Counters::default(), CancellationToken::new());
        let push =
            Push { bind: address, address: address.to_string(), tls, authentication: None, default: true };
        let served = {
            let (actors, counters, stop) = (actors.clone(), counters.clone(), stop.clone());
            tokio::spawn(async move { scaler::serve(&push, actors, Arc::new(brokers), counters, stop).await })
        };
        eventually("the scaler listens", async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
        Self { address, actors, counters, stop, served }
    }

    async fn client(&self) -> ExternalScalerClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        ExternalScalerClient::new(endpoint.connect().await.unwrap())
    }

    /// What the scaler knows of actor `name` of namespace team.
    fn set(&self, name: &str, queue: &Queue, push: bool, at_zero: bool) {
        let transport = "rabbitmq".to_owned();
        let target = Target { transport, queue: queue.clone(), push, at_zero, queue_length: 7 };
        self.actors.set("team", name, Some(target));
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn config(rabbit: &Rabbit) -> Value {
    json!({"host": rabbit.host(), "port": rabbit.port(), "managementURL": rabbit.management_url()})
}

fn brokers(config: &Value) -> Brokers {
    let transports = json!({"rabbitmq": {"enabled": true, "config": config}});
    Brokers::new(&settings(&transports, Path::new("/nowhere")))
}

/// A broker that nobody answers for.
fn nobody() -> Brokers {
    brokers(&json!({"host": "127.0.0.1", "port": 1}))
}

async fn made(rabbit: &Rabbit) -> Queue {
    let queue = fresh_queue();
    let whose = Whose { namespace: "team", actor: "ocr" };
    brokers(&config(rabbit)).ensure("rabbitmq", &queue, whose).await.unwrap();
    queue
}

fn object(name: &str) -> ScaledObjectRef {
    ScaledObjectRef { name: name.to_owned(), namespace: "team".to_owned() }
}

/// Waits for the next word, which is never `false`.
async fn woken(stream: &mut Streaming<IsActiveResponse>) {
    let said = timeout(SOON, stream.message()).await.expect("woken in time").unwrap();
    assert!(said.expect("the stream stays open").result, "a stream never says false");
}

async fn assert_silent(stream: &mut Streaming<IsActiveResponse>, why: &str) {
    let said = timeout(SILENCE, stream.message()).await;
    assert!(said.is_err(), "{why}: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_at_zero_is_woken_within_two_seconds_again_and_again_until_it_has_replicas() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        let scaler = Scaler::start(brokers(&config(&rabbit)), None).await;
        scaler.set("ocr", &queue, true, true);
        let mut stream = scaler.client().await.stream_is_active(object("ocr")).await.unwrap().into_inner();
        assert_silent(&mut stream, "nothing waits").await;

        rabbit.publish(&queue, "work");
        woken(&mut stream).await;

        let told = Instant::now();
        woken(&mut stream).await;
        let again = told.elapsed();
        println!("named again after {again:?}");
        assert!(again > Duration::from_millis(1_500), "named again after {again:?}");
        assert!(again < Duration::from_secs(4), "named again after {again:?}");

        scaler.set("ocr", &queue, true, false);
        // A look may have been on its way.
        let looks = scaler.counters.looks.get() + 1;
        let _ = timeout(Duration::from_secs(1), stream.message()).await;
        assert_silent(&mut stream, "an actor above zero is silent").await;
        assert!(scaler.counters.looks.get() <= looks, "an actor above zero is not looked at");
        assert!(scaler.counters.activations.get() >= 2);

        scaler.set("ocr", &queue, true, true);
        woken(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_publish_to_active_it_takes_less_than_two_seconds() {
    for rabbit in rabbitmqs() {
        let scaler = Scaler::start(brokers(&config(&rabbit)), None).await;
        let mut client = scaler.client().await;
        let mut times = Vec::new();
        for number in 0..12 {
            let (queue, name) = (made(&rabbit).await, format!("ocr-{number}"));
            scaler.set(&name, &queue, true, true);
            let mut stream = client.stream_is_active(object(&name)).await.unwrap().into_inner();
            let looks = scaler.counters.looks.get();
            eventually("the queue is looked at", async || scaler.counters.looks.get() > looks).await;
            // Somewhere between two looks, each time elsewhere.
            tokio::time::sleep(Duration::from_millis(number * 40)).await;
            let published = Instant::now();
            rabbit.publish(&queue, "work");
            woken(&mut stream).await;
            times.push(published.elapsed());
            scaler.set(&name, &queue, true, false);
        }
        times.sort_unstable();
        println!("from publish to active=true: {:?} to {:?}, median {:?}", times[0], times[11], times[6]);
        assert!(times[11] < GOAL, "woken after {:?}", times[11]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_just_woken_hears_that_there_is_work() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        let scaler = Scaler::start(brokers(&config(&rabbit)), None).await;
        scaler.set("ocr", &queue, true, true);
        let mut client = scaler.client().await;
        // Now the list of all queues is fresh, and the queue empty in it.
        assert!(!client.is_active(object("ocr")).await.unwrap().into_inner().result);
        let mut stream = client.stream_is_active(object("ocr")).await.unwrap().into_inner();
        rabbit.publish(&queue, "work");
        woken(&mut stream).await;
        eventually("it is active", async || {
            client.clone().is_active(object("ocr")).await.unwrap().into_inner().result
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metric_counts_what_waits_against_the_queue_length() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        let scaler = Scaler::start(brokers(&config(&rabbit)), None).await;
        scaler.set("ocr", &queue, true, false);
        let mut client = scaler.client().await;
        let spec = client.get_metric_spec(object("ocr")).await.unwrap().into_inner().metric_specs;
        assert_eq!(spec.len(), 1, "{spec:?}");
        assert_eq!((spec[0].target_size, spec[0].target_size_float), (7, 7.0));
        assert!(!client.is_active(object("ocr")).await.unwrap().into_inner().result);
        for _ in 0..3 {
            rabbit.publish(&queue, "work");
        }
        let request = GetMetricsRequest {
            scaled_object_ref: Some(object("ocr")),
            metric_name: spec[0].metric_name.clone(),
        };
        eventually("three messages are counted", async || {
            let values =
                client.clone().get_metrics(request.clone()).await.unwrap().into_inner().metric_values;
            values.len() == 1 && values[0].metric_value == 3 && values[0].metric_value_float > 2.9
        })
        .await;
        assert!(client.is_active(object("ocr")).await.unwrap().into_inner().result);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_management_api_the_metric_adds_what_sidecars_have_in_hand() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        rabbit.publish(&queue, "work");
        let amqp_only = json!({"host": rabbit.host(), "port": rabbit.port()});
        let scaler = Scaler::start(brokers(&amqp_only), None).await;
        scaler.set("ocr", &queue, true, false);
        let stop = CancellationToken::new();
        let _ended = stop.clone().drop_guard();
        let sidecar = sidecar(4, &stop).await;
        scaler.actors.set_sidecars("team", "ocr", vec![sidecar]);
        let mut client = scaler.client().await;
        let request =
            GetMetricsRequest { scaled_object_ref: Some(object("ocr")), metric_name: "messages".to_owned() };
        let values = client.get_metrics(request).await.unwrap().into_inner().metric_values;
        assert_eq!(values[0].metric_value, 5, "one waits, four are in hand");

        // The queue is empty, and so would be the count of the broker: but work goes on.
        scaler.set("idle", &fresh_queue(), true, false);
        scaler.actors.set_sidecars("team", "idle", vec![sidecar]);
        assert!(client.is_active(object("idle")).await.unwrap().into_inner().result);

        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        scaler.set("silent", &fresh_queue(), true, false);
        scaler.actors.set_sidecars("team", "silent", vec![silent.local_addr().unwrap()]);
        let error = client.is_active(object("silent")).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
}

/// The metrics of a sidecar that has so many messages in hand.
async fn sidecar(messages: usize, stop: &CancellationToken) -> SocketAddr {
    let metrics = asya_telemetry::Metrics::new("asya_actor");
    let actor = metrics.actor("ocr", "rabbitmq");
    for _ in 0..messages {
        actor.received(1, Duration::ZERO);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let check: asya_telemetry::server::Check = Arc::new(|| Ok(()));
    let probes = asya_telemetry::server::Probes { healthy: check.clone(), ready: check, drain: None };
    tokio::spawn(asya_telemetry::server::serve(listener, metrics, probes, stop.clone()));
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_actor_is_not_found() {
    let scaler = Scaler::start(nobody(), None).await;
    let mut client = scaler.client().await;
    let request = GetMetricsRequest { scaled_object_ref: Some(object("ocr")), metric_name: String::new() };
    assert_eq!(client.stream_is_active(object("ocr")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.is_active(object("ocr")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.get_metric_spec(object("ocr")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.get_metrics(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_without_push_is_never_looked_at() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        rabbit.publish(&queue, "work");
        let scaler = Scaler::start(brokers(&config(&rabbit)), None).await;
        scaler.set("ocr", &queue, false, true);
        let mut stream = scaler.client().await.stream_is_active(object("ocr")).await.unwrap().into_inner();
        assert_silent(&mut stream, "push is off").await;
        assert_eq!(scaler.counters.looks.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_http2_takes_by_default_are_served_on_one_connection() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        let scaler = Scaler::start(brokers(&config(&rabbit)), None).await;
        let client = scaler.client().await;
        let mut streams = Vec::new();
        for number in 0..300 {
            let name = format!("ocr-{number}");
            scaler.set(&name, &queue, true, true);
            let opened = timeout(SOON, client.clone().stream_is_active(object(&name))).await;
            streams.push(opened.expect("opened in time").unwrap().into_inner());
        }
        assert_eq!(scaler.counters.streams.get(), 300);
        rabbit.publish(&queue, "work");
        for stream in &mut streams {
            woken(stream).await;
        }
        drop(streams);
        eventually("streams that are closed are forgotten", async || scaler.counters.streams.get() == 0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_broker_and_no_count_is_made_up() {
    for rabbit in rabbitmqs() {
        let queue = made(&rabbit).await;
        let mut cable = Cable::lay(format!("{}:{}", rabbit.host(), rabbit.port())).await;
        let scaler = Scaler::start(brokers(&json!({"host": "127.0.0.1", "port": cable.port})), None).await;
        scaler.set("ocr", &queue, true, true);
        let mut client = scaler.client().await;
        let mut stream = client.stream_is_active(object("ocr")).await.unwrap().into_inner();
        eventually("the queue is looked at", async || scaler.counters.looks.get() > 1).await;
        cable.cut().await;
        rabbit.publish(&queue, "work");
        assert_silent(&mut stream, "the broker is away").await;
        let error = client.is_active(object("ocr")).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        cable.mend().await;
        woken(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_in_order_when_the_operator_stops() {
    let mut scaler = Scaler::start(nobody(), None).await;
    scaler.set("ocr", &fresh_queue(), true, true);
    let mut stream = scaler.client().await.stream_is_active(object("ocr")).await.unwrap().into_inner();
    scaler.stop.cancel();
    let end = timeout(SOON, stream.message()).await.expect("ended in time");
    assert!(matches!(end, Ok(None)), "KEDA comes back soon only after an orderly end: {end:?}");
    timeout(SOON, &mut scaler.served).await.expect("ended in time").unwrap().unwrap();
}

/// An authority with a server's and a client's certificate, in a directory of its own.
fn authority(directory: &Path) {
    let script = r#"
        set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=test CA" -keyout ca.key -out ca.crt \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        for name in tls client; do
            openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout $name.key -out $name.csr
            printf "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n" >ext
            openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.crt
        done
    "#;
    let made = Command::new("sh").args(["-c", script]).current_dir(directory).output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Connects as KEDA would: trusting one authority, showing a certificate of another or none; whether it may call.
async fn admitted(address: SocketAddr, trust: &Path, show: Option<&Path>) -> bool {
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(trust.join("ca.crt"))))
        .domain_name("localhost");
    if let Some(show) = show {
        tls = tls.identity(Identity::from_pem(read(show.join("client.crt")), read(show.join("client.key"))));
    }
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    let Ok(channel) = endpoint.connect().await else { return false };
    match ExternalScalerClient::new(channel).get_metric_spec(object("nobody")).await {
        Err(status) if status.code() == Code::NotFound => true,
        Err(_) => false,
        Ok(spec) => panic!("nobody has {spec:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_of_the_authority_are_served_and_certificates_may_change() {
    let (ours, theirs, served) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs, served) = (ours.path(), theirs.path(), served.path());
    authority(ours);
    authority(theirs);
    let install = |from: &Path| {
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            std::fs::copy(from.join(file), served.join(file)).unwrap();
        }
    };
    install(ours);
    let scaler = Scaler::start(nobody(), Some(served.to_owned())).await;
    assert!(admitted(scaler.address, ours, Some(ours)).await, "the right certificate is admitted");
    assert!(!admitted(scaler.address, ours, Some(theirs)).await, "another authority's is refused");
    assert!(!admitted(scaler.address, ours, None).await, "none is refused");
    let plain = Endpoint::from_shared(format!("http://{}", scaler.address)).unwrap().connect().await;
    if let Ok(channel) = plain {
        assert!(
            ExternalScalerClient::new(channel).is_active(object("nobody")).await.is_err(),
            "plain text is refused"
        );
    }

    std::fs::write(served.join("tls.crt"), "half written").unwrap();
    assert!(admitted(scaler.address, ours, Some(ours)).await, "what cannot be used is not taken");
    install(theirs);
    eventually("the new certificates are in force", async || {
        admitted(scaler.address, theirs, Some(theirs)).await
    })
    .await;
    assert!(!admitted(scaler.address, theirs, Some(ours)).await, "the old authority's is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_certificates_is_an_error_and_never_plain_text() {
    let empty = tempfile::tempdir().unwrap();
    let push = Push {
        bind: "127.0.0.1:0".parse().unwrap(),
        address: "localhost:8082".to_owned(),
        tls: Some(empty.path().to_owned()),
        authentication: None,
        default: true,
    };
    let served = scaler::serve(
        &push,
        Arc::new(Known::default()),
        Arc::new(nobody()),
        Counters::default(),
        CancellationToken::new(),
    );
    let error = timeout(SOON, served).await.expect("at once").unwrap_err();
    assert!(error.to_string().contains("tls.crt"), "{error}");
}
