//! Fan-outs through a gateway, with the real binary and Python handlers: a parent knows its children, and cancelling
//! reaches them where they are.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use serde_json::{Value, json};
use support::{Place, Up, lines, text, until};

const SPLIT: &str = "def handle(call):\n    return [{'name': call['name'], 'n': n} for n in range(4)]\n";
/// The first part is done at once; the others note in which process they have begun, and wait for a file before they end.
const WORK: &str = "import os, pathlib, time\n\n\ndef handle(part):\n    if part['n'] == 0:\n        return part\n    \
    mark = f\"{part['name']}-{part['n']}\"\n    pathlib.Path(f'begun-{mark}').write_text(str(os.getpid()))\n    \
    while not pathlib.Path(f\"go-{part['name']}\").exists():\n        time.sleep(0.01)\n    \
    pathlib.Path(f'done-{mark}').touch()\n    return part\n";
const TOOLS: &str = "tools:\n- name: spread\n  route: [split, work]\n  parameters: {name: {type: string}}\n";

fn start() -> (Place, Up, String) {
    let place = Place::with("split", SPLIT, "");
    place.actor("work", WORK, "  scaling: {enabled: true, minReplicas: 1, maxReplicas: 1}");
    place.write("tools.yaml", TOOLS);
    // One process per part, so that the first one does not wait behind the others.
    let up = place.up_with(&["--gateway", "127.0.0.1:0"], &[("ASYA_WORKERS", "4")]);
    let url = up.gateway();
    (place, up, url)
}

/// What the gateway says of an envelope.
fn record(place: &Place, url: &str, id: &str) -> Value {
    let output = place.run(&["status", id, "--gateway", url, "--output", "json"]);
    let records = lines(&output.stdout);
    records.into_iter().next().unwrap_or_else(|| panic!("{}", text(&output.stderr)))
}

fn call(place: &Place, url: &str, name: &str) {
    let output = place.run(&["call", "spread", "--name", name, "--id", name, "--no-wait", "--gateway", url]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// The processes in which handlers have begun.
fn begun(place: &Place, name: &str) -> Vec<u32> {
    let process =
        |n| std::fs::read_to_string(place.path().join(format!("begun-{name}-{n}"))).ok()?.parse().ok();
    (1..4).filter_map(process).collect()
}

#[test]
fn a_parent_shows_its_children_and_ends_with_them_and_cancelling_stops_them_all() {
    let (place, _up, url) = start();
    call(&place, &url, "one");
    until("all children are known", || record(&place, &url, "one")["children"]["running"] == 3);
    until("its own part has ended", || !record(&place, &url, "one")["result"].is_null());
    let waiting = record(&place, &url, "one");
    assert_eq!((&waiting["status"], &waiting["result"]["n"]), (&json!("running"), &json!(0)));
    let child = record(&place, &url, "one-2");
    assert_eq!((&child["parent"], &child["actors"]), (&json!("one"), &json!(["split", "work"])));
    let shown = text(&place.run(&["status", "one", "--gateway", &url]).stdout);
    assert!(shown.contains("0 succeeded, 0 failed, 3 on the way") && shown.contains("one-3"), "{shown}");
    place.write("go-one", "");
    until("all have ended", || record(&place, &url, "one")["status"] == "succeeded");
    assert_eq!(record(&place, &url, "one")["children"]["succeeded"], 3);

    call(&place, &url, "two");
    until("a child runs and all are known", || {
        !begun(&place, "two").is_empty() && record(&place, &url, "two")["children"]["running"] == 3
    });
    let output = place.run(&["cancel", "two", "--gateway", &url, "--output", "json"]);
    let mut cancelled: Vec<_> =
        lines(&output.stdout).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    cancelled.sort();
    assert_eq!(cancelled, ["two", "two-1", "two-2", "two-3"], "{}", text(&output.stderr));
    // The handlers wait for a file that is not there: only the cancellation ends them.
    until("the actor has let go of them", || {
        let queue = &place.json(&["queues", "work"])[0];
        queue["ready"] == 0 && queue["in_flight"] == 0 && queue["delayed"] == 0
    });
    // The message is let go first, and then the process is ended.
    until("their handlers have ended", || {
        begun(&place, "two").iter().all(|process| !std::path::Path::new(&format!("/proc/{process}")).exists())
    });
    place.write("go-two", "");
    for id in ["two", "two-1", "two-2", "two-3"] {
        let record = record(&place, &url, id);
        assert_eq!((&record["status"], &record["code"]), (&json!("failed"), &json!("cancelled")), "{id}");
    }
    // Nothing went on to an end, and the actor works.
    assert!(!(1..4).any(|n| place.path().join(format!("done-two-{n}")).exists()));
    let ends = place.json(&["status"]);
    assert_eq!(ends[0]["failed"], 0, "no child went to the error end: {ends:?}");
    place.write("go-three", "");
    call(&place, &url, "three");
    until("the next one ends", || record(&place, &url, "three")["status"] == "succeeded");
}
