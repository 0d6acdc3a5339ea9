//! Recording and replaying, and the echo.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use asya_llm::{Kind, Model, Noop, Request, collect};
use serde_json::json;
use server::{Answer, Server, model};

#[tokio::test]
async fn what_was_recorded_is_replayed_without_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let path = path.to_str().unwrap();
    let answer = |text: &str| {
        Answer::json(
            200,
            &json!({"choices": [{"finish_reason": "stop", "message": {"content": text}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
        )
    };
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"in \"}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"content\":\"pieces\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let error = Answer::json(400, &json!({"error": {"message": "no"}}));
    let server = Server::start([answer("whole"), Answer::sse(stream, 5), error, answer("newer")]).await;
    let recorder = model(&[
        ("ASYA_LLM_BACKEND", "openai"),
        ("ASYA_LLM_API_KEY", "a-key-that-is-not-recorded"),
        ("ASYA_LLM_BASE_URL", &server.address),
        ("ASYA_LLM_RECORD", path),
    ]);
    let [first, second, third] = ["one", "two", "three"].map(|text| Request::ask("be brief", text));
    let whole = recorder.complete(&first).await.unwrap();
    let pieces = collect(recorder.stream(&second).await.unwrap()).await.unwrap();
    recorder.complete(&third).await.unwrap_err();
    let asked = server.asked().len();

    let replay = || model(&[("ASYA_LLM_REPLAY", path)]);
    let model = replay();
    assert_eq!(model.complete(&first).await.unwrap(), whole);
    assert_eq!(collect(model.stream(&first).await.unwrap()).await.unwrap(), whole);
    assert_eq!(model.complete(&second).await.unwrap(), pieces);
    let missing = model.complete(&third).await.unwrap_err();
    assert_eq!(missing.kind, Kind::NotRecorded { hash: third.hash() }, "errors are not recorded");
    assert!(missing.to_string().contains(&third.hash()) && missing.to_string().contains(path), "{missing}");
    assert_eq!(server.asked().len(), asked);

    recorder.complete(&first).await.unwrap();
    assert_eq!(replay().complete(&first).await.unwrap().text, "newer", "the later line counts");
    let recorded = std::fs::read_to_string(path).unwrap();
    assert_eq!(recorded.lines().count(), 3);
    assert!(!recorded.contains("a-key-that-is-not-recorded"));
}

#[tokio::test]
async fn a_recording_that_cannot_be_read_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let build = || {
        let settings = asya_llm::Settings::read(|name| {
            (name == "ASYA_LLM_REPLAY").then(|| path.to_str().unwrap().to_owned())
        });
        settings.unwrap().unwrap().build(Default::default()).err().unwrap()
    };
    assert!(build().contains("answers.jsonl"), "a missing file is named");
    std::fs::write(&path, "\n{\"hash\": 1}\n").unwrap();
    assert!(build().contains("answers.jsonl: line 2: "), "{}", build());
}

#[test]
fn the_hashes_of_agents_in_python_are_the_same() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../docs/agents/request-hashes.json")).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let request: Request = serde_json::from_value(vector["request"].clone()).unwrap();
        assert_eq!(request.hash(), vector["hash"], "{request:?}");
    }
}

#[tokio::test]
async fn the_echo_says_what_it_was_asked() {
    let request = Request::ask("be brief", "why is it so?");
    let whole = Noop.complete(&request).await.unwrap();
    assert_eq!(whole.text, "why is it so?");
    assert_eq!(collect(Noop.stream(&request).await.unwrap()).await.unwrap(), whole);
    let configured = model(&[("ASYA_LLM_BACKEND", "noopai")]);
    assert_eq!(configured.complete(&request).await.unwrap(), whole);
    assert_eq!((configured.provider(), configured.model()), ("noop", "echo"));
}
