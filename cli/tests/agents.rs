//! The agents of examples/, run by the real program over the real queue file: with their recorded answers, and against a
//! server that speaks chat completions. runtime-py/tests/agent_examples.py says what was recorded.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Place, Up, until};

/// The directory of an example, copied: what it writes stays here.
fn example(name: &str) -> Place {
    let place = Place::with("echo", "def handle(payload):\n    return payload\n", "");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                place.write(path.strip_prefix(&root).unwrap().to_str().unwrap(), &text);
            }
        }
    }
    place
}

/// Starts it; no variable of whoever runs the tests names another model.
fn up(place: &Place, variables: &[(&str, &str)], first: &str) -> Up {
    let nobody = [("ASYA_LLM_BACKEND", ""), ("ASYA_LLM_API_KEY", ""), ("ASYA_LLM_RECORD", "")];
    let up = place.up_with(&["--gateway", "off"], &[&nobody, variables].concat());
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", first]).status.success());
    up
}

fn replayed(place: &Place, first: &str) -> Up {
    let answers = place.path().join("answers.jsonl");
    up(place, &[("ASYA_LLM_REPLAY", answers.to_str().unwrap()), ("ASYA_LLM_BASE_URL", "")], first)
}

/// Sends a question to the end of its envelope.
fn ask(place: &Place, route: &str, text: &str, id: &str) -> Value {
    let payload = json!({"text": text}).to_string();
    let sent = ["send", route, &payload, "--id", id, "--wait", "--timeout", "50s", "--output", "json"];
    let output = place.run(&sent);
    support::lines(&output.stdout).remove(0)
}

#[test]
fn a_letter_is_answered_and_paid_back_after_the_judge_has_sent_it_back() {
    let place = example("agents-support-triage");
    let mut up = replayed(&place, "triage");
    let cups = "Two of the cups of order A-1042 arrived broken. I want my money back! Anna";
    let told = ask(&place, "triage", cups, "cups");
    assert_eq!(
        (&told["status"], &told["payload"]["category"]),
        (&json!("succeeded"), &json!("refund")),
        "{told}"
    );
    let machine = "The espresso machine (order A-1077) leaks. Please pay me back the 489 euros. Ben";
    let told = ask(&place, "triage", machine, "machine");
    assert_eq!(told["payload"]["category"], "escalate", "{told}");
    let paid: Vec<_> = fs::read_dir(place.path().join(".asya/refunds"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(paid, ["cups.0.2.0.json"], "once, under the id of the call");
    let other = ask(&place, "triage", "Where is my order?", "other");
    assert_eq!(other["status"], "failed", "what was not recorded is no answer: {other}");
    assert!(other.to_string().contains("not_recorded"), "{other}");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn parts_of_a_question_are_researched_at_the_same_time_and_joined() {
    let place = example("agents-research");
    let mut up = replayed(&place, "lead");
    let question = "How do I keep a harvest of cabbage, apples and beans until spring, without a freezer?";
    let told = ask(&place, "lead", question, "harvest");
    assert_eq!(
        told["payload"]["sources"],
        json!(["canning", "cold-cellar", "drying", "fermenting"]),
        "{told}"
    );
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn a_review_names_lines_that_exist() {
    let place = example("agents-code-reviewer");
    let mut up = replayed(&place, "review");
    let told = ask(&place, "review", "Review the change.", "review");
    assert_eq!(told["payload"]["findings"].as_array().map(Vec::len), Some(4), "{told}");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

/// A server that speaks chat completions and says what was recorded, in its order.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    /// Lets a question go that is held.
    release: mpsc::Sender<()>,
}

/// What it does before it answers.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// The first question is to come again in a second.
    Busy,
    /// This question, from 0, is held until it is let go, and its connection ends without an answer.
    Holds(usize),
}

impl Server {
    fn start(recording: &str, mood: Mood) -> Self {
        let answers: Vec<Value> = recording
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["response"].take())
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let (release, released) = mpsc::channel();
        thread::spawn(move || {
            if mood == Mood::Busy {
                let mut stream = listener.accept().unwrap().0;
                drop(request(&stream));
                let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(busy.as_bytes()).unwrap();
            }
            for (index, answer) in answers.iter().enumerate() {
                if mood == Mood::Holds(index) {
                    let stream = listener.accept().unwrap().0;
                    seen.lock().unwrap().push(request(&stream));
                    released.recv().unwrap();
                }
                let mut stream = listener.accept().unwrap().0;
                seen.lock().unwrap().push(request(&stream));
                let body = completion(answer).to_string();
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { url, asked, release }
    }

    /// The variables that name it.
    fn variables(&self) -> [(&str, &str); 3] {
        [("ASYA_LLM_BASE_URL", &self.url), ("ASYA_LLM_MODEL", "small"), ("ASYA_LLM_REPLAY", "")]
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

/// The body of a request.
fn request(stream: &TcpStream) -> Value {
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some((_, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn completion(answer: &Value) -> Value {
    let calls: Vec<_> = answer["calls"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| {
            json!({"id": call["id"], "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"].to_string()}})
        })
        .collect();
    json!({"choices": [{"finish_reason": "tool_calls", "message": {"content": answer["text"], "tool_calls": calls}}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 10}})
}

#[test]
fn the_same_agents_work_with_any_server_that_speaks_chat_completions_also_when_it_is_busy() {
    let place = example("agents-code-reviewer");
    let recording = fs::read_to_string(place.path().join("answers.jsonl")).unwrap();
    let server = Server::start(&recording, Mood::Busy);
    let mut up = up(&place, &server.variables(), "review");
    let told = ask(&place, "review", "Review the change.", "review");
    assert_eq!(told["payload"]["findings"].as_array().map(Vec::len), Some(4), "{told}");
    let asked = server.asked();
    assert_eq!(asked.len(), 5, "one question for each turn");
    assert_eq!((&asked[0]["model"], &asked[0]["tool_choice"]), (&json!("small"), &json!("required")));
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn a_conversation_goes_on_where_it_was_when_everything_is_killed_and_pays_once() {
    let place = example("agents-support-triage");
    let recording = fs::read_to_string(place.path().join("answers.jsonl")).unwrap();
    // The third question comes after the refund.
    let server = Server::start(&recording, Mood::Holds(2));
    let mut first = up(&place, &server.variables(), "triage");
    let cups = json!({"text": "Two of the cups of order A-1042 arrived broken. I want my money back! Anna"})
        .to_string();
    assert!(place.run(&["send", "triage", &cups, "--id", "cups"]).status.success());
    until("the question after the refund", || server.asked().len() == 3);
    first.end_by(Signal::KILL);
    server.release.send(()).unwrap();

    let mut second = up(&place, &server.variables(), "triage");
    until("the end of the conversation", || {
        support::text(&place.run(&["status", "cups", "--output", "json"]).stdout).contains("succeeded")
    });
    let asked = server.asked();
    assert_eq!(asked.len(), 7, "only what was in hand is asked again");
    assert_eq!(asked[2], asked[3], "with the same words");
    assert_eq!(fs::read_dir(place.path().join(".asya/refunds")).unwrap().count(), 1);
    assert_eq!(second.end_by(Signal::TERM), Some(0));
}
