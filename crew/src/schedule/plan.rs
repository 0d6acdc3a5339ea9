//! What is sent, and when.

use asya_envelope::{ActorName, Envelope, Raw, Route};
use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest name: it is part of ids.
const MAX_NAME: usize = 64;

/// One schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Names it in ids and in the store.
    pub name: String,
    cron: Cron,
    zone: TimeZone,
    route: Vec<String>,
    payload: Raw,
    /// What becomes of ticks at which nothing ran.
    pub missed: Missed,
}

/// What becomes of ticks at which nothing ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// The last of them is sent, late.
    #[default]
    Last,
    /// None is.
    Skip,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    name: String,
    cron: String,
    timezone: Option<String>,
    route: Vec<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    missed: Missed,
}

impl Plan {
    /// Reads a JSON array of schedules.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn parse(text: &str) -> Result<Vec<Self>, Vec<String>> {
        let written: Vec<Written<'_>> =
            serde_json::from_str(text).map_err(|error| vec![error.to_string()])?;
        let (mut plans, mut errors): (Vec<Self>, Vec<String>) = (Vec::new(), Vec::new());
        for one in written {
            let name = one.name.clone();
            match Self::checked(one) {
                Ok(plan) if plans.iter().any(|known| known.name == plan.name) => {
                    errors.push(format!("schedule {name:?}: another one has this name"));
                }
                Ok(plan) => plans.push(plan),
                Err(error) => errors.push(format!("schedule {name:?}: {error}")),
            }
        }
        if plans.is_empty() && errors.is_empty() {
            errors.push("no schedule is given".to_owned());
        }
        if errors.is_empty() { Ok(plans) } else { Err(errors) }
    }

    fn checked(written: Written<'_>) -> Result<Self, String> {
        let Written { name, cron, timezone, route, payload, missed } = written;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(format!("the name must be 1 to {MAX_NAME} letters, digits, '-', '_' or '.'"));
        }
        if route.is_empty() {
            return Err("the route is empty".to_owned());
        }
        for actor in &route {
            ActorName::parse(actor).map_err(|error| format!("route: {error}"))?;
        }
        let zone = match timezone.as_deref() {
            None | Some("UTC") => TimeZone::UTC,
            Some(zone) => TimeZone::get(zone).map_err(|_| format!("time zone {zone:?} is not known"))?,
        };
        let cron: Cron = cron.parse().map_err(|error| format!("cron expression {cron:?}: {error}"))?;
        let payload = payload.map_or_else(Raw::null, |value| {
            Raw::parse(bytes::Bytes::copy_from_slice(value.get().as_bytes())).expect("it was parsed as JSON")
        });
        let plan = Self { name, cron, zone, route, payload, missed };
        plan.after(Timestamp::now()).ok_or("the cron expression has no time to come")?;
        Ok(plan)
    }

    /// The first tick after `time`; `None` if there is none within the years that the expression is searched for.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&time.to_zoned(self.zone.clone()), false).ok()?;
        Some(found.timestamp()).filter(|found| *found > time)
    }

    /// The last tick that is not after `time`.
    pub fn until(&self, time: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&time.to_zoned(self.zone.clone()), true).ok()?;
        Some(found.timestamp()).filter(|found| *found <= time)
    }

    /// The envelope of a tick.
    pub fn envelope(&self, tick: Timestamp) -> Envelope {
        let id = format!("{}-{tick}", self.name);
        Envelope::new(id, Route::new(self.route.iter().cloned()), self.payload.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cron: &str, zone: &str) -> Plan {
        let text = format!(
            r#"[{{"name":"n","cron":"{cron}","timezone":"{zone}","route":["a"],"payload":{{"x":1.0}}}}]"#
        );
        Plan::parse(&text).unwrap().remove(0)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ticks_are_those_of_the_expression_in_its_zone() {
        let nightly = plan("0 3 * * *", "Europe/Berlin");
        assert_eq!(nightly.after(at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T02:00:00Z")));
        assert_eq!(nightly.after(at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T01:00:00Z")));
        assert_eq!(nightly.until(at("2026-07-10T12:00:00Z")), Some(at("2026-07-10T01:00:00Z")));
        let minutely = plan("* * * * *", "UTC");
        assert_eq!(minutely.after(at("2026-01-10T12:00:00Z")), Some(at("2026-01-10T12:01:00Z")));
        assert_eq!(minutely.until(at("2026-01-10T12:00:00Z")), Some(at("2026-01-10T12:00:00Z")));
    }

    #[test]
    fn the_envelope_of_a_tick_says_which_one_it_is() {
        let envelope = plan("0 3 * * *", "UTC").envelope(at("2026-01-11T03:00:00Z"));
        assert_eq!(
            (envelope.id.as_str(), envelope.payload.as_str()),
            ("n-2026-01-11T03:00:00Z", r#"{"x":1.0}"#)
        );
    }

    #[test]
    fn every_mistake_is_named() {
        let text = r#"[{"name":"a b","cron":"* * * * *","route":["a"]},{"name":"b","cron":"61 * * * *","route":["a"]},
            {"name":"c","cron":"* * * * *","route":[]},{"name":"d","cron":"* * * * *","route":["a"],"timezone":"Mars"},
            {"name":"e","cron":"* * * * *","route":["a"]},{"name":"e","cron":"* * * * *","route":["a"]}]"#;
        let errors = Plan::parse(text).unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:?}");
        assert!(Plan::parse("[]").is_err() && Plan::parse(r#"[{"name":"a","crn":""}]"#).is_err());
    }
}
