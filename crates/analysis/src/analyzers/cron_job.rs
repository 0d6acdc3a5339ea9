//! CronJobs: schedules that nobody follows, and runs that do not succeed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus};

use super::words::names;
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::schedule::{BadSchedule, Schedule, has_zone};
use crate::view::View;

/// The controller looks every ten seconds; a deadline below may pass between two looks.
const SHORTEST_DEADLINE: i64 = 10;

/// How late a run may start, or its start be noted.
const LATE: SignedDuration = SignedDuration::from_mins(2);

/// So many runs in a row must be missed: one is missed by an edit of the schedule.
const MISSED: usize = 2;

/// So many runs in a row must not succeed: one or two are tried again by the next.
const UNSUCCESSFUL: usize = 3;

/// How long a run that is still active is taken for the cause that none succeeded.
const LONG_RUN: SignedDuration = SignedDuration::from_hours(24);

/// Looks at CronJobs.
pub(crate) struct CronJobAnalyzer;

impl Analyzer for CronJobAnalyzer {
    fn name(&self) -> &'static str {
        "CronJob"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<CronJob>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let cron_job: CronJob = object.typed()?;
        let Some(spec) = cron_job.spec else { return Ok(()) };
        let look = Look {
            object,
            at: object.reference(),
            spec,
            status: cron_job.status.unwrap_or_default(),
            now: view.now(),
        };
        if look.spec.suspend == Some(true) {
            let found = look.failure("CronJobSuspended", Severity::Info, "is suspended");
            report.fail(
                found.seen(&look.at, ".spec.suspend", "true".to_owned()).explained_by("cronjob.spec.suspend"),
            );
            return Ok(());
        }
        look.deadline(report);
        if let Some(schedule) = look.schedule(report)
            && object.deleted().is_none()
        {
            look.wakes(&schedule, view);
            look.runs(&schedule, report);
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: CronJobSpec,
    status: CronJobStatus,
    now: Timestamp,
}

impl Look<'_> {
    fn failure(&self, code: &str, severity: Severity, what: &str) -> Failure {
        Failure::new(code, severity, format!("CronJob {} {what}", self.at.path())).hides(names(self.object))
    }

    fn deadline(&self, report: &mut Report) {
        let Some(seconds) = self.spec.starting_deadline_seconds else { return };
        let (code, severity, what) = if seconds < 0 {
            ("DeadlineNegative", Severity::Error, "has a negative starting deadline")
        } else if seconds < SHORTEST_DEADLINE {
            let what =
                "has a starting deadline below 10 s, between two looks of the controller: runs may be missed";
            ("DeadlineShort", Severity::Warning, what)
        } else {
            return;
        };
        report.fail(
            self.failure(code, severity, what)
                .seen(&self.at, ".spec.startingDeadlineSeconds", seconds.to_string())
                .explained_by("cronjob.spec.startingDeadlineSeconds"),
        );
    }

    fn schedule(&self, report: &mut Report) -> Option<Schedule> {
        let text = &self.spec.schedule;
        if has_zone(text) {
            let what =
                "has a time zone in its schedule, which belongs into timeZone: API servers refuse it now";
            report.fail(
                self.failure("ScheduleHasTimeZone", Severity::Warning, what)
                    .seen(&self.at, ".spec.schedule", text.clone())
                    .explained_by("cronjob.spec.timeZone"),
            );
        }
        let zone = self.spec.time_zone.as_deref();
        match Schedule::parse(text, zone) {
            Ok(schedule) if schedule.before(self.now).is_none() => {
                report.fail(
                    self.failure("ScheduleNeverDue", Severity::Error, "has a schedule that has no date")
                        .seen(&self.at, ".spec.schedule", text.clone())
                        .explained_by("cronjob.spec.schedule"),
                );
                None
            }
            Ok(schedule) => Some(schedule),
            Err(error) => {
                let of_zone = zone.is_some() && matches!(error, BadSchedule::Zone(_));
                let (code, field) =
                    if of_zone { ("TimeZoneInvalid", "timeZone") } else { ("ScheduleInvalid", "schedule") };
                let value = if of_zone { zone.map(str::to_owned) } else { Some(text.clone()) };
                report.fail(
                    self.failure(code, Severity::Error, &format!("has an invalid {field}: {error}"))
                        .seen(&self.at, format!(".spec.{field}"), value)
                        .explained_by(&format!("cronjob.spec.{field}")),
                );
                None
            }
        }
    }

