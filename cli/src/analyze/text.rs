//! The report for people.

use asya_analysis::{Evidence, Failure, Severity, Unverified};

use super::{Finding, Open, Report, counted, number, word};
use crate::output::safe;

/// The report as text; with `colour` the severities have one.
pub(crate) fn text(report: &Report, colour: bool) -> String {
    let mut lines = Vec::new();
    let mut severity = None;
    for finding in &report.findings {
        if severity != Some(finding.severity) {
            if severity.is_some() {
                lines.push(String::new());
            }
            severity = Some(finding.severity);
            lines.push(painted(finding.severity, colour));
        }
        lines.push(format!("  {}", head(finding)));
        for failure in &finding.failures {
            failed(report, failure, finding, &mut lines);
        }
        if let Some(explanation) = &finding.explanation {
            lines.push(format!("    {} says:", safe(&report.provider)));
            lines.extend(
                safe(&explanation.text).lines().map(|line| format!("      {line}").trim_end().to_owned()),
            );
            if !explanation.made_up.is_empty() {
                let made_up = explanation.made_up.join(", ");
                lines
                    .push(format!("      beware: it cites evidence that does not exist: {}", safe(&made_up)));
            }
        }
    }
    if !report.findings.is_empty() {
        lines.push(String::new());
    }
    lines.push(total(report));
    for error in &report.errors {
        lines.push(format!("could not look: {}", safe(error)));
    }
    for note in &report.notes {
        lines.push(format!("note: {}", safe(note)));
    }
    open(report, &mut lines);
    lines.join("\n")
}

/// `Pod shop/web-1 (Deployment.apps web)`
fn head(finding: &Finding) -> String {
    let parent = finding.parent.as_ref().map(|parent| format!(" ({} {})", parent.kind.kind, parent.name));
    safe(&format!("{}{}", finding.object, parent.unwrap_or_default())).into_owned()
}

fn failed(report: &Report, failure: &Failure, finding: &Finding, lines: &mut Vec<String>) {
    // Of another severity than the heading says.
    let severity = match failure.severity {
        severity if severity == finding.severity => String::new(),
        severity => format!(" ({})", word(severity)),
    };
    let text = safe(&failure.text);
    let mut said = text.lines();
    lines.push(format!("    {}{severity}: {}", failure.code, said.next().unwrap_or_default()));
    lines.extend(said.map(|line| format!("      {line}")));
    for evidence in &failure.evidence {
        lines.push(format!("      {}", safe(&seen(evidence, failure, finding))));
    }
    if let Some(documentation) = report.documentation(failure) {
        let field = failure.field.as_deref().unwrap_or_default();
        lines.push(format!(
            "      {}",
            safe(&format!("{field}: {}", crate::output::short(documentation, 300)))
        ));
    }
}

/// Where one can see it: `.status.phase = Failed`, with the object where it is another one.
fn seen(evidence: &Evidence, failure: &Failure, finding: &Finding) -> String {
    let of = if evidence.object == finding.object { String::new() } else { format!("{} ", evidence.object) };
    match &evidence.value {
        Some(value) if *value != failure.text => {
            format!("{of}{} = {}", evidence.path, crate::output::short(value, 200))
        }
        Some(_) => format!("{of}{}", evidence.path),
        None => format!("{of}{} is missing", evidence.path),
    }
}

fn total(report: &Report) -> String {
    let looked = format!("{} in {}", number(report.objects, "object"), report.place.scope);
    let looked = safe(&looked);
    match report.problems() {
        0 if report.errors.is_empty() => format!("no problems: looked at {looked}"),
        0 => format!("no problems in what could be read: looked at {looked}"),
        problems => format!(
            "{} with {}: {}; looked at {looked}",
            number(report.findings.len(), "object"),
            number(problems, "problem"),
            counted(&report.counts())
        ),
    }
}

fn open(report: &Report, lines: &mut Vec<String>) {
    if report.unverified() > 0 {
        lines.push(format!("could not verify {}:", number(report.unverified(), "thing")));
        for open in &report.open {
            lines.push(format!("  {}", safe(&reason(open))));
        }
    }
    let commands = report.rights.commands();
    if !commands.is_empty() {
        lines.push(format!(
            "you may not {}; an administrator lets you by:",
            safe(&report.rights.sentences().join("; "))
        ));
        lines.extend(commands.iter().map(|command| format!("  {}", safe(command))));
    }
}

/// `12 forbidden: events of Pod shop/a, … and 7 more`
fn reason(open: &Open) -> String {
    let Open { why, count, about } = open;
    let named = about.join(", ");
    let hint = match why {
        Unverified::NotRead => " (--secrets metadata reads Secrets; their values are dropped at once)",
        _ => "",
    };
    let more = if *count > about.len() { ", …" } else { "" };
    format!("{count} {why}: {named}{more}{hint}")
}

fn painted(severity: Severity, colour: bool) -> String {
    let code = match severity {
        Severity::Critical => "1;31",
        Severity::Error => "31",
        Severity::Warning => "33",
        Severity::Info => "36",
    };
    if colour { format!("\u{1b}[{code}m{}\u{1b}[0m", word(severity)) } else { word(severity).to_owned() }
}

#[cfg(test)]
mod tests {
    use asya_cluster::report::testing::{healthy, report};

    use super::*;

    #[test]
    fn the_page_of_a_broken_cluster() {
        let expected = "\
critical
  Node worker-3
    NodeNotReady: node worker-3 is not ready
      .status.conditions[3].status = False

error
  Pod shop/web-1 (Deployment web)
    VolumeMountFails: <script>alert(\"x\")</script> & 'y'
      \\u{1b}[31msecond line
      .status.containerStatuses[0].state.waiting.reason = ContainerCreating
      Event shop/web-1.17 .message
    ContainerRestarts (warning): container c was restarted 7 times
      .status.containerStatuses[0].restartCount = 7

2 objects with 3 problems: 1 critical, 1 error, 1 warning; looked at 3 objects in all namespaces
could not look: list jobs.batch: etcd timed out
could not verify 2 things:
  1 forbidden: events of Pod pay/p
  1 not read by setting: Secret shop/db (--secrets metadata reads Secrets; their values are dropped at once)
you may not list events in namespace pay; an administrator lets you by:
  kubectl create clusterrole asya-analyze --verb=list --resource=events
  kubectl create rolebinding asya-analyze -n pay --clusterrole=asya-analyze --user=alice";
        assert_eq!(text(&report(), false), expected);
    }

    #[test]
    fn what_a_model_says_is_told_after_what_is_known_and_steers_nothing() {
        let mut report = report();
        "noop".clone_into(&mut report.provider);
        report.findings[0].explanation = Some(asya_cluster::report::Explanation {
            text: "Problem: down [e1] [e9]\n\u{1b}[2JSolution: wait".to_owned(),
            made_up: vec!["e9".to_owned()],
        });
        let told = text(&report, false);
        assert!(
            told.contains(
                "    noop says:\n      Problem: down [e1] [e9]\n      \\u{1b}[2JSolution: wait\n      beware: it cites \
                 evidence that does not exist: e9\n"
            ),
            "{told}"
        );
    }

    #[test]
    fn a_healthy_cluster_is_one_line() {
        assert_eq!(text(&healthy(), false), "no problems: looked at 2 objects in all namespaces");
    }

    #[test]
    fn colours_are_for_those_who_ask_and_never_the_clusters() {
        let plain = text(&report(), false);
        assert!(!plain.contains('\u{1b}'), "{plain}");
        let coloured = text(&report(), true);
        assert_eq!(coloured.matches('\u{1b}').count(), 4, "two headings, on and off");
    }
}
