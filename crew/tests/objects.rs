//! Records as objects: in a directory, and on a server that speaks S3. What is stored where, and what happens when it
//! cannot be.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use asya_crew::{
    ErrorEnd, HappyEnd, Recorder,
    objects::{DEFAULT_ERRORS_PREFIX, DEFAULT_RESULTS_PREFIX, Objects, Place, S3},
};
use asya_envelope::{Envelope, ErrorReport, Limits, Raw, Route, Wrapped};
use asya_handler::{End, Fate, Fault, Handler, Reply, Request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn recorder(place: &Place) -> Recorder {
    Recorder::Objects(Arc::new(Objects::open(place, DEFAULT_RESULTS_PREFIX, DEFAULT_ERRORS_PREFIX).unwrap()))
}

fn happy(place: &Place) -> impl Handler {
    HappyEnd::new(recorder(place), HashSet::new())
}

fn finished(id: &str) -> Envelope {
    let mut envelope = Envelope::new(id, Route::new(["split", "render"]), Raw::of(&vec![1, 2]));
    envelope.route.current = 2;
    envelope
}

async fn ask(actor: &impl Handler, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "test".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(60),
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// The address under which it was stored.
async fn stored(actor: &impl Handler, envelope: &Envelope) -> String {
    match ask(actor, envelope).await {
        End::Platform { fate: Fate::Ended { stored: Some(address) }, .. } => address,
        other => panic!("{other:?}"),
    }
}

/// The sentence of a failure that is not the message's fault.
async fn refused(actor: &impl Handler, envelope: &Envelope) -> String {
    match ask(actor, envelope).await {
        End::Failed(failure) if failure.fault == Fault::Infrastructure => failure.message,
        other => panic!("{other:?}"),
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[tokio::test]
async fn a_directory_holds_the_layout_of_the_go_system() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Directory(folder.path().join("records"));
    let envelope = finished("job-7");
    let address = stored(&happy(&place), &envelope).await;
    let path = address.strip_prefix("file://").unwrap();
    let key = path.strip_prefix(&format!("{}/records/", folder.path().display())).unwrap();
    let parts: Vec<_> = key.split('/').collect();
    assert_eq!((parts.len(), parts[0], parts[2], parts[3]), (4, "happy-asya", "render", "job-7.json"));
    assert!(parts[1].len() == "2026-11-21T09:08:07.000042Z".len() && parts[1].ends_with('Z'), "{key}");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("{\n  \"id\": \"job-7\",\n"), "{text}");
    let back: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(back, serde_json::from_slice::<serde_json::Value>(&envelope.encode()).unwrap());
}

#[tokio::test]
async fn failures_are_filed_under_the_prefix_of_errors() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Directory(folder.path().to_owned());
    let mut at_split = finished("job-8");
    at_split.route.current = 1;
    let report = ErrorReport::new("timeout", "no", "render", 1, jiff::Timestamp::UNIX_EPOCH);
    let Wrapped::Whole(body) = report.wrap(&at_split, &Limits::default()) else { panic!("it is small") };
    let failed = Envelope::parse(body).unwrap();
    let address = stored(&ErrorEnd::new(recorder(&place), HashSet::new()), &failed).await;
    assert!(address.contains("/error-asya/") && address.ends_with("Z/render/job-8.json"), "{address}");
}

#[tokio::test]
async fn a_message_that_comes_again_at_once_is_not_stored_twice() {
    let folder = tempfile::tempdir().unwrap();
    let happy = happy(&Place::Directory(folder.path().to_owned()));
    let first = stored(&happy, &finished("a")).await;
    assert_eq!(stored(&happy, &finished("a")).await, first);
    stored(&happy, &finished("b")).await;
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test]
async fn no_id_leaves_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let happy = happy(&Place::Directory(folder.path().join("records")));
    for id in ["../../../x", "..", "a/b", "%2e%2e", &"é".repeat(500)] {
        stored(&happy, &finished(id)).await;
    }
    assert_eq!(files(folder.path()).len(), 5);
    assert!(files(folder.path()).iter().all(|file| file.contains("/render/")), "{:?}", files(folder.path()));
}

#[tokio::test]
async fn a_directory_that_takes_no_files_fails_and_works_again_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let happy = happy(&Place::Directory(folder.path().to_owned()));
    let in_the_way = folder.path().join("happy-asya");
    std::fs::write(&in_the_way, "a file where a folder should be").unwrap();
    let message = refused(&happy, &finished("a")).await;
    assert!(message.contains("happy-asya"), "{message}");
    std::fs::remove_file(&in_the_way).unwrap();
    stored(&happy, &finished("a")).await;
}