    /// A run that does not come changes nothing that could be watched: it is looked again after as long as there is
    /// between two.
    fn wakes(&self, schedule: &Schedule, view: &dyn View) {
        let Some(last) = schedule.before(self.now) else { return };
        let between = schedule.before(last).map_or(LATE, |before| last.duration_since(before));
        view.wake(self.now.saturating_add(between.max(LATE)).unwrap_or(Timestamp::MAX));
    }

    /// Whether runs start, and end well. One that is still active may be what others wait for.
    fn runs(&self, schedule: &Schedule, report: &mut Report) {
        let time = |time: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
            time.as_ref().map(|time| time.0)
        };
        let started = time(&self.status.last_schedule_time);
        let succeeded = time(&self.status.last_successful_time);
        let Some(since) = started.or_else(|| self.object.created()) else { return };
        let active = self.status.active.as_ref().is_some_and(|active| !active.is_empty());
        let forbids = self.spec.concurrency_policy.as_deref() == Some("Forbid");
        let due = self.now.saturating_sub(LATE).unwrap_or(self.now);

        if schedule.between(since, due, MISSED) >= MISSED {
            let (code, what) = if active && forbids {
                (
                    "RunBlocksNext",
                    "does not start its next runs: one is still active, and concurrencyPolicy forbids two",
                )
            } else {
                ("RunsMissed", "did not start the runs that were due")
            };
            report.fail(
                self.failure(code, Severity::Warning, what)
                    .seen(&self.at, ".status.lastScheduleTime", started.map(|time| time.to_string()))
                    .explained_by("cronjob.status.lastScheduleTime"),
            );
            return;
        }
        // Without a start there is nothing that could have succeeded.
        let Some(started) = started else { return };
        let Some(good) = succeeded.or_else(|| self.object.created()) else { return };
        let waits = active && self.now.duration_since(good) < LONG_RUN;
        // Runs that were due before the last start: those after it have had no time.
        if started > good && !waits && schedule.between(good, started, UNSUCCESSFUL) >= UNSUCCESSFUL {
            let what = match succeeded {
                Some(time) => format!("starts runs, and none has succeeded since {time}"),
                None => "starts runs, and none has ever succeeded".to_owned(),
            };
            report.fail(
                self.failure("RunsUnsuccessful", Severity::Error, &what)
                    .seen(&self.at, ".status.lastSuccessfulTime", succeeded.map(|time| time.to_string()))
                    .seen(&self.at, ".status.lastScheduleTime", started.to_string())
                    .explained_by("cronjob.status.lastSuccessfulTime"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, object};

    fn cron_job(spec: Value, status: Value) -> Object {
        let mut rest = json!({"metadata": {"creationTimestamp": "2026-05-01T00:00:00Z"},
            "spec": {"schedule": "@hourly", "jobTemplate": {}}, "status": status});
        rest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("batch/v1", "CronJob", "nightly", rest)
    }

    fn healthy() -> Value {
        json!({"lastScheduleTime": "2026-06-01T11:00:00Z", "lastSuccessfulTime": "2026-06-01T11:01:00Z"})
    }

    #[test]
    fn a_run_that_does_not_come_is_looked_for_when_it_should_have() {
        let mut inventory = crate::inventory::Inventory::of([]);
        inventory.set_now(crate::analyzers::testing::NOW.parse().unwrap());
        let wakes = |schedule: &str| {
            let healthy = cron_job(json!({"schedule": schedule}), healthy());
            assert!(
                codes(&crate::analyzers::testing::look_in(&["CronJob"], &healthy, &inventory)).is_empty()
            );
            inventory.take_wake().map(|at| at.to_string())
        };
        assert_eq!(wakes("0 * * * *").as_deref(), Some("2026-06-01T13:00:00Z"));
        assert_eq!(wakes("@every 1h").as_deref(), Some("2026-06-01T13:00:00Z"));
        assert_eq!(wakes("0 0 * * *").as_deref(), Some("2026-06-02T12:00:00Z"));
    }

    #[test]
    fn cases_of_specs() {
        let cases: [(&str, Value, &[&str]); 14] = [
            ("five fields", json!({"schedule": "0 * * * *"}), &[]),
            ("a name", json!({"schedule": "@hourly"}), &[]),
            ("every", json!({"schedule": "@every 1h"}), &[]),
            ("in a time zone", json!({"timeZone": "Asia/Tokyo"}), &[]),
            ("suspended", json!({"suspend": true}), &["CronJobSuspended"]),
            (
                "suspended is all that is said",
                json!({"suspend": true, "schedule": "never"}),
                &["CronJobSuspended"],
            ),
            ("not a schedule", json!({"schedule": "at noon"}), &["ScheduleInvalid"]),
            ("empty", json!({"schedule": ""}), &["ScheduleInvalid"]),
            ("with seconds", json!({"schedule": "0 0 * * * *"}), &["ScheduleInvalid"]),
            ("no such zone", json!({"timeZone": "Mars/Base"}), &["TimeZoneInvalid"]),
            (
                "a zone in the schedule",
                json!({"schedule": "TZ=Asia/Tokyo 0 * * * *"}),
                &["ScheduleHasTimeZone"],
            ),
            ("no such day", json!({"schedule": "0 0 30 2 *"}), &["ScheduleNeverDue"]),
            ("negative deadline", json!({"startingDeadlineSeconds": -1}), &["DeadlineNegative"]),
            ("short deadline", json!({"startingDeadlineSeconds": 5}), &["DeadlineShort"]),
        ];
        for (name, spec, expected) in cases {
            assert_eq!(codes(&look(&["CronJob"], &cron_job(spec, healthy()), &[])), expected, "{name}");
        }
    }

    #[test]
    fn cases_of_runs() {
        let active = json!([{"kind": "Job", "name": "nightly-1"}]);
        let cases: [(&str, Value, Value, &[&str]); 11] = [
            ("all well", json!({}), healthy(), &[]),
            (
                "one missed, as after an edit",
                json!({}),
                json!({"lastScheduleTime": "2026-06-01T10:30:00Z", "lastSuccessfulTime": "2026-06-01T10:31:00Z"}),
                &[],
            ),
            ("two missed", json!({}), json!({"lastScheduleTime": "2026-06-01T09:00:00Z"}), &["RunsMissed"]),
            ("never started", json!({}), json!({}), &["RunsMissed"]),
            (
                "one blocks the next",
                json!({"concurrencyPolicy": "Forbid"}),
                json!({"lastScheduleTime": "2026-06-01T05:00:00Z", "active": active}),
                &["RunBlocksNext"],
            ),
            (
                "no success for long",
                json!({}),
                json!({"lastScheduleTime": "2026-06-01T11:00:00Z", "lastSuccessfulTime": "2026-06-01T06:01:00Z"}),
                &["RunsUnsuccessful"],
            ),
            (
                "no success ever",
                json!({}),
                json!({"lastScheduleTime": "2026-06-01T11:00:00Z"}),
                &["RunsUnsuccessful"],
            ),
            (
                "two without success",
                json!({}),
                json!({"lastScheduleTime": "2026-06-01T11:00:00Z", "lastSuccessfulTime": "2026-06-01T08:30:00Z"}),
                &[],
            ),
            (
                "a long run",
                json!({}),
                json!({"lastScheduleTime": "2026-06-01T11:00:00Z", "lastSuccessfulTime": "2026-06-01T06:01:00Z", "active": active}),
                &[],
            ),
            (
                "too long a run",
                json!({}),
                json!({"lastScheduleTime": "2026-06-01T11:00:00Z", "lastSuccessfulTime": "2026-05-20T06:01:00Z", "active": active}),
                &["RunsUnsuccessful"],
            ),
            (
                "once a year, two months ago",
                json!({"schedule": "@yearly"}),
                json!({"lastScheduleTime": "2026-01-01T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:01:00Z"}),
                &[],
            ),
        ];
        for (name, spec, status, expected) in cases {
            assert_eq!(codes(&look(&["CronJob"], &cron_job(spec, status), &[])), expected, "{name}");
        }
    }

    #[test]
    fn a_cron_job_made_a_moment_ago_has_missed_nothing() {
        let mut value = cron_job(json!({}), json!({})).value().clone();
        value["metadata"]["creationTimestamp"] = json!("2026-06-01T11:30:00Z");
        assert!(codes(&look(&["CronJob"], &Object::new(value).unwrap(), &[])).is_empty());
    }

    #[test]
    fn an_invalid_schedule_is_told_in_the_words_of_the_parser() {
        let found = look(&["CronJob"], &cron_job(json!({"schedule": "0 0 * * 7"}), json!({})), &[]);
        let failure = &found.report.failures()[0];
        assert_eq!(
            failure.text,
            "CronJob shop/nightly has an invalid schedule: day of week: \"7\" is not understood"
        );
        assert_eq!(failure.evidence[0].path, ".spec.schedule");
    }
}
