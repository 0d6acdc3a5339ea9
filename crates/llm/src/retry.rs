//! When a call is made again: Retry-After as told, else growing pauses, with jitter.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;

use crate::error::Kind;

/// No pause that a provider asks for is taken for longer: a wrong clock would stop everything.
const LONGEST: Duration = Duration::from_secs(3600);

/// How often and when a call is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Calls in all, the first included; at least 1.
    pub tries: u32,
    /// The pause before the second call; each further one is twice as long.
    pub base: Duration,
    /// The longest pause. A provider that asks for more gets it, but the caller has to wait: the error says how long.
    pub most: Duration,
}

impl Default for Retry {
    /// Three calls within half a minute at most: what a queue's retry would take longer for. Longer pauses are the queue's.
    fn default() -> Self {
        Self { tries: 3, base: Duration::from_millis(500), most: Duration::from_secs(20) }
    }
}

impl Retry {
    /// The pause before call number `made` + 1, after this error; `None`: give up. A call without an answer in time is not
    /// made again here: it took long and may have been charged, so the queue decides. `jitter`, between 0 and 1, spreads
    /// callers: over the upper half of a pause of our own, and over a tenth on top of one that was told.
    pub fn pause(&self, made: u32, kind: &Kind, jitter: f64) -> Option<Duration> {
        let again = matches!(kind, Kind::RateLimited { .. } | Kind::Unavailable { .. });
        if !again || made >= self.tries {
            return None;
        }
        let jitter = jitter.clamp(0.0, 1.0);
        match kind.after() {
            Some(told) if told > self.most => None,
            Some(told) => Some(told.mul_f64(1.0 + jitter / 10.0)),
            None => {
                let doubled = self.base.saturating_mul(1 << (made.max(1) - 1).min(16));
                Some(doubled.min(self.most).mul_f64(0.5 + jitter / 2.0))
            }
        }
    }
}

/// How long the headers ask to wait: `retry-after-ms`, `retry-after` in seconds (also with a fraction) or as an HTTP
/// date; never longer than an hour. What cannot be read asks for nothing.
pub fn told(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str, unit: f64| {
        let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
        Some(Duration::try_from_secs_f64(number * unit).unwrap_or(LONGEST))
    };
    let told = match text("retry-after-ms").and_then(|text| seconds(text, 1e-3)) {
        Some(told) => told,
        None => {
            let text = text("retry-after")?;
            match seconds(text, 1.0) {
                Some(told) => told,
                None => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
            }
        }
    };
    Some(told.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_read_as_seconds_milliseconds_and_date_and_is_capped() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let told = |pairs: &[(&'static str, &str)]| told(&headers(pairs), now);
        assert_eq!(told(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(told(&[("retry-after", " 0.5 ")]), Some(Duration::from_millis(500)));
        assert_eq!(
            told(&[("retry-after", "9"), ("retry-after-ms", "250")]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(told(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Some(Duration::from_secs(30)));
        assert_eq!(told(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
        assert_eq!(told(&[("retry-after", "Sun, 06 Nov 2044 08:49:37 GMT")]), Some(LONGEST));
        assert_eq!(told(&[("retry-after", "99999999999999999999999")]), Some(LONGEST));
        for bad in ["-1", "soon", "NaN", "inf", ""] {
            assert_eq!(told(&[("retry-after", bad)]), None, "{bad}");
        }
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        let retry = Retry { tries: 10, base: Duration::from_secs(1), most: Duration::from_secs(5) };
        let down = Kind::Unavailable { after: None };
        let pauses: Vec<_> = (1..6).map(|made| retry.pause(made, &down, 1.0).unwrap().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        assert_eq!(retry.pause(1, &down, 0.0), Some(Duration::from_millis(500)));
        assert_eq!(retry.pause(10, &down, 0.0), None);
        assert_eq!(retry.pause(u32::MAX, &down, 0.0), None);
    }

    #[test]
    fn what_is_told_is_waited_and_what_is_too_long_is_the_callers() {
        let retry = Retry { tries: 3, base: Duration::from_secs(1), most: Duration::from_secs(5) };
        let told = |seconds| Kind::RateLimited { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(retry.pause(1, &told(5), 0.0), Some(Duration::from_secs(5)));
        assert_eq!(retry.pause(1, &told(5), 1.0), Some(Duration::from_millis(5500)));
        assert_eq!(retry.pause(1, &told(6), 0.0), None);
    }

    #[test]
    fn what_does_not_pass_by_waiting_is_not_tried_again() {
        let retry = Retry::default();
        let after = Duration::ZERO;
        for kind in [
            Kind::Auth,
            Kind::Quota,
            Kind::TooLong,
            Kind::Refused,
            Kind::BadRequest,
            Kind::Malformed,
            Kind::Timeout,
            Kind::Budget { after },
            Kind::Resting { after },
            Kind::NotRecorded { hash: String::new() },
        ] {
            assert_eq!(retry.pause(1, &kind, 0.5), None, "{kind:?}");
        }
    }
}
