//! Cron schedules as the CronJob controller reads them.
//!
//! The controller takes five fields, `@hourly` and its like, and `@every 5m`; it knows neither seconds nor years nor the
//! `L`, `W` and `#` of other crons, and Sunday is 0, never 7. What it refuses is refused here, so that a schedule which
//! never runs is told, and not one which does.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The names that stand for five fields.
const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The five fields, and the words that may stand for numbers in them.
const FIELDS: [(&str, &[&str]); 5] = [
    ("minute", &[]),
    ("hour", &[]),
    ("day of month", &[]),
    ("month", &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of week", &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Why a schedule cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// It has not five fields, nor is it one of the names.
    #[error("expected 5 fields, found {0}")]
    Fields(usize),
    /// A name that stands for nothing.
    #[error("unknown name {0:?}")]
    Macro(String),
    /// `@every` without a duration of at least a second.
    #[error("{0:?} is no duration such as 1h30m")]
    Every(String),
    /// A field with what does not belong there.
    #[error("{field}: {text:?} is not understood")]
    Field {
        /// Which of the five.
        field: &'static str,
        /// What it says.
        text: String,
    },
    /// A number out of its field's bounds, or a range that goes backwards.
    #[error("{0}")]
    Value(String),
    /// The time zone is in no database.
    #[error("time zone {0:?} is not known")]
    Zone(String),
}

/// When a CronJob runs.
#[derive(Debug, Clone)]
pub struct Schedule {
    times: Times,
    zone: TimeZone,
}

#[derive(Debug, Clone)]
enum Times {
    Cron(Box<Cron>),
    Every(SignedDuration),
}

impl Schedule {
    /// Reads a schedule as `spec.schedule` has it, in the time zone of `spec.timeZone`, or in UTC: which zone the
    /// controller's own clock has, nobody can see. A zone in the schedule itself (`TZ=…`), which was allowed once, is
    /// followed.
    ///
    /// # Errors
    /// [`BadSchedule`], for what the controller does not follow either.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, BadSchedule> {
        let (inner, text) = split_zone(text);
        let zone = match zone.or(inner) {
            None | Some("" | "UTC") => TimeZone::UTC,
            Some(zone) => TimeZone::get(zone).map_err(|_| BadSchedule::Zone(zone.to_owned()))?,
        };
        let times = match text.strip_prefix("@every ") {
            Some(every) => Times::Every(duration(every.trim())?),
            None => Times::Cron(Box::new(cron(text)?)),
        };
        Ok(Self { times, zone })
    }

    /// The last time before `time`; none if there is none in living memory: the thirtieth of February.
    #[must_use]
    pub fn before(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.times {
            Times::Cron(cron) => {
                let found = cron.find_previous_occurrence(&time.to_zoned(self.zone.clone()), false).ok()?;
                Some(found.timestamp()).filter(|found| *found < time)
            }
            Times::Every(every) => time.checked_sub(*every).ok(),
        }
    }

    /// How many times there are after `from` and before `to`, counted up to `most`.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp, most: usize) -> usize {
        let mut times = 0;
        let mut at = to;
        while times < most {
            match self.before(at) {
                Some(before) if before > from => at = before,
                _ => break,
            }
            times += 1;
        }
        times
    }
}

/// Whether the schedule has a time zone in it, which newer API servers refuse.
#[must_use]
pub fn has_zone(text: &str) -> bool {
    split_zone(text).0.is_some()
}

fn split_zone(text: &str) -> (Option<&str>, &str) {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) else {
        return (None, text);
    };
    rest.split_once(char::is_whitespace)
        .map_or((Some(rest), ""), |(zone, schedule)| (Some(zone), schedule.trim()))
}

fn cron(text: &str) -> Result<Cron, BadSchedule> {
    let text = match MACROS.iter().find(|(name, _)| *name == text) {
        Some((_, fields)) => fields,
        None if text.starts_with('@') => return Err(BadSchedule::Macro(text.to_owned())),
        None => text,
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(BadSchedule::Fields(fields.len()));
    }
    for (field, (name, words)) in fields.iter().zip(FIELDS) {
        check(field, name, words)?;
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        // The controller takes `5/15`: from 5 on.
        .sloppy_ranges(true)
        .build();
    // To the controller `?` is another `*` in every field.
    parser.parse(&fields.join(" ").replace('?', "*")).map_err(|error| BadSchedule::Value(error.to_string()))
}

/// Refuses what the parser takes and the controller does not.
fn check(field: &str, name: &'static str, words: &[&str]) -> Result<(), BadSchedule> {
    let bad = || BadSchedule::Field { field: name, text: field.to_owned() };
    for item in field.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        if step.is_some_and(|step| step.parse::<u8>().unwrap_or(0) == 0) {
            return Err(bad());
        }
        if matches!(range, "*" | "?") {
            continue;
        }
        for end in range.split('-') {
            let number = end.chars().all(|c| c.is_ascii_digit()).then(|| end.parse::<u8>().ok()).flatten();
            let sunday_is_seven = name == "day of week" && number == Some(7);
            if sunday_is_seven || (number.is_none() && !words.contains(&end.to_lowercase().as_str())) {
                return Err(bad());
            }
        }
    }
    Ok(())
}

