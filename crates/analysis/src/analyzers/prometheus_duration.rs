//! Durations as Prometheus writes them.

/// The milliseconds of a duration as Prometheus writes them, largest unit first: `1h30m`, `15s`, `0`.
pub(super) fn duration(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut next) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let place = UNITS.iter().position(|(name, _)| *name == unit).filter(|place| *place >= next)?;
        let (_, length) = UNITS.get(place)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        (rest, next) = (after, place + 1);
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("15s", Some(15_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("100ms", Some(100)),
            ("15", None),
            ("", None),
            ("m1", None),
            ("1m1h", None),
            ("1s1s", None),
            ("1.5s", None),
            ("-1s", None),
            ("99999999999999999999y", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
