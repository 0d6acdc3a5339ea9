//! http-call against real servers on this machine: what is asked, what goes on, and where it does not go.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod servers;
mod support;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use asya_crew::http_call::HttpCall;
use asya_handler::{Code, End, Fault};
use serde_json::json;

use crate::support::{Server, actor, call, envelope, failure, payload, run, settings};

#[tokio::test]
async fn the_payload_is_posted_and_the_answer_goes_on() {
    let server = Server::start().await;
    let url = server.url("/orders/{payload.order}?who={id}");
    let values = [
        ("ASYA_HTTP_ENDPOINT", url.as_str()),
        ("ASYA_HTTP_HEADERS", r#"{"X-Order": "no {payload.order}", "Accept": "application/json"}"#),
        ("ASYA_HTTP_ANSWER_HEADERS", "x-rate, content-type, x-none"),
    ];
    let end = call(&values, json!({"order": "a/b ä"})).await;
    assert_eq!(
        payload(end),
        r#"{"status":200,"headers":{"x-rate":"7","content-type":"application/json"},"body":{"n":1.00}}"#
    );
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/orders/a%2Fb%20%C3%A4?who=job%207"));
    assert_eq!(seen.body, r#"{"order":"a/b ä"}"#);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.headers["x-order"].as_bytes(), "no a/b ä".as_bytes());
    assert_eq!(seen.header("idempotency-key"), Some("job%207-0"));
    assert!(seen.header("user-agent").unwrap().starts_with("asya-http-call/"));
}

#[tokio::test]
async fn a_get_has_no_body_and_no_key_and_its_answer_takes_a_place_in_the_payload() {
    let server = Server::start().await;
    let url = server.url("/");
    let values = [
        ("ASYA_HTTP_ENDPOINT", url.as_str()),
        ("ASYA_HTTP_METHOD", "get"),
        ("ASYA_HTTP_ANSWER_FIELD", "rate"),
    ];
    let end = call(&values, json!({"order": 5})).await;
    let answer = r#"{"status":200,"headers":{"content-type":"application/json"},"body":{"n":1.00}}"#;
    assert_eq!(payload(end), format!(r#"{{"order":5,"rate":{answer}}}"#));
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("GET", ""));
    assert_eq!((seen.header("idempotency-key"), seen.header("content-type")), (None, None));
}

#[tokio::test]
async fn the_same_envelope_asks_with_the_same_key_at_each_run() {
    let server = Server::start().await;
    let url = server.url("/status/503");
    let actor = actor(&[("ASYA_HTTP_ENDPOINT", &url), ("ASYA_HTTP_RETRY_INITIAL_DELAY", "8s")]);
    let envelope = envelope(json!(1));
    for attempt in 1..=2 {
        let End::Retry { after: Some(after), reason } = run(&actor, &envelope, attempt).await else {
            panic!("again")
        };
        let whole = Duration::from_secs(8) * attempt;
        assert!(after <= whole && after >= whole.mul_f64(0.8), "{after:?}");
        assert!(reason.contains("503"), "{reason}");
    }
    let keys: Vec<_> =
        server.seen().iter().map(|seen| seen.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys, ["job%207-0", "job%207-0"]);
    let last = failure(run(&actor, &envelope, 5).await);
    assert_eq!((last.fault, last.type_name.as_deref()), (Fault::Final, Some("HTTP503")));
    assert!(last.message.contains("5 runs"), "{last}");
}

#[tokio::test]
async fn a_server_says_how_long_to_wait_and_what_stays_the_same_is_not_asked_again() {
    let server = Server::start().await;
    let one = async |path: &str| {
        let url = server.url(path);
        call(&[("ASYA_HTTP_ENDPOINT", url.as_str())], json!(1)).await
    };
    for path in ["/wait/429/17", "/wait/503/17"] {
        let End::Retry { after, .. } = one(path).await else { panic!("{path}") };
        assert_eq!(after, Some(Duration::from_secs(17)), "{path}");
    }
    for status in [502, 504] {
        assert!(matches!(one(&format!("/status/{status}")).await, End::Retry { .. }), "{status}");
    }
    for (status, fault) in
        [(400, Fault::Final), (404, Fault::Final), (500, Fault::Handler), (408, Fault::Handler)]
    {
        let failure = failure(one(&format!("/status/{status}")).await);
        assert_eq!((failure.fault, failure.code), (fault, Code::Processing), "{status}");
        assert_eq!(failure.type_name, Some(format!("HTTP{status}")));
        assert!(failure.message.contains(": no"), "{failure}");
    }
}

#[tokio::test]
async fn a_status_may_be_declared_a_good_one() {
    let server = Server::start().await;
    let url = server.url("/status/404");
    let end = call(&[("ASYA_HTTP_ENDPOINT", &url), ("ASYA_HTTP_STATUSES", "200-299, 404")], json!(1)).await;
    assert!(payload(end).contains(r#""status":404"#));
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_and_one_that_is_slow_or_breaks_off_by_the_policy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(call(&[("ASYA_HTTP_ENDPOINT", &away)], json!(1)).await, End::Retry { .. }));
    let last = failure(run(&actor(&[("ASYA_HTTP_ENDPOINT", &away)]), &envelope(json!(1)), 5).await);
    assert_eq!((last.code, last.fault), (Code::Connection, Fault::Final));

    let server = Server::start().await;
    let slow = server.url("/hang");
    let failed =
        failure(call(&[("ASYA_HTTP_ENDPOINT", &slow), ("ASYA_HTTP_TIMEOUT", "200ms")], json!(1)).await);
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    let broken = server.url("/broken");
    let failed = failure(call(&[("ASYA_HTTP_ENDPOINT", &broken)], json!(1)).await);
    assert_eq!((failed.code, failed.fault), (Code::Connection, Fault::Handler));
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound() {
    let server = Server::start().await;
    for path in ["/big", "/stream"] {
        let url = server.url(path);
        let values = [("ASYA_HTTP_ENDPOINT", url.as_str()), ("ASYA_HTTP_MAX_ANSWER", "4000")];
        let failed = failure(call(&values, json!(1)).await);
        assert_eq!((failed.code, failed.fault), (Code::InvalidResult, Fault::Final), "{path}");
        assert!(failed.message.contains("4000"), "{failed}");
    }
    let url = server.url("/big");
    assert!(payload(call(&[("ASYA_HTTP_ENDPOINT", &url)], json!(1)).await).contains("xxxx"));
}

#[tokio::test]
async fn redirects_are_followed_as_browsers_do_and_not_for_ever() {
    let server = Server::start().await;
    for (status, method, body) in [(302, "GET", ""), (303, "GET", ""), (307, "POST", "1"), (308, "POST", "1")]
    {
        let url = server.url(&format!("/to/{status}?/end"));
        payload(call(&[("ASYA_HTTP_ENDPOINT", &url)], json!(1)).await);
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.body.as_str()), (method, body), "{status}");
        assert_eq!(seen.target, "/end");
    }
    let ring = server.url("/to/307?/to/307?/end");
    payload(call(&[("ASYA_HTTP_ENDPOINT", &ring)], json!(1)).await);
    let failed =
        failure(call(&[("ASYA_HTTP_ENDPOINT", &ring), ("ASYA_HTTP_REDIRECTS", "1")], json!(1)).await);
    assert!(failed.message.contains("more than 1 redirects"), "{failed}");
    let failed =
        failure(call(&[("ASYA_HTTP_ENDPOINT", &ring), ("ASYA_HTTP_REDIRECTS", "0")], json!(1)).await);
    assert_eq!(failed.type_name.as_deref(), Some("HTTP307"));
}

#[tokio::test]
async fn a_payload_chooses_what_the_settings_let_it_choose() {
    let server = Server::start().await;
    let (url, chosen) = (server.url("/"), server.url("/chosen"));
    let request =
        json!({"method": "PUT", "url": chosen, "headers": {"X-A": "1", "X-Own": "other"}, "body": [1]});
    let values = [
        ("ASYA_HTTP_ENDPOINT", url.as_str()),
        ("ASYA_HTTP_HEADERS", r#"{"X-Own": "mine"}"#),
        ("ASYA_HTTP_FROM_PAYLOAD", "method,url,headers,body"),
    ];
    payload(call(&values, json!({"request": request})).await);
    let seen = server.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.body.as_str()), ("PUT", "/chosen", "[1]"));
    assert_eq!((seen.header("x-a"), seen.header("x-own")), (Some("1"), Some("mine")));

    let some = [("ASYA_HTTP_ENDPOINT", url.as_str()), ("ASYA_HTTP_FROM_PAYLOAD", "body")];
    let failed = failure(call(&some, json!({"request": {"url": chosen}})).await);
    assert_eq!((failed.code, failed.fault), (Code::Rejected, Fault::Final));
    let failed = failure(call(&values, json!({"request": {"hots": 1}})).await);
    assert_eq!((failed.code, failed.fault), (Code::Validation, Fault::Final));
    // Not asked to choose, the member is one like any other.
    payload(call(&values[..1], json!({"request": {"url": chosen}})).await);
    assert_eq!(server.seen().pop().unwrap().target, "/");
}

#[tokio::test]
async fn a_value_does_not_lead_out_of_the_path_and_a_missing_one_is_named() {
    let server = Server::start().await;
    let url = server.url("/orders/{payload.id}/lines");
    for id in ["..", "."] {
        let failed = failure(call(&[("ASYA_HTTP_ENDPOINT", &url)], json!({"id": id})).await);
        assert_eq!((failed.code, failed.fault), (Code::Validation, Fault::Final));
    }
    payload(call(&[("ASYA_HTTP_ENDPOINT", &url)], json!({"id": "../../admin?x#y"})).await);
    assert_eq!(server.seen().pop().unwrap().target, "/orders/..%2F..%2Fadmin%3Fx%23y/lines");
    let failed = failure(call(&[("ASYA_HTTP_ENDPOINT", &url)], json!({"other": 1})).await);
    assert!(failed.code == Code::Validation && failed.message.contains("payload.id"), "{failed}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_secret_is_read_from_its_file_each_time_and_waited_for() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let url = server.url("/");
    let values =
        [("ASYA_HTTP_ENDPOINT", url.as_str()), ("ASYA_HTTP_HEADERS", r#"{"X-Key": "k {file:key}"}"#)];
    let actor = HttpCall::new(settings(&values, folder.path())).unwrap();
    let failed = failure(run(&actor, &envelope(json!(1)), 1).await);
    assert_eq!(failed.fault, Fault::Infrastructure);
    for key in ["old", "new"] {
        std::fs::write(folder.path().join("key"), format!("{key}\n")).unwrap();
        payload(run(&actor, &envelope(json!(1)), 1).await);
        assert_eq!(server.seen().pop().unwrap().header("x-key"), Some(format!("k {key}").as_str()));
    }
}

/// A certificate for `localhost` with its key, in files of this folder.
fn certificate(folder: &Path) {
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "crt.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A server that speaks TLS, and answers everything with 204.
async fn secure(folder: &Path) -> SocketAddr {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let crt = CertificateDer::from_pem_file(folder.join("crt.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![crt], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            // To the end of its body: what is left unread would break the connection off.
            while !request.ends_with(b"\r\n\r\n1") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_is_named_and_no_other() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificate(folder.path());
    certificate(other.path());
    let address = secure(folder.path()).await;
    let url = format!("https://localhost:{}/", address.port());
    let values = [
        ("ASYA_HTTP_ENDPOINT", url.as_str()),
        ("ASYA_HTTP_ALLOW", "127.0.0.1"),
        ("ASYA_HTTP_CA_FILE", "crt.pem"),
    ];
    let trusting = |folder: &Path| HttpCall::new(settings(&values, folder)).unwrap();
    let answer = payload(run(&trusting(folder.path()), &envelope(json!(1)), 1).await);
    assert!(answer.contains(r#""status":204"#) && answer.contains(r#""body":null"#), "{answer}");
    let failed = failure(run(&trusting(other.path()), &envelope(json!(1)), 5).await);
    assert_eq!(failed.code, Code::Connection);
    assert!(failed.message.contains("certificate"), "{failed}");
    assert!(HttpCall::new(settings(&values, Path::new("/nowhere"))).is_err());
}
