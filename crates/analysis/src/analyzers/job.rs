//! Jobs: failed ones, those that try again, those that wait.

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec, JobStatus};

use super::words::{because, names, steady, told_by};
use crate::analyzer::Analyzer;
use crate::event::latest_for;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::{Lookup, Typed, Unverified, View};

/// Tries that a Job has if nobody says otherwise.
const BACKOFF_LIMIT: i32 = 6;

/// Looks at Jobs.
pub(crate) struct JobAnalyzer;

impl Analyzer for JobAnalyzer {
    fn name(&self) -> &'static str {
        "Job"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Job>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let job: Job = object.typed()?;
        let spec = job.spec.unwrap_or_default();
        let status = job.status.unwrap_or_default();
        let look = Look { object, at: object.reference(), spec, status, view };
        if look.is("Complete") || look.is("SuccessCriteriaMet") {
            return Ok(());
        }
        if look.failed(report) {
            return Ok(());
        }
        if look.spec.suspend == Some(true) {
            let text = format!("Job {} is suspended", look.at.path());
            report.fail(
                Failure::new("JobSuspended", Severity::Info, text)
                    .seen(&look.at, ".spec.suspend", "true".to_owned())
                    .hides(names(object))
                    .explained_by("job.spec.suspend"),
            );
            return Ok(());
        }
        look.retries(report);
        look.not_made(report);
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: JobSpec,
    status: JobStatus,
    view: &'a dyn View,
}

