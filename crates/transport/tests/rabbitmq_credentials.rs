//! Credentials that change while a client runs, on a real broker.
//!
//! `ASYA_TEST_RABBITMQ_URL`: the broker. `ASYA_TEST_RABBITMQ_MANAGEMENT`: its management API, of the user `guest`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod rabbitmq;

use std::path::Path;

use asya_transport::{
    Queues, Source, Transport,
    conformance::report::unique,
    rabbitmq::{Rabbitmq, RabbitmqConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::rabbitmq::{SOON, consume, done, eventually, fresh_queue, message, next, server};

/// `guest:guest`, as basic authentication has it.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// The broker's management API.
struct Management(String);

impl Management {
    async fn call(&self, method: &str, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.0).await.unwrap();
        let request = format!(
            "{method} /api/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {GUEST}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    }

    async fn set_password(&self, user: &str, password: &str) {
        let body = format!(r#"{{"password":"{password}","tags":""}}"#);
        self.call("PUT", &format!("users/{user}"), &body).await;
    }
}

fn password_in(file: &Path, user: &str, url: &str) -> Source<String> {
    let (file, user) = (file.to_owned(), user.to_owned());
    let host = url.rsplit_once('@').unwrap().1.to_owned();
    Source::new(move || {
        let password =
            std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(format!("amqp://{user}:{password}@{host}"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_in_use_after_the_next_connect_without_a_restart() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let Some(management) = server("ASYA_TEST_RABBITMQ_MANAGEMENT") else { return };
    let management = Management(management.rsplit_once('@').unwrap().1.to_owned());
    let user = format!("rotated-{}", unique());
    management.set_password(&user, "first").await;
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    management.call("PUT", &format!("permissions/%2F/{user}"), all).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let client = Rabbitmq::connect(RabbitmqConfig::new(password_in(&file, &user, &url))).await.unwrap();
    let health = client.health();
    eventually(SOON, "the missing file is named", async || {
        health.borrow().reason().is_some_and(|reason| reason.contains(file.to_str().unwrap()))
    })
    .await;
    std::fs::write(&file, "first").unwrap();
    eventually(SOON, "the file's password is taken", async || health.borrow().is_up()).await;

    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    let mut consumer = consume(&client, &queue, 1).await;
    client.publish(message(&queue, "before"), None).await.unwrap();
    done(next(&mut consumer).await).await;

    management.set_password(&user, "second").await;
    management.call("DELETE", &format!("connections/username/{user}"), "").await;
    eventually(SOON, "the old password is refused", async || !health.borrow().is_up()).await;
    let words = health.borrow().reason().unwrap_or_default().to_owned();
    assert!(!words.contains("first"), "{words}");
    std::fs::write(&file, "second").unwrap();
    eventually(SOON, "the new password is taken", async || health.borrow().is_up()).await;
    client.publish(message(&queue, "after"), None).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(&delivery.body[..], b"after");
    done(delivery).await;
    client.delete(&queue).await.unwrap();
    drop((consumer, client));
    management.call("DELETE", &format!("users/{user}"), "").await;
}
