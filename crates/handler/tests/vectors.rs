//! The byte-level vectors of docs/protocol.md, which the Python runtime's tests read too.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use asya_handler::{
    End,
    answer::one_shot,
    frame::{Decoder, FrameError, Step, WriteQueue},
    message::{
        Hello, HelloAnswer, Message, Part, RequestMeta, parse_handshake, write_handshake, write_request,
    },
    serve::{Call, Error, Output, ServeOptions, serve},
    socket::{READY_NAME, SOCKET_NAME},
};
use bytes::{BufMut, Bytes};
use serde_json::{Value, json};
use support::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol-vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn each<'a>(vectors: &'a Value, section: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let list = vectors[section].as_array().unwrap();
    assert!(!list.is_empty(), "{section} has vectors");
    list.iter().map(|vector| (vector["name"].as_str().unwrap(), vector))
}

fn bytes(hex: &Value) -> Bytes {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The one body in a frame.
fn body(frame: &Bytes) -> Bytes {
    let mut decoder = Decoder::new(1 << 20);
    decoder.fill(|room| room.put_slice(frame));
    let Ok(Step::Frame(body)) = decoder.next_frame() else { panic!("must be one frame") };
    assert!(decoder.at_boundary());
    body
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn rewritten(message: &Message) -> Bytes {
    let mut out = WriteQueue::default();
    message.write(&mut out);
    out.take()
}

#[test]
fn handshakes_are_read_and_written_as_in_the_vectors() {
    let vectors = vectors();
    for (name, vector) in each(&vectors, "handshake") {
        let body = body(&bytes(&vector["frame"]));
        let mut out = WriteQueue::default();
        if vector["direction"] == "to the runtime" {
            let hello: Hello = parse_handshake(&body).unwrap();
            assert_eq!(hello.actor, vector["json"]["actor"].as_str().unwrap(), "{name}");
            write_handshake(&mut out, &hello);
        } else {
            let answer: HelloAnswer = parse_handshake(&body).unwrap();
            assert_eq!(serde_json::to_value(&answer).unwrap(), vector["json"], "{name}");
            write_handshake(&mut out, &answer);
        }
        let again = out.take();
        assert_eq!(again[4..12], *b"\0asya/2 ", "{name}");
    }
}

#[test]
fn frames_are_read_and_written_as_in_the_vectors() {
    let vectors = vectors();
    for (name, vector) in each(&vectors, "frames") {
        let frame = bytes(&vector["frame"]);
        let message = Message::parse(&body(&frame)).unwrap();
        let id = vector["id"].as_u64().unwrap();
        let part = |part: &Part, vector: &Value| {
            assert_eq!(text(&part.meta), vector["meta"], "{name}");
            assert_eq!(text(&part.payload), vector["payload"], "{name}");
        };
        let decoded = |found: Value| {
            for (member, value) in vector["json"].as_object().unwrap() {
                assert_eq!(found[member], *value, "{name}: {member}");
            }
        };
        match (&message, vector["type"].as_str().unwrap()) {
            (Message::Request(of, found), "REQUEST") | (Message::Item(of, found), "ITEM") => {
                assert_eq!(*of, id, "{name}");
                part(found, vector);
            }
            (Message::Result(of, items), "RESULT") => {
                assert_eq!(*of, id, "{name}");
                let expected = vector["items"].as_array().unwrap();
                assert_eq!(items.len(), expected.len(), "{name}");
                for (item, expected) in items.iter().zip(expected) {
                    part(item, expected);
                }
            }
            (Message::Error(of, found), "ERROR") => {
                assert_eq!(*of, id, "{name}");
                decoded(serde_json::to_value(found).unwrap());
            }
            (Message::Progress(of, found), "PROGRESS") => {
                assert_eq!(*of, id, "{name}");
                decoded(serde_json::to_value(found).unwrap());
            }
            (Message::Cancel(of, found), "CANCEL") => {
                assert_eq!(*of, id, "{name}");
                decoded(serde_json::to_value(found).unwrap());
            }
            (Message::Kill(found), "KILL") => decoded(serde_json::to_value(found).unwrap()),
            (Message::Ready(found), "WORKER_READY") => decoded(serde_json::to_value(found).unwrap()),
            (Message::Exited(found), "WORKER_EXITED") => decoded(serde_json::to_value(found).unwrap()),
            (Message::Shutdown, "SHUTDOWN") => {}
            (Message::Unknown(_), "UNKNOWN") => continue,
            (found, expected) => panic!("{name}: {found:?} is not {expected}"),
        }
        let again = rewritten(&message);
        assert_eq!(Message::parse(&body(&again)).unwrap(), message, "{name}");
        if vector["json"].is_null() {
            assert_eq!(again, frame, "{name}");
        }
    }
}

#[test]
fn requests_are_written_as_in_the_vectors() {
    let vectors = vectors();
    for (name, vector) in each(&vectors, "frames").filter(|(_, vector)| vector["type"] == "REQUEST") {
        // An envelope with what the metadata says.
        let (meta, payload) = (vector["meta"].as_str().unwrap(), vector["payload"].as_str().unwrap());
        let envelope = format!("{},\"payload\":{payload}}}", meta.strip_suffix('}').unwrap());
        let envelope = asya_envelope::Envelope::parse(envelope.into()).unwrap();
        let meta: Value = serde_json::from_str(meta).unwrap();
        let said = RequestMeta {
            envelope: &envelope,
            actor: meta["actor"].as_str().unwrap(),
            attempt: meta["attempt"].as_u64().unwrap().try_into().unwrap(),
            timeout_ms: meta["timeout_ms"].as_u64().unwrap(),
        };
        let mut out = WriteQueue::default();
        write_request(&mut out, vector["id"].as_u64().unwrap(), &said, envelope.payload.as_bytes());
        assert_eq!(out.take(), bytes(&vector["frame"]), "{name}");
    }
}

#[test]
fn malformed_bodies_are_refused() {
    let vectors = vectors();
    for (name, vector) in each(&vectors, "malformed") {
        assert!(Message::parse(&bytes(&vector["body"])).is_err(), "{name}");
    }
    let mut decoder = Decoder::new(1 << 20);
    decoder.fill(|room| room.put_slice(&bytes(&vectors["over_cap"]["prefix"])));
    assert!(matches!(decoder.next_frame(), Err(FrameError::TooLarge { id: 1, .. })));
}

#[test]
fn one_shot_answers_end_requests_as_in_the_vectors() {
    let vectors = vectors();
    for (name, vector) in each(&vectors, "answers") {
        let body = Bytes::from(vector["body"].as_str().unwrap().to_owned());
        match one_shot(&body) {
            End::Done(items) => {
                let payloads: Vec<_> = items.iter().map(|item| item.payload.as_str()).collect();
                assert_eq!(json!(payloads), vector["items"], "{name}");
            }
            End::Failed(failure) => {
                let expected = &vector["error"];
                assert_eq!(failure.code.as_str(), expected["code"], "{name}");
                for (member, found) in
                    [("message", Some(failure.message.as_str())), ("type", failure.type_name.as_deref())]
                {
                    assert!(
                        expected[member].is_null() || expected[member] == json!(found),
                        "{name}: {member}"
                    );
                }
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_rust_actor_answers_older_sidecars_as_in_the_vectors() {
    let vectors = vectors();
    // Handlers of Python have no counterpart here; what surrounds them has.
    let ours = |vector: &Value| {
        vector["mode"] == "payload" && vector["handler"] == "identity" && vector["rust"].is_null()
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let identity = async |call: Call| Ok::<Output, Error>(call.payload().clone().into());
    let serving = tokio::spawn(async move { serve(&path, ServeOptions::default(), identity).await.unwrap() });
    eventually("the actor is ready", || directory.path().join(READY_NAME).exists()).await;
    for (name, vector) in each(&vectors, "one_shot").filter(|(_, vector)| ours(vector)) {
        let mut stream = UnixStream::connect(directory.path().join(SOCKET_NAME)).await.unwrap();
        let request = vector["request"].as_str().unwrap();
        stream.write_u32(request.len().try_into().unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; stream.read_u32().await.unwrap() as usize];
        stream.read_exact(&mut answer).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        match vector["answer"][0].get("error") {
            Some(error) => assert_eq!(answer[0]["error"], *error, "{name}"),
            None => assert_eq!(answer, vector["answer"], "{name}"),
        }
    }
    serving.abort();
}
