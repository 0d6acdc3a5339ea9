//! What one connection cannot do to the others, and how each of them ends.

use tokio::net::TcpSocket;

use super::*;
use crate::{
    rest::api::tests::chat::{Actor, assistant},
    service::tests::world,
    ws::{door::ASYA_V0, line::FRAME},
};

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_connection_stays() {
    let house = House::new(world().await, Kind::default()).await;
    let (mut v0, mut v1) = (house.as_who("anna", "/ws/", ASYA_V0).await, house.v1("anna").await);
    let deep = "{\"input\":".repeat(50_000);
    let long = json!({"input": "x".repeat(65 * 1024), "text": "x"}).to_string();
    let texts = ["", "null", "[]", "{", "\u{0}", "{}", r#"{"type":"shell","input":"rm"}"#, &deep, &long];
    let said =
        texts.map(Message::text).into_iter().chain([Message::binary(vec![0; 1000]), Message::binary("{}")]);
    for message in said {
        v0.stream.send(message.clone()).await.unwrap();
        let told = v0.event("Error").await;
        assert!(told["output"]["error"]["code"].is_string(), "{message:.40}: {told}");
        v0.is_there().await;
        v1.stream.send(message.clone()).await.unwrap();
        let told = v1.until(|told| told["type"] == "error").await;
        assert!(told["data"]["detail"].is_string(), "{message:.40}: {told}");
        v1.is_there().await;
    }
    let (_, sessions) = house.ask("anna", "GET /api/v1/sessions").await;
    assert_eq!(sessions["sessions"], json!([]), "nothing was begun by any of it");
}

#[tokio::test]
async fn a_frame_that_is_too_large_or_no_utf8_ends_its_own_connection() {
    let house = House::new(world().await, Kind::default()).await;
    let mut other = house.v1("anna").await;
    let socket = house.v1("benn").await;
    let (mut sends, mut hears) = socket.stream.split();
    // It does not fit between the two, so it is never sent whole.
    let sending = tokio::spawn(async move { sends.send(Message::text("x".repeat(10 << 20))).await });
    let heard = async {
        loop {
            match hears.next().await {
                Some(Ok(Message::Close(close))) => return close,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let close = timeout(LIMIT, heard).await.unwrap().unwrap();
    assert_eq!(close.code, CloseCode::Size, "{close:?}");
    sending.abort();
    // A text of two bytes that are none, masked with nothing.
    let mut socket = house.v1("benn").await;
    socket.stream.get_mut().write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await.unwrap();
    assert_eq!(socket.closed().await.0, CloseCode::Invalid);
    let mut socket = house.v1("benn").await;
    // No kind of frame that there is.
    socket.stream.get_mut().write_all(&[0xff, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(socket.closed().await.0, CloseCode::Protocol);
    other.is_there().await;
    // The largest that is taken.
    let whole = json!({"type": "ping", "ref": ""}).to_string();
    other.stream.send(Message::text(whole.clone() + &" ".repeat(FRAME - whole.len()))).await.unwrap();
    other.until(|told| told["type"] == "pong").await;
}

#[tokio::test]
async fn a_thousand_messages_at_once_are_answered_in_order_while_others_are_served() {
    let house = House::new(world().await, Kind::default()).await;
    let (mut many, mut other) = (house.v1("anna").await, house.v1("benn").await);
    many.answer(json!({"type": "begin", "agent": "helper", "message": "go"}), "begin").await;
    let (mut sends, mut hears) = many.stream.split();
    let sending = async {
        for n in 0..1000 {
            let said = json!({"type": "say", "text": "more", "ref": n}).to_string();
            sends.send(Message::text(said)).await.unwrap();
        }
    };
    let hearing = async {
        let (mut next, mut full) = (0, 0);
        while next < 1000 {
            let Some(Ok(Message::Text(text))) = hears.next().await else { continue };
            let told: Value = serde_json::from_str(&text).unwrap();
            if !told["ref"].is_null() {
                assert_eq!(told["ref"], next);
                next += 1;
                full += usize::from(told["data"]["code"] == "conflict");
            }
        }
        full
    };
    let others = async {
        for _ in 0..20 {
            other.is_there().await;
        }
    };
    let ((), full, ()) = timeout(2 * LIMIT, async { tokio::join!(sending, hearing, others) }).await.unwrap();
    assert_eq!(full, 1000 - asya_session::session::MOST_WAITING, "what would wait too long is refused");
}

#[tokio::test]
async fn a_reader_that_is_slow_is_closed_with_a_reason_and_goes_on_where_it_was() {
    let pace = Pace { patience: Duration::from_millis(300), ..Pace::default() };
    let house = House::new(world().await, Kind { pace, ..Kind::default() }).await;
    let mut other = house.v1("anna").await;
    let begun = other.answer(json!({"type": "begin", "agent": "helper", "message": "go"}), "1").await;
    let id = begun["data"]["id"].clone();
    // A connection that holds little on the reader's side; the gateway's side holds some megabytes.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(house.address).await.unwrap();
    let bearer = format!("Bearer {}", token("anna"));
    let headers = [("authorization", bearer.as_str()), ("sec-websocket-protocol", ASYA_V1)];
    let mut slow = Socket::open(stream, &format!("ws://{}/ws/", house.address), &headers).await.unwrap();
    slow.answer(json!({"type": "follow", "session": id}), "1").await;
    let actor = Actor::take(&house.world).await;
    for hop in 0..60 {
        actor.append(hop, assistant(&"w".repeat(200_000), &["k8s_read"])).await;
        other.until(|told| told["type"] == "entry" && told["data"]["n"] == hop + 2).await;
    }
    house.counted("asya_gateway_sockets_closed_total{form=\"asya.v1\",reason=\"slow\"} 1").await;
    other.is_there().await;
    // What it has not read yet it can read still, and the rest where it left off.
    let mut next = 1;
    while let Ok(told) = slow.hear().await {
        if told["type"] == "entry" {
            assert_eq!(told["data"]["n"], next);
            next += 1;
        }
    }
    assert!(next < 61, "it was not slow: {next}");
    let mut again = house.v1("anna").await;
    again.say(&json!({"type": "follow", "session": id, "from": next})).await;
    for n in next..=61 {
        assert_eq!(again.until(|told| told["type"] == "entry").await["data"]["n"], n);
    }
}

#[tokio::test]
async fn a_reader_that_answers_no_ping_is_closed_and_one_that_does_stays() {
    let pace = Pace { ping: Duration::from_millis(500), ..Pace::default() };
    let house = House::new(world().await, Kind { pace, ..Kind::default() }).await;
    let mut there = house.v1("anna").await;
    // What reads below knows nothing of pings.
    let mut silent = house.v1("anna").await.stream.into_inner();
    let mut heard = Vec::new();
    let ended = timeout(LIMIT, silent.read_to_end(&mut heard));
    let stays = async {
        loop {
            // It reads, and so answers pings; it says nothing itself.
            let quiet = timeout(Duration::from_millis(100), there.stream.next()).await;
            assert!(!matches!(quiet, Ok(Some(Ok(Message::Close(_))) | None)), "{quiet:?}");
        }
    };
    let ended = tokio::select! {
        ended = ended => ended,
        () = stays => unreachable!("it reads for ever"),
    };
    ended.unwrap().unwrap();
    assert!(heard.windows(9).any(|text| text == b"too long:"), "{:?}", String::from_utf8_lossy(&heard));
    there.is_there().await;
}

#[tokio::test]
async fn there_are_so_many_sockets_of_one_person_and_so_many_in_all() {
    let house = House::new(world().await, Kind { streams: 3, each: 2, ..Kind::default() }).await;
    let mut anna = [house.v1("anna").await, house.v1("anna").await];
    let bearer = |who: &str| format!("Bearer {}", token(who));
    let refused = house.dial("/ws/", &[("authorization", &bearer("anna"))]).await.err().unwrap();
    assert!(refused.0 == 429 && refused.1.contains("anna has 2"), "{refused:?}");
    let mut benn = house.v1("benn").await;
    let refused = house.dial("/ws/", &[("authorization", &bearer("benn"))]).await.err().unwrap();
    assert_eq!(refused.0, 503, "{refused:?}");
    benn.is_there().await;
    anna[0].stream.close(None).await.unwrap();
    house.counted("asya_gateway_sockets{form=\"asya.v1\"} 2").await;
    let free = async {
        while house.guard.streams.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, free).await.unwrap();
    house.v1("anna").await.is_there().await;
}

#[tokio::test]
async fn sockets_are_told_to_come_back_when_the_gateway_stops() {
    let house = House::new(world().await, Kind::default()).await;
    let (mut v0, mut v1) = (house.as_who("anna", "/ws/", ASYA_V0).await, house.v1("anna").await);
    for socket in [&mut v0, &mut v1] {
        socket.is_there().await;
    }
    house.guard.stopping.0.cancel();
    assert!(v0.event("Close").await["output"]["message"].as_str().unwrap().contains("come back"));
    assert_eq!(v1.until(|told| told["type"] == "bye").await["data"]["reason"], v0.closed().await.1);
    assert_eq!(v1.closed().await.0, CloseCode::Away);
    let all = timeout(LIMIT, house.guard.streams.acquire_many(100)).await;
    assert!(all.is_ok(), "their places are given back");
    house.stop.cancel();
}
