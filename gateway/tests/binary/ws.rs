//! Sockets of a gateway that is stopped, and of the one that comes after it.

use std::net::SocketAddr;

use asya_envelope::Naming;
use asya_store::testing::on_each_home;
use asya_transport::{
    Queues,
    local::{Local, LocalOptions},
};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::frame::coding::CloseCode},
};

use crate::{
    chat::{append, start, taken},
    support::{LIMIT, body, get, post, terminate},
};

type Socket = WebSocketStream<TcpStream>;

/// Opens a socket as a page does: by a ticket.
async fn dial(address: SocketAddr) -> Socket {
    let ticket = body(&post(address, "/api/v1/ws-tickets", &json!({})).await);
    let mut request = format!("ws://{address}/ws/").into_client_request().unwrap();
    let offer = format!("asya.v1, {}", ticket["protocol"].as_str().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", offer.parse().unwrap());
    let origin = format!("http://{address}");
    request.headers_mut().insert("origin", origin.parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, answer) = client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "asya.v1");
    socket
}

async fn say(socket: &mut Socket, said: Value) {
    socket.send(Message::text(said.to_string())).await.unwrap();
}

/// The next message of this type.
async fn hear(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            let told: Value = serde_json::from_str(&text).unwrap();
            if told["type"] == kind {
                return told["data"].clone();
            }
        }
    }
}

#[tokio::test]
async fn sockets_are_told_to_come_back_and_the_next_process_goes_on_where_they_were() {
    on_each_home(async |home| {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
        local.ensure(&Naming::bare().queue("helper")).await.unwrap();
        let (first, at) = start(folder.path(), &home.url).await;
        let mut socket = dial(at).await;
        assert_eq!(hear(&mut socket, "hello").await["who"], "anonymous");
        say(&mut socket, json!({"type": "begin", "agent": "helper", "message": "hello"})).await;
        let session = hear(&mut socket, "begun").await["id"].as_str().unwrap().to_owned();
        assert_eq!(hear(&mut socket, "entry").await["n"], 1);
        let envelope = taken(&local, "helper").await;
        let open = "asya_gateway_sockets{form=\"asya.v1\"} 1";
        assert!(get(at, "/metrics").await.contains(open));
        let end = tokio::spawn(terminate(first));
        let close = loop {
            match timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap() {
                Message::Close(close) => break close.unwrap(),
                _ => continue,
            }
        };
        assert_eq!(close.code, CloseCode::Away);
        // The answer to the goodbye lets the process end.
        assert!(timeout(LIMIT, socket.next()).await.unwrap().is_none_or(|end| end.is_err()));
        drop(socket);
        assert!(end.await.unwrap().status.success());

        let (second, at) = start(folder.path(), &home.url).await;
        append(at, &envelope, &session, 0, json!({"kind": "assistant", "text": "hello!", "model": "x/one"}))
            .await;
        let mut socket = dial(at).await;
        say(&mut socket, json!({"type": "follow", "session": session, "from": 2})).await;
        let entry = hear(&mut socket, "entry").await;
        assert_eq!((&entry["n"], &entry["text"]), (&json!(2), &json!("hello!")));
        assert!(terminate(second).await.status.success());
    })
    .await;
}
