//! Logs: errors that the containers of a pod tell.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::words::names;
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::log_line::{shape, tells_error};
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::scrub::scrub;
use crate::view::{LogTail, Lookup, View};

/// How many characters of a line are kept as evidence.
const LONGEST: usize = 500;

/// Looks at the logs of pods.
pub(crate) struct LogAnalyzer;

impl Analyzer for LogAnalyzer {
    fn name(&self) -> &'static str {
        "Log"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Pod>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn reads_logs(&self) -> bool {
        true
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let pod: Pod = object.typed()?;
        let (Some(spec), Some(status)) = (pod.spec, pod.status) else { return Ok(()) };
        let of = |statuses: &Option<Vec<ContainerStatus>>, container: &Container| {
            statuses.iter().flatten().find(|status| status.name == container.name).cloned()
        };
        for container in &spec.containers {
            if let Some(status) = of(&status.container_statuses, container).filter(has_run) {
                look(object, view, &status, report);
            }
        }
        for container in spec.init_containers.iter().flatten() {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            // What an init container that succeeded has said is over.
            let counts = |status: &ContainerStatus| has_run(status) && (sidecar || has_failed(status));
            if let Some(status) = of(&status.init_container_statuses, container).filter(counts) {
                look(object, view, &status, report);
            }
        }
        Ok(())
    }
}