impl Look<'_> {
    fn is(&self, type_: &str) -> bool {
        let mut conditions = self.status.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == type_ && condition.status == "True")
    }

    /// Whether the Job failed, or is about to: `FailureTarget` comes first, `Failed` when its last pod has ended. The
    /// message says which container ended how if a rule of `podFailurePolicy` decided.
    fn failed(&self, report: &mut Report) -> bool {
        const CODE: &str = "JobFailed";
        let conditions = self.status.conditions.as_deref().unwrap_or_default();
        let of = |type_: &str| {
            conditions.iter().enumerate().find(|(_, one)| one.type_ == type_ && one.status == "True")
        };
        let Some((n, condition)) = of("Failed").or_else(|| of("FailureTarget")) else { return false };
        match self.made_good(condition.last_transition_time.as_ref().map(|time| time.0)) {
            Ok(true) => return true,
            Ok(false) => {}
            Err((cron_job, why)) => {
                report.doubt(CODE, cron_job, why);
                return true;
            }
        }
        let why = because(condition.reason.as_deref(), condition.message.as_deref());
        let mut failure = Failure::new(CODE, Severity::Error, format!("Job {} failed{why}", self.at.path()))
            .seen(&self.at, format!(".status.conditions[{n}].reason"), condition.reason.clone())
            .hides(names(self.object))
            .explained_by("job.status.conditions");
        if let Some(indexes) = self.status.failed_indexes.as_ref().filter(|indexes| !indexes.is_empty()) {
            failure.text = format!("{}; failed indexes: {indexes}", failure.text);
            failure = failure.seen(&self.at, ".status.failedIndexes", indexes.clone());
        }
        report.fail(failure);
        true
    }

    /// Whether a later run of the CronJob that made this Job succeeded: the failed one is history then, kept by
    /// `failedJobsHistoryLimit`. What will never be read does not hide what is known.
    fn made_good(&self, failed: Option<jiff::Timestamp>) -> Result<bool, (ObjectRef, Unverified)> {
        let owners = self.object.owners();
        let Some(owner) =
            owners.iter().find(|owner| GroupKind::named(&owner.api_version, &owner.kind).is::<CronJob>())
        else {
            return Ok(false);
        };
        match self.view.get::<CronJob>(self.object.namespace(), &owner.name) {
            Lookup::Found(cron_job) => {
                let success = cron_job.status.and_then(|status| status.last_successful_time);
                Ok(success.zip(failed).is_some_and(|(success, failed)| success.0 > failed))
            }
            Lookup::NotFound
            | Lookup::Unverified(Unverified::Forbidden | Unverified::NotInstalled | Unverified::NotRead) => {
                Ok(false)
            }
            Lookup::Unverified(why) => {
                Err((ObjectRef::of::<CronJob>(self.object.namespace(), &owner.name), why))
            }
        }
    }

    /// Pods failed and the Job tries again: it may still succeed.
    fn retries(&self, report: &mut Report) {
        let failed = self.status.failed.unwrap_or(0);
        if failed <= 0 {
            return;
        }
        let text = match self.spec.backoff_limit_per_index {
            Some(limit) => {
                format!("Job {} tries again: pods failed ({limit} may, for each index)", self.at.path())
            }
            None => format!(
                "Job {} tries again: pods failed, and {} may before it gives up",
                self.at.path(),
                self.spec.backoff_limit.unwrap_or(BACKOFF_LIMIT)
            ),
        };
        report.fail(
            Failure::new("JobRetries", Severity::Warning, text)
                .seen(&self.at, ".status.failed", failed.to_string())
                .hides(names(self.object))
                .explained_by("job.spec.backoffLimit"),
        );
    }

    /// A Job without any pod: the controller says in an event why it makes none.
    fn not_made(&self, report: &mut Report) {
        const CODE: &str = "PodsNotCreated";
        let status = &self.status;
        let any = [status.active, status.succeeded, status.failed, status.terminating];
        if status.start_time.is_none()
            || self.spec.parallelism == Some(0)
            || any.iter().flatten().any(|count| *count > 0)
        {
            return;
        }
        let events = self.view.events_about(self.object);
        let Some(events) = report.listed(CODE, format!("events of {}", self.at), events) else { return };
        if let Some(event) = latest_for(&events, &["FailedCreate"]) {
            let mut failure = told_by(event, CODE, &self.at, ".status.active", "0").hides(names(self.object));
            failure.text = steady(&failure.text);
            report.fail(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, event, look, look_in, object};
    use crate::inventory::Inventory;

    fn job(spec: Value, status: Value) -> Object {
        let mut rest = json!({"spec": {"template": {}}, "status": status});
        rest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("batch/v1", "Job", "load", rest)
    }

    fn with(type_: &str, reason: &str) -> Value {
        json!({"failed": 2, "conditions": [{"type": type_, "status": "True", "reason": reason, "message": "m",
            "lastTransitionTime": "2026-06-01T10:00:00Z"}]})
    }

    #[test]
    fn cases() {
        let cases: [(&str, Object, &[&str]); 14] = [
            ("no status yet", job(json!({}), json!({})), &[]),
            ("runs", job(json!({}), json!({"startTime": "2026-06-01T11:00:00Z", "active": 1})), &[]),
            ("complete after failed pods", job(json!({}), with("Complete", "CompletionsReached")), &[]),
            ("success criteria met", job(json!({}), with("SuccessCriteriaMet", "SuccessPolicy")), &[]),
            ("out of tries", job(json!({}), with("Failed", "BackoffLimitExceeded")), &["JobFailed"]),
            ("too late", job(json!({}), with("Failed", "DeadlineExceeded")), &["JobFailed"]),
            (
                "by a rule of podFailurePolicy",
                job(json!({}), with("Failed", "PodFailurePolicy")),
                &["JobFailed"],
            ),
            ("about to fail", job(json!({}), with("FailureTarget", "PodFailurePolicy")), &["JobFailed"]),
            ("tries again", job(json!({}), json!({"failed": 2, "active": 1})), &["JobRetries"]),
            (
                "a pod that a podFailurePolicy ignores does not count",
                job(json!({}), json!({"failed": 0, "active": 1})),
                &[],
            ),
            ("suspended", job(json!({"suspend": true}), json!({})), &["JobSuspended"]),
            (
                "suspended after failed pods",
                job(json!({"suspend": true}), json!({"failed": 1})),
                &["JobSuspended"],
            ),
            (
                "suspended and done",
                job(json!({"suspend": true}), with("Complete", "CompletionsReached")),
                &[],
            ),
            ("no pod, nobody says why", job(json!({}), json!({"startTime": "2026-06-01T11:00:00Z"})), &[]),
        ];
        for (name, job, expected) in cases {
            assert_eq!(codes(&look(&["Job"], &job, &[])), expected, "{name}");
        }
    }

    #[test]
    fn a_failed_job_says_why_and_which_indexes() {
        let mut status = with("Failed", "FailedIndexes");
        status["failedIndexes"] = json!("1,4-6");
        let found = look(&["Job"], &job(json!({}), status), &[]);
        let failure = &found.report.failures()[0];
        assert_eq!(failure.text, "Job shop/load failed (FailedIndexes): m; failed indexes: 1,4-6");
        assert_eq!(
            (failure.severity, failure.evidence[0].value.as_deref()),
            (Severity::Error, Some("FailedIndexes"))
        );
    }

    #[test]
    fn a_suspended_job_is_worth_knowing_and_no_more() {
        let found = look(&["Job"], &job(json!({"suspend": true}), json!({})), &[]);
        assert_eq!(found.report.failures()[0].severity, Severity::Info);
    }

    #[test]
    fn a_failed_run_of_a_cron_job_that_succeeded_later_is_history() {
        let mut value = job(json!({}), with("Failed", "BackoffLimitExceeded")).value().clone();
        value["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c"}]);
        let run = Object::new(value).unwrap();
        let cron_job = |success: Value| {
            object("batch/v1", "CronJob", "nightly", json!({"status": {"lastSuccessfulTime": success}}))
        };
        let later = cron_job(json!("2026-06-01T11:00:00Z"));
        let earlier = cron_job(json!("2026-06-01T09:00:00Z"));
        assert!(codes(&look(&["Job"], &run, &[later])).is_empty());
        assert_eq!(codes(&look(&["Job"], &run, &[earlier])), ["JobFailed"]);
        assert_eq!(codes(&look(&["Job"], &run, &[cron_job(Value::Null)])), ["JobFailed"]);
        assert_eq!(codes(&look(&["Job"], &run, &[])), ["JobFailed"], "the CronJob is gone");
        for (why, expected, doubts) in
            [(Unverified::Forbidden, 1, 0), (Unverified::Failed("timeout".to_owned()), 0, 1)]
        {
            let mut inventory = Inventory::of([run.clone()]);
            inventory.put_list(&GroupKind::of::<CronJob>(), None, Err(why));
            let found = look_in(&["Job"], &run, &inventory);
            assert_eq!((codes(&found).len(), found.report.doubts().len()), (expected, doubts));
        }
    }

    #[test]
    fn the_controller_tells_in_an_event_why_it_makes_no_pod() {
        let subject = job(json!({}), json!({"startTime": "2026-06-01T11:00:00Z"}));
        let quota = event(&subject, "FailedCreate", "exceeded quota", "2026-06-01T11:00:00Z");
        assert_eq!(codes(&look(&["Job"], &subject, std::slice::from_ref(&quota))), ["PodsNotCreated"]);
        let runs = job(json!({}), json!({"startTime": "2026-06-01T11:00:00Z", "active": 1}));
        assert!(codes(&look(&["Job"], &runs, &[quota])).is_empty(), "it was made since");
    }
}
