//! The report for programs: one object, whose fields only ever become more.

use asya_analysis::{Failure, ObjectRef};
use serde_json::{Value, json};

use super::{Finding, Report, word};

/// The version of this form; a field that goes or changes its meaning makes it another.
const FORM: &str = "asya.sh/analysis/v1";

/// Stands for a name that a model must not see.
const MASK: &str = "***";

/// The report as one object. The fields of K8sGPT's JSON have the names and meanings that they have there.
#[must_use]
pub fn json(report: &Report) -> Value {
    let Report { place, time, analyzers, findings, open, errors, notes, rights, objects, requests, .. } =
        report;
    let counts: serde_json::Map<String, Value> = report
        .counts()
        .into_iter()
        .map(|(severity, count)| (word(severity).to_owned(), count.into()))
        .collect();
    let open: Vec<Value> = open
        .iter()
        .map(|open| json!({"why": open.why, "reason": open.why.to_string(), "count": open.count, "about": open.about}))
        .collect();
    json!({
        // As the reference has it.
        "provider": report.provider,
        "errors": errors,
        "status": if findings.is_empty() { "OK" } else { "ProblemDetected" },
        "problems": report.problems(),
        "results": findings.iter().map(|finding| result(report, finding)).collect::<Vec<_>>(),
        // Ours.
        "form": FORM,
        "time": time,
        "cluster": {"context": place.context, "server": place.server, "version": place.version},
        "scope": place.scope,
        "analyzers": analyzers,
        "notes": notes,
        "bySeverity": counts,
        "unverified": {"count": report.unverified(), "reasons": open},
        "missingRights": {"sentences": rights.sentences(), "commands": rights.commands()},
        "looked": {"objects": objects, "requests": requests},
    })
}

fn result(report: &Report, finding: &Finding) -> Value {
    let Finding { object, uid, resource_version, parent, severity, failures, doubts, explanation } = finding;
    let made_up = explanation.as_ref().map(|explanation| explanation.made_up.clone()).unwrap_or_default();
    json!({
        "kind": object.kind.kind,
        "name": object.path(),
        "error": failures.iter().map(|failure| error(report, failure)).collect::<Vec<_>>(),
        "details": explanation.as_ref().map_or("", |explanation| &explanation.text),
        "madeUpCitations": made_up,
        "parentObject": parent.as_ref().map(parent_object).unwrap_or_default(),
        "object": object,
        "uid": uid,
        "resourceVersion": resource_version,
        "parent": parent,
        "severity": word(*severity),
        "failures": failures,
        "doubts": doubts,
    })
}

fn error(report: &Report, failure: &Failure) -> Value {
    let sensitive: Vec<Value> =
        failure.sensitive.iter().map(|name| json!({"Unmasked": name, "Masked": MASK})).collect();
    json!({
        "Text": failure.text,
        "KubernetesDoc": report.documentation(failure).unwrap_or_default(),
        "Sensitive": sensitive,
    })
}

fn parent_object(parent: &ObjectRef) -> String {
    format!("{}/{}", parent.kind.kind, parent.name)
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{healthy, report},
        *,
    };

    #[test]
    fn the_fields_of_the_reference_are_there_with_their_meanings() {
        let value = json(&report());
        assert_eq!(
            (&value["status"], &value["problems"], &value["provider"]),
            (&json!("ProblemDetected"), &json!(3), &json!(""))
        );
        assert_eq!(value["errors"], json!(["list jobs.batch: etcd timed out"]));
        let pod = &value["results"][1];
        assert_eq!((&pod["kind"], &pod["name"]), (&json!("Pod"), &json!("shop/web-1")));
        assert_eq!((&pod["parentObject"], &pod["details"]), (&json!("Deployment/web"), &json!("")));
        assert_eq!(
            pod["error"][1],
            json!({"Text": "container c was restarted 7 times", "KubernetesDoc": "", "Sensitive": []})
        );
        let sensitive = &value["results"][0]["error"][0]["Sensitive"];
        assert_eq!(*sensitive, json!([{"Unmasked": "worker-3", "Masked": "***"}]));
        assert_eq!(json(&healthy())["status"], "OK");
        assert_eq!(json(&healthy())["results"], json!([]));
    }

    #[test]
    fn ours_says_where_one_can_see_it_and_what_is_not_known() {
        let value = json(&report());
        let failure = &value["results"][1]["failures"][0];
        assert_eq!((&failure["code"], &failure["severity"]), (&json!("VolumeMountFails"), &json!("error")));
        assert_eq!(failure["evidence"][0]["path"], ".status.containerStatuses[0].state.waiting.reason");
        assert_eq!(
            failure["evidence"][1]["object"],
            json!({"group": "", "kind": "Event", "namespace": "shop", "name": "web-1.17"})
        );
        assert_eq!(value["bySeverity"], json!({"critical": 1, "error": 1, "warning": 1}));
        assert_eq!(value["unverified"]["count"], 2);
        assert_eq!(
            value["unverified"]["reasons"][0],
            json!({"why": "forbidden", "reason": "forbidden", "count": 1, "about": ["events of Pod pay/p"]})
        );
        assert_eq!(value["missingRights"]["sentences"], json!(["list events in namespace pay"]));
        assert_eq!(value["looked"], json!({"objects": 3, "requests": 9}));
        assert_eq!(value["form"], FORM);
    }

    #[test]
    fn two_runs_over_the_same_cluster_print_the_same() {
        assert_eq!(json(&report()).to_string(), json(&report()).to_string());
    }
}