/// Whether there is a log: one that waits to be started for the first time has none.
fn has_run(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    status.restart_count > 0
        || state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

fn has_failed(status: &ContainerStatus) -> bool {
    [&status.state, &status.last_state]
        .into_iter()
        .flatten()
        .filter_map(|state| state.terminated.as_ref())
        .any(|ended| ended.exit_code != 0)
}

/// Looks at what a container says, and, if it was restarted, at what it said before.
fn look(object: &Object, view: &dyn View, status: &ContainerStatus, report: &mut Report) {
    let runs = [("LogErrors", false), ("PreviousLogErrors", true)];
    for (code, previous) in runs.into_iter().filter(|(_, previous)| !previous || status.restart_count > 0) {
        let name = &status.name;
        let tail = LogTail {
            namespace: object.namespace().unwrap_or_default().to_owned(),
            pod: object.name().to_owned(),
            container: name.clone(),
            previous,
        };
        let log = match view.log(&tail) {
            Lookup::Found(log) => log,
            Lookup::NotFound => continue,
            Lookup::Unverified(why) => {
                report.doubt(code, format!("log of container {name} of {}", object.reference()), why);
                continue;
            }
        };
        let Some((shape, line)) = most_told(&log) else { continue };
        let what = if previous { "logged errors before its last restart" } else { "logs errors" };
        let path = if previous { format!(".log[{name}].previous") } else { format!(".log[{name}]") };
        report.fail(
            Failure::new(
                code,
                Severity::Warning,
                format!("container {name} of pod {} {what}: {shape}", object.reference().path()),
            )
            .seen(&object.reference(), path, line)
            .hides(names(object)),
        );
    }
}

/// The error that the log tells most often, without its numbers, and its latest line. The first one would be another as
/// soon as it leaves the last lines; the most frequent one stays.
fn most_told(log: &str) -> Option<(String, String)> {
    let mut told: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let log = scrub(log);
    for line in log.lines().map(str::trim).filter(|line| tells_error(line)) {
        let (times, last) = told.entry(shape(line)).or_default();
        *times += 1;
        *last = line.chars().take(LONGEST).collect();
    }
    // Of two that are as frequent, the one that comes first in the alphabet.
    let most = told.values().map(|(times, _)| *times).max()?;
    told.into_iter().find(|(_, (times, _))| *times == most).map(|(shape, (_, line))| (shape, line))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn pod(spec: Value, status: Value) -> Object {
        object("v1", "Pod", "web-1", json!({"spec": spec, "status": status}))
    }

    fn running(restarts: i32) -> Object {
        pod(
            json!({"containers": [{"name": "web"}]}),
            json!({"containerStatuses": [{"name": "web", "restartCount": restarts, "ready": true, "image": "i", "imageID": "",
                "state": {"running": {}}}]}),
        )
    }

    fn tail(container: &str, previous: bool) -> LogTail {
        LogTail {
            namespace: "shop".to_owned(),
            pod: "web-1".to_owned(),
            container: container.to_owned(),
            previous,
        }
    }

    fn with(subject: &Object, logs: &[(&str, bool, Lookup<String>)]) -> crate::evaluate::Evaluation {
        let mut inventory = Inventory::of([subject.clone()]);
        for (container, previous, log) in logs {
            inventory.put_log(tail(container, *previous), log.clone());
        }
        look_in(&["Log"], subject, &inventory)
    }

    fn found(text: &str) -> Lookup<String> {
        Lookup::Found(text.to_owned())
    }

    #[test]
    fn cases() {
        let cases: [(&str, &str, &[&str]); 6] = [
            ("empty", "", &[]),
            ("well", "started\nlistening on 8080\n", &[]),
            ("no errors", "checked: no errors\nfailed=0", &[]),
            ("an error", "started\nERROR cannot reach db\n", &["LogErrors"]),
            ("information", "level=info msg=\"retry after failure\"", &[]),
            ("an exception", "java.io.IOException: disk\n\tat a.b(C.java:1)", &["LogErrors"]),
        ];
        for (name, log, expected) in cases {
            assert_eq!(codes(&with(&running(0), &[("web", false, found(log))])), expected, "{name}");
        }
    }

    #[test]
    fn the_most_frequent_error_is_told_without_numbers_and_its_latest_line_is_evidence() {
        let log = "12:00:01 ERROR bad start\n12:00:02 ERROR try 1 failed\n12:00:03 ok\n12:00:04 ERROR try 2 failed\n";
        let evaluation = with(&running(0), &[("web", false, found(log))]);
        let failure = &evaluation.report.failures()[0];
        assert_eq!(failure.text, "container web of pod shop/web-1 logs errors: ERROR try # failed");
        assert_eq!(failure.evidence[0].path, ".log[web]");
        assert_eq!(failure.evidence[0].value.as_deref(), Some("12:00:04 ERROR try 2 failed"));
        assert!(failure.sensitive.contains("web-1"));
    }

    #[test]
    fn secrets_in_a_line_are_hidden_in_the_text_the_evidence_and_the_snapshot() {
        let log = "ERROR login failed: password=hunter2 url=postgres://app:hunter2@db/x";
        let evaluation = with(&running(0), &[("web", false, found(log))]);
        let text = serde_json::to_string(&evaluation).unwrap();
        assert!(!text.contains("hunter2") && text.contains("password=***"), "{text}");
        let mut inventory = Inventory::default();
        inventory.put_log(tail("web", false), found(log));
        assert!(
            !format!("{:?}", inventory.log(&tail("web", false))).contains("hunter2"),
            "no view carries it"
        );
    }

    #[test]
    fn the_log_before_is_read_after_a_restart_and_only_then() {
        let logs = [("web", false, found("started")), ("web", true, found("panic: boom"))];
        assert!(codes(&with(&running(0), &logs)).is_empty());
        assert_eq!(codes(&with(&running(1), &logs)), ["PreviousLogErrors"]);
        let gone = [("web", false, found("started")), ("web", true, Lookup::NotFound)];
        let evaluation = with(&running(1), &gone);
        assert!(
            codes(&evaluation).is_empty() && evaluation.report.doubts().is_empty(),
            "the node has no older log"
        );
    }

    #[test]
    fn a_log_that_could_not_be_read_is_a_doubt_and_no_failure() {
        for why in [Unverified::Forbidden, Unverified::NotYet, Unverified::Failed("timeout".to_owned())] {
            let evaluation = with(&running(0), &[("web", false, Lookup::Unverified(why.clone()))]);
            assert!(codes(&evaluation).is_empty());
            assert_eq!(
                (evaluation.report.doubts()[0].code.as_str(), &evaluation.report.doubts()[0].why),
                ("LogErrors", &why)
            );
        }
    }

    #[test]
    fn a_container_that_never_ran_is_not_asked_and_an_init_container_only_if_it_failed() {
        let waiting = pod(
            json!({"containers": [{"name": "web"}]}),
            json!({"containerStatuses": [{"name": "web", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
        );
        assert!(with(&waiting, &[]).report.doubts().is_empty());
        let init = |exit: i32| {
            pod(
                json!({"containers": [], "initContainers": [{"name": "setup"}]}),
                json!({"initContainerStatuses": [{"name": "setup", "restartCount": 0, "state": {"terminated": {"exitCode": exit}}}]}),
            )
        };
        let logs = [("setup", false, found("fatal: no such branch"))];
        assert!(codes(&with(&init(0), &logs)).is_empty());
        assert_eq!(codes(&with(&init(1), &logs)), ["LogErrors"]);
    }
}