/// A duration as Go writes it, of whole seconds as the controller takes it: `1h30m`, `90s`, `1.5h`.
fn duration(text: &str) -> Result<SignedDuration, BadSchedule> {
    let bad = || BadSchedule::Every(text.to_owned());
    let (mut rest, mut seconds) = (text, 0.0_f64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| bad())?;
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        seconds += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return Err(bad()),
            };
        rest = tail;
    }
    let whole = SignedDuration::try_from_secs_f64(seconds.floor()).map_err(|_| bad())?;
    if whole < SignedDuration::from_secs(1) { Err(bad()) } else { Ok(whole) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_the_controller_takes_is_taken_and_what_it_refuses_is_refused() {
        for good in [
            "* * * * *",
            "*/5 0-6 1,15 * mon-fri",
            "5/15 * * * *",
            "0 0 ? * SUN",
            "@hourly",
            "@midnight",
            "@every 1h30m",
            "@every 1.5h",
            "0 3 * jan,JUL 0",
            "TZ=Europe/Paris 0 3 * * *",
        ] {
            assert!(Schedule::parse(good, None).is_ok(), "{good}: {:?}", Schedule::parse(good, None));
        }
        for bad in [
            "",
            "* * * *",
            "0 * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "0 0 0 * *",
            "0 0 * 13 *",
            "0 0 * * 7",
            "0 0 L * *",
            "0 0 15W * *",
            "0 0 * * 5#2",
            "5-1 * * * *",
            "*/0 * * * *",
            "jan * * * *",
            "@fortnightly",
            "@every",
            "@every 5",
            "@every soon",
            "@every 0s",
            "@Daily x",
            "a b c d e",
            "- - - - -",
            "1-2-3 * * * *",
            "0 0 * * +1",
            "@every 1e9h",
        ] {
            assert!(Schedule::parse(bad, None).is_err(), "{bad}");
        }
        assert_eq!(
            Schedule::parse("@daily", Some("Mars/Base")).unwrap_err(),
            BadSchedule::Zone("Mars/Base".to_owned())
        );
    }

    #[test]
    fn the_time_before_is_that_of_the_zone() {
        let noon: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let before = |text: &str, zone: Option<&str>| {
            Schedule::parse(text, zone).unwrap().before(noon).map(|time| time.to_string())
        };
        assert_eq!(before("0 3 * * *", None).unwrap(), "2026-06-01T03:00:00Z");
        assert_eq!(before("0 3 * * *", Some("America/New_York")).unwrap(), "2026-06-01T07:00:00Z");
        assert_eq!(before("TZ=America/New_York 0 3 * * *", None).unwrap(), "2026-06-01T07:00:00Z");
        assert_eq!(before("@every 90m", None).unwrap(), "2026-06-01T10:30:00Z");
        assert_eq!(before("0 0 30 2 *", None), None, "no such day");
    }

    #[test]
    fn times_are_counted_between_two_others() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let hourly = Schedule::parse("@hourly", None).unwrap();
        let count = |from: &str, to: &str, most| hourly.between(time(from), time(to), most);
        assert_eq!(count("2026-06-01T08:30:00Z", "2026-06-01T12:10:00Z", 10), 4);
        assert_eq!(count("2026-06-01T12:30:00Z", "2026-06-01T12:40:00Z", 10), 0);
        assert_eq!(count("2025-06-01T12:30:00Z", "2026-06-01T12:40:00Z", 3), 3, "no further than asked");
        assert_eq!(count("2026-06-02T00:00:00Z", "2026-06-01T00:00:00Z", 3), 0, "backwards there are none");
    }

    proptest::proptest! {
        #[test]
        fn any_schedule_is_read_or_refused(text in r#"([0-9*/,?LW#@ -]|every |mon|jan|TZ=|1h|\.){0,16}"#) {
            if let Ok(schedule) = Schedule::parse(&text, None) {
                let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
                proptest::prop_assert!(schedule.before(now).is_none_or(|before| before < now));
            }
        }
    }
}
