//! The report for people.

use super::{Report, pods::Ending};

/// Width of the labels.
const LABEL: usize = 13;

/// Lines with labels; a line without one goes on with the one before.
#[derive(Default)]
struct Page(Vec<String>);

impl Page {
    fn line(&mut self, label: &str, text: impl AsRef<str>) {
        self.0.push(format!("{label:<LABEL$}{}", text.as_ref()).trim_end().to_owned());
    }
}

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let mut page = Page::default();
    let Report { actor, namespace, .. } = report;
    let word = report.word.as_deref().unwrap_or("no status");
    page.0.push(format!("{actor} in {namespace}: {word}"));
    page.line("", &report.meaning);
    if !report.current && report.word.is_some() {
        page.line("", "the status is about an older spec: the operator has not seen the newest yet");
    }
    queue(&mut page, report);
    workload(&mut page, report);
    if let Some(credentials) = &report.credentials {
        page.line("credentials", credentials);
    }
    scaling(&mut page, report);
    pods(&mut page, report);
    conditions(&mut page, report);
    match &report.last_error {
        Some(error) => {
            let at = error.at.map_or_else(String::new, |at| format!("{at} "));
            page.line("last error", format!("{at}{}", error.source));
            error.message.lines().for_each(|line| page.line("", line));
        }
        None => page.line("last error", "none seen"),
    }
    for (at, words) in report.not_read.iter().enumerate() {
        page.line(if at == 0 { "not read" } else { "" }, words);
    }
    page.line("next step", &report.next_step);
    page.0.join("\n")
}

fn queue(page: &mut Page, report: &Report) {
    let Some(queue) = &report.queue else {
        page.line("queue", "none yet, or another actor owns its name");
        return;
    };
    let count = |count: Option<i32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let counted = queue.counted.as_ref().map_or_else(String::new, |at| format!(", counted {at}"));
    page.line(
        "queue",
        format!(
            "{} on {}: {} wait, {} in work{counted}",
            queue.name,
            queue.transport,
            count(queue.waiting),
            count(queue.in_work)
        ),
    );
    if let Some(dead) = &queue.dead_letter {
        page.line("", format!("dead letters: {dead}"));
    }
}

fn workload(page: &mut Page, report: &Report) {
    let workload = &report.workload;
    let bound = if workload.bound { ", bound: it is not the operator's own" } else { "" };
    let paused = if workload.paused { ", paused" } else { "" };
    let state = if workload.exists {
        format!("{} ready of {} wanted, {} exist", workload.ready, workload.wanted, workload.total)
    } else {
        "not found".to_owned()
    };
    page.line("workload", format!("{} {}: {state}{paused}{bound}", workload.kind, workload.name));
    let width = workload.images.iter().map(|image| image.container.len()).max().unwrap_or(0);
    for image in &workload.images {
        page.line("", format!("{:<width$}  {}", image.container, image.image));
    }
}

fn scaling(page: &mut Page, report: &Report) {
    let scaling = &report.scaling;
    if !scaling.on {
        page.line("scaling", format!("off: {} replicas", scaling.max));
        return;
    }
    page.line("scaling", format!("by KEDA, {} to {} replicas", scaling.min, scaling.max));
    let Some(object) = &scaling.object else { return };
    page.line("", format!("{} {}, triggers: {}", object.kind, object.name, object.triggers.join(", ")));
    if object.conditions.is_empty() {
        page.line("", "KEDA has not said anything about it yet: does it run?");
    }
    for (name, status, message) in &object.conditions {
        page.line("", format!("{name} {status}  {message}"));
    }
    for more in [&scaling.autoscaler, &scaling.authentication].into_iter().flatten() {
        page.line("", more);
    }
}

fn pods(page: &mut Page, report: &Report) {
    if report.pods.is_empty() {
        page.line("pods", "none");
    }
    for (at, pod) in report.pods.iter().enumerate() {
        let ready = if pod.ready { ", ready" } else { ", not ready" };
        let node = pod.node.as_ref().map_or_else(String::new, |node| format!(", on {node}"));
        page.line(if at == 0 { "pods" } else { "" }, format!("{}  {}{ready}{node}", pod.name, pod.phase));
        if let Some(reason) = &pod.reason {
            page.line("", format!("  {reason}"));
        }
        for container in &pod.containers {
            let restarts = match container.restarts {
                0 => String::new(),
                1 => ", 1 restart".to_owned(),
                count => format!(", {count} restarts"),
            };
            let last = container.last.as_ref().map_or_else(String::new, ending);
            page.line("", format!("  {}  {}{restarts}{last}", container.name, container.state));
        }
    }
}

fn ending(last: &Ending) -> String {
    format!(", last ended with {} (exit code {}) at {}", last.reason, last.exit_code, last.at)
}

fn conditions(page: &mut Page, report: &Report) {
    for (at, condition) in report.conditions.iter().enumerate() {
        let mark = if condition.is_bad() { "!" } else { " " };
        let words =
            if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        page.line(
            if at == 0 { "conditions" } else { "" },
            format!("{mark} {} {}, {}{words}", condition.r#type, condition.status, condition.reason),
        );
    }
}