/// A disk of 64 KiB, where this process may mount one.
#[tokio::test]
async fn a_full_disk_fails_the_record_and_leaves_no_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(folder.path()).status()
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "asya-test"]).is_ok_and(|status| status.success()) {
        eprintln!("\n=== NOT TESTED: a full disk; this process may not mount one ===\n");
        // The second RabbitMQ of the gate mounts too, so CI can.
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test a full disk");
        return;
    }
    let happy = happy(&Place::Directory(folder.path().to_owned()));
    let mut large = finished("large");
    large.payload = Raw::of(&"x".repeat(200_000));
    let message = refused(&happy, &large).await;
    let left = files(folder.path());
    let small = ask(&happy, &finished("small")).await;
    drop(happy);
    mount(&["umount"]).unwrap();
    assert!(message.contains("No space left"), "{message}");
    assert!(!left.iter().any(|file| file.ends_with(".json")), "{left:?}");
    assert!(matches!(small, End::Platform { .. }), "what was begun is gone again, there is room: {small:?}");
}

#[tokio::test]
async fn a_server_that_is_away_or_denies_is_an_infrastructure_failure() {
    let s3 = |endpoint: String| {
        Place::S3(S3 { bucket: "b".to_owned(), endpoint: Some(endpoint), ..S3::default() })
    };
    let message = refused(&happy(&s3("http://127.0.0.1:1".to_owned())), &finished("a")).await;
    assert!(message.contains("s3://b/happy-asya/"), "{message}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let denying = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 16 * 1024];
            drop(stream.read(&mut bytes).await);
            let body = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    let message = refused(&happy(&s3(format!("http://{address}"))), &finished("a")).await;
    assert!(message.contains("403") || message.contains("AccessDenied"), "{message}");
    denying.abort();
}

/// The server that the environment names. Without one: says so, or fails where everything must run.
fn server() -> Option<String> {
    let endpoint = std::env::var("ASYA_TEST_S3_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    if endpoint.is_none() {
        eprintln!(
            "\n=== NOT TESTED: S3; start a server with tests/servers/sqs.sh and set ASYA_TEST_S3_ENDPOINT ===\n"
        );
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test against an S3 server");
    }
    endpoint
}

/// An answer with its head; the server does not ask who reads.
async fn get(endpoint: &str, path: &str) -> String {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let key = "Credential=test/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: AWS4-HMAC-SHA256 {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// A bucket that no other test has.
fn bucket(name: &str) -> String {
    format!("asya-{name}-{}", std::process::id())
}

#[tokio::test]
async fn s3_holds_the_layout_of_the_go_system_in_a_bucket_that_is_made() {
    let Some(endpoint) = server() else { return };
    for region in ["us-east-1", "eu-central-1"] {
        let name = bucket(region);
        let place = Place::S3(S3 {
            bucket: name.clone(),
            endpoint: Some(endpoint.clone()),
            key: Some(("test".to_owned(), "test".to_owned())),
            region: Some(region.to_owned()),
        });
        let envelope = finished("job-7");
        let address = stored(&happy(&place), &envelope).await;
        let key = address.strip_prefix(&format!("s3://{name}/")).unwrap();
        assert!(key.starts_with("happy-asya/") && key.ends_with("Z/render/job-7.json"), "{key}");

        let list = get(&endpoint, &format!("/{name}?list-type=2")).await;
        assert_eq!(list.matches("<Key>").count(), 1, "{list}");
        assert!(list.contains(&format!("<Key>{key}</Key>")), "{list}");
        let found = get(&endpoint, &format!("/{name}/{key}")).await;
        let (head, text) = found.split_once("\r\n\r\n").unwrap();
        assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        assert!(text.starts_with("{\n  \"id\": \"job-7\""), "{text}");
    }
}

#[tokio::test]
async fn of_many_records_at_once_into_a_new_bucket_each_is_stored() {
    let Some(endpoint) = server() else { return };
    let place = Place::S3(S3 {
        bucket: bucket("many"),
        endpoint: Some(endpoint),
        key: Some(("test".to_owned(), "test".to_owned())),
        region: None,
    });
    let happy = happy(&place);
    let envelopes: Vec<_> = (0..32).map(|n| finished(&format!("many-{n}"))).collect();
    let addresses =
        futures::future::join_all(envelopes.iter().map(|envelope| stored(&happy, envelope))).await;
    assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 32);
}
