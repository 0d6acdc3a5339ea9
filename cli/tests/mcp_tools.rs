//! Tools of an MCP server as tools of an agent, with the real binary and a server of the official SDK: what `asya agent-tools`
//! prints is valid, and `asya up` runs it.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{
    Place, lines,
    model::{call, model},
    text, until,
};

/// A server with a tool that reads and one that changes.
const SHOP: &str = "\
import pathlib, sys
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer('shop', log_level='WARNING')


@server.tool(name='orders.find', annotations=ToolAnnotations(read_only_hint=True))
def find(number: str) -> str:
    '''How far an order is.'''
    return f'{number} is lost'


@server.tool(name='orders.refund')
def refund(number: str, amount: int) -> str:
    '''Pays back.'''
    with pathlib.Path(sys.argv[1]).open('a') as paid:
        paid.write(f'{number} {amount}\\n')
    return 'paid'


server.run()
";

/// An agent, to be followed by its `tools`.
const DESK: &str = "\
apiVersion: asya.sh/v1alpha1
kind: Agent
metadata: {name: desk}
spec:
  transport: rabbitmq
  prompt: You help with orders.
  model: {provider: localai, name: small, baseUrl: 'MODEL'}
  riskTier: high
";

/// The Python with the SDK; without it what needs it is not run, which is said, and fails in CI.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "no {}: tests/run.sh makes it", python.display());
    eprintln!("NOT RUN: no {}; tests/run.sh makes it", python.display());
    None
}

/// The server as words of a command.
fn server(place: &Place, python: &Path) -> Vec<String> {
    place.write("server/shop.py", SHOP);
    let file = |name: &str| place.path().join(name).display().to_string();
    vec![python.display().to_string(), file("server/shop.py"), file("paid")]
}

