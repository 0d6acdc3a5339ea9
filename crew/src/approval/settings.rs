//! What approval is told, read into types. All errors are found before any is reported.

use std::time::Duration;

use asya_session::Risk;
use asya_settings::{Reader, boolean, positive_duration};

use super::DEFAULT_TIMEOUT;
use crate::{asked::Source, desk, shipped::Variables};

/// What approval is told. All but the first two is for calls of tools that propose nothing themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where operations are kept.
    pub gateway: desk::Settings,
    /// Where the keys are by which it is known who asked.
    pub subjects: Source,
    /// How long somebody may take to decide.
    pub timeout: Duration,
    /// Whether somebody else than who asked must decide.
    pub four_eyes: bool,
    /// How bad it can get.
    pub risk: Risk,
}

impl Settings {
    /// Reads `ASYA_APPROVAL_…` and where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let get = |name: &str| variables.get(name);
        let mut errors = Vec::new();
        let gateway = desk::Settings::read(variables).map_err(|more| errors.extend(more)).ok();
        let subjects = Source::read(variables).ok();
        let mut reader = Reader::default();
        let name = "ASYA_APPROVAL_TIMEOUT";
        let timeout = reader.or(name, get(name), DEFAULT_TIMEOUT, positive_duration);
        let name = "ASYA_APPROVAL_FOUR_EYES";
        let four_eyes = reader.or(name, get(name), false, boolean);
        let name = "ASYA_APPROVAL_RISK";
        let risk = reader.or(name, get(name), Risk::default(), |text| {
            serde_json::from_value(text.into()).map_err(|_| format!("{text:?} must be low, medium or high"))
        });
        let read = reader.done(()).map_err(|more| errors.extend(more.0));
        match (gateway, subjects, read) {
            (Some(gateway), Some(subjects), Ok(())) => {
                Ok(Self { gateway, subjects, timeout, four_eyes, risk })
            }
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Variables { find: &find, base: Path::new("/etc/asya") })
    }

    #[test]
    fn without_more_than_a_gateway_it_has_a_day_and_medium_risk() {
        let settings = read(&[("ASYA_GATEWAY_URL", "http://gateway")]).unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(86_400));
        assert_eq!((settings.four_eyes, settings.risk), (false, Risk::Medium));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = [
            ("ASYA_APPROVAL_TIMEOUT", "0s"),
            ("ASYA_APPROVAL_FOUR_EYES", "two"),
            ("ASYA_APPROVAL_RISK", "huge"),
        ];
        let errors = read(&wrong).unwrap_err();
        assert_eq!(errors.len(), 4, "{errors:?}");
        for name in ["ASYA_GATEWAY_URL", wrong[0].0, wrong[1].0, wrong[2].0] {
            assert!(errors.iter().any(|error| error.starts_with(name)), "{name} in {errors:?}");
        }
    }
}