/// What is printed for these arguments, as the two parts.
fn printed(place: &Place, arguments: &[&str], server: &[String]) -> (String, String) {
    let server: Vec<_> = server.iter().map(String::as_str).collect();
    let output = place.run(&[&["agent-tools"], arguments, &["--"], &server].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let (actor, tools) = printed.split_once("---\n").unwrap();
    (actor.to_owned(), tools.to_owned())
}

/// The lines of `tools:` within a spec.
fn within(tools: &str) -> String {
    tools.lines().map(|line| format!("  {line}\n")).collect()
}

#[test]
fn what_is_printed_is_valid_and_an_agent_calls_the_tools_with_approval() {
    let Some(python) = python() else { return };
    let (url, asked) = model(vec![
        call("orders_find", &json!({"number": "O-7"})),
        call("orders_refund", &json!({"number": "O-7", "amount": 12})),
        json!({"role": "assistant", "content": "Twelve are on their way back."}),
    ]);
    let place = Place::with("note", "def handle(payload):\n    return payload\n", "");
    let server = server(&place, &python);
    let (actor, tools) = printed(&place, &["--actor", "shop"], &server);
    place.write("shop.yaml", &actor);
    place.write("desk.yaml", &(DESK.replace("MODEL", &url) + &within(&tools)));
    let valid = place.run(&["validate", "."]);
    assert!(valid.status.success(), "{}{}", text(&valid.stdout), text(&valid.stderr));

    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    let gateway = up.gateway();
    let on = |arguments: &[&str]| place.json(&[arguments, &["--gateway", &gateway]].concat());
    until("the agent", || place.run(&["queues", "desk"]).status.success());
    let events = on(&["chat", "--agent", "desk", "--message", "Where is O-7? Pay it back if it is lost."]);
    assert!(events.iter().any(|event| event.to_string().contains("O-7 is lost")), "{events:?}");
    let waiting = on(&["approvals"]);
    // What is shown, and what the hash is of, has the tool's name on the server and the arguments.
    let operation = &waiting[0];
    let arguments = json!({"tool": "orders.refund", "arguments": {"number": "O-7", "amount": 12}});
    assert_eq!(operation["operation"], json!({"actor": "shop", "arguments": arguments}), "{operation}");
    assert!(!place.path().join("paid").exists(), "nothing is paid before somebody approved it");
    on(&["approvals", "approve", operation["id"].as_str().unwrap()]);
    until("the answer", || on(&["sessions"]).iter().any(|session| session["state"] == "idle"));
    let paid = std::fs::read_to_string(place.path().join("paid")).unwrap();
    assert_eq!(paid, "O-7 12\n");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    let told = asked[0]["tools"].to_string();
    assert!(told.contains("How far an order is.") && !told.contains("orders.find"), "{told}");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn where_tools_are_not_what_is_pinned_is_said() {
    let Some(python) = python() else { return };
    let place = Place::with("note", "def handle(payload):\n    return payload\n", "");
    let server = server(&place, &python);
    let words: Vec<_> = server.iter().map(String::as_str).collect();
    let (actor, tools) = printed(&place, &["--actor", "shop"], &server);
    place.write("desk.yaml", &(DESK.to_owned() + &within(&tools)));
    // As it is printed it is known, too.
    place.write("printed.yaml", &format!("{actor}---\n{tools}"));
    let check = |file: &str, more: &[&str]| {
        let file = place.path().join(file).display().to_string();
        let output = place.run(&[&["agent-tools", "--check", &file], more, &["--"], &words].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for file in ["desk.yaml", "printed.yaml"] {
        let (code, out, errors) = check(file, &["--actor", "shop"]);
        assert_eq!((code, out.trim()), (Some(0), "2 tools are as they are pinned"), "{errors}");
    }
    let (code, _, errors) = check("desk.yaml", &["--actor", "other"]);
    assert!(code == Some(64) && errors.contains("\"other\""), "{errors}");

    let other = SHOP
        .replace("How far an order is.", "Pays whoever asks.")
        .replace("(number: str) -> str", "(number: int) -> str")
        .replace("name='orders.refund'", "name='orders.pay'");
    place.write("server/shop.py", &other);
    let (code, out, errors) = check("desk.yaml", &["--actor", "shop"]);
    assert_eq!(code, Some(2), "{out}{errors}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "orders_find (orders.find)");
    assert_eq!(lines[1], "  description: \"How far an order is.\" is now \"Pays whoever asks.\"");
    assert_eq!(lines[2], "  parameters.properties.number.type: \"string\" is now \"integer\"");
    assert_eq!(lines[3..], ["orders_refund (orders.refund)", "  the server has it no more"]);
    assert!(errors.contains("\"orders.pay\""), "{errors}");
    let (code, out, _) = check("desk.yaml", &["--actor", "shop", "--output", "json"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["unpinned"]), (Some(2), &json!(["orders.pay"])));
    assert_eq!(said["drifted"][1]["mcpTool"], "orders.refund");
}

#[test]
fn what_looks_like_a_secret_in_a_command_is_not_printed() {
    let Some(python) = python() else { return };
    let place = Place::with("note", "def handle(payload):\n    return payload\n", "");
    let server = [server(&place, &python), vec!["--api-key".into(), "plain-words-only".into()]].concat();
    let words: Vec<_> = server.iter().map(String::as_str).collect();
    for more in [&[][..], &["--output", "json"]] {
        let output = place.run(&[&["agent-tools"], more, &["--"], &words].concat());
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{errors}");
        assert!(out.contains("--api-key") && out.contains("***") && !out.contains("plain-words"), "{out}");
        assert!(errors.contains("--pass") && !errors.contains("plain-words"), "{errors}");
    }
}

#[test]
fn tools_are_chosen_and_graded_and_where_all_are_approved_the_actor_is_told_so() {
    let Some(python) = python() else { return };
    let place = Place::with("note", "def handle(payload):\n    return payload\n", "");
    let server = server(&place, &python);
    let words: Vec<_> = server.iter().map(String::as_str).collect();
    let printed = |arguments: &[&str]| {
        let output = place.run(&[&["agent-tools", "--output", "json"], arguments, &["--"], &words].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        lines(&output.stdout).remove(0)
    };
    let both = printed(&[]);
    assert_eq!(both["tools"]["allow"], json!(["orders_find", "orders_refund"]));
    let graded = |tools: &Value| -> Vec<Value> {
        let declared = tools["tools"]["declared"].as_array().unwrap().iter();
        declared.map(|tool| json!([tool["mcpTool"], tool["risk"], tool.get("approval")])).collect()
    };
    assert_eq!(graded(&both), [json!(["orders.find", "low", false]), json!(["orders.refund", "high", true])]);
    assert!(both["actor"]["spec"].get("sidecar").is_none());
    let one = printed(&["--allow", "*.refund", "--risk", "medium", "--actor", "till"]);
    assert_eq!(graded(&one), [json!(["orders.refund", "medium", true])]);
    assert_eq!(one["actor"]["metadata"]["name"], "till");
    assert_eq!(one["actor"]["spec"]["sidecar"]["env"][0]["name"], "ASYA_APPROVED_ONLY");
    let env = one["actor"]["spec"]["env"].as_array().unwrap();
    assert!(env.contains(&json!({"name": "ASYA_MCP_TOOLS", "value": "orders.refund"})), "{env:?}");

    let refused = |arguments: &[&str], why: &str| {
        let output = place.run(&[&["agent-tools"], arguments].concat());
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{why}: {said}");
    };
    refused(&[], "required");
    refused(&["http://127.0.0.1:1/mcp"], "cannot be reached");
    refused(
        &["http://127.0.0.1:1/mcp", "--header", "Authorization: Bearer s3cret"],
        "would stand in the manifest",
    );
    refused(&["http://127.0.0.1:1/mcp", "--header", "X-Api-Key: s3cret"], "would stand in the manifest");
    refused(&["http://user:pass@127.0.0.1:1/mcp"], "must hold no user");
    refused(&["http://127.0.0.1:1/mcp", "--actor", "No Name"], "No Name");
    refused(&[&["--allow", "nothing", "--"], &words[..]].concat(), "no tool that is taken");
}
