//! Points in time as text.

/// Form of a point in time, for the schema. It is no `format`, because with one the API server takes lists for texts.
pub const PATTERN: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// Whether a text is what [`PATTERN`] says: it has the form of a point in time.
pub fn is_moment(text: &str) -> bool {
    let Some((moment, rest)) = text.as_bytes().split_at_checked(19) else { return false };
    let zone = fraction(rest);
    let lower = moment.to_ascii_lowercase();
    is_shape(&lower, "dddd-dd-ddtdd:dd:dd")
        && (matches!(zone, [b'Z' | b'z']) || is_shape(zone, "+dd:dd") || is_shape(zone, "-dd:dd"))
}

/// Whether a text is a point in time as RFC 3339 writes it.
pub fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((date, rest)) = bytes.split_at_checked(10) else { return false };
    let Some((separator, rest)) = rest.split_first() else { return false };
    let Some((time, rest)) = rest.split_at_checked(8) else { return false };
    let [year, month, day] = numbers(date, b'-');
    is_shape(date, "dddd-dd-dd")
        && matches!(separator, b'T' | b't')
        && is_time(time)
        && (1..=12).contains(&month)
        && (1..=days(year, month)).contains(&day)
        && is_zone(fraction(rest))
}

fn is_shape(bytes: &[u8], shape: &str) -> bool {
    let fits =
        |(byte, wanted): (&u8, u8)| if wanted == b'd' { byte.is_ascii_digit() } else { *byte == wanted };
    bytes.len() == shape.len() && bytes.iter().zip(shape.bytes()).all(fits)
}

fn is_time(bytes: &[u8]) -> bool {
    let [hour, minute, second] = numbers(bytes, b':');
    is_shape(bytes, "dd:dd:dd") && hour < 24 && minute < 60 && second < 60
}

fn numbers(bytes: &[u8], separator: u8) -> [u32; 3] {
    let mut parts = bytes.split(|byte| *byte == separator).map(|part| {
        part.iter().fold(0_u32, |number, byte| {
            number.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0')))
        })
    });
    [0; 3].map(|_: u32| parts.next().unwrap_or(u32::MAX))
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400) => 29,
        2 => 28,
        _ => 31,
    }
}

/// What follows parts of a second, if there are any.
fn fraction(bytes: &[u8]) -> &[u8] {
    match bytes.split_first() {
        Some((b'.', rest)) if rest.first().is_some_and(u8::is_ascii_digit) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            &rest[digits..]
        }
        _ => bytes,
    }
}

fn is_zone(bytes: &[u8]) -> bool {
    match bytes {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', zone @ ..] => {
            let [hours, minutes, _] = numbers(zone, b':');
            is_shape(zone, "dd:dd") && hours < 24 && minutes < 60
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_has_date_time_and_zone() {
        for right in ["2026-11-21T19:20:00Z", "2024-02-29T00:00:00.123456+02:00", "1999-12-31t23:59:59z"] {
            assert!(is_rfc3339(right), "{right}");
        }
        for wrong in [
            "",
            "2026-11-21",
            "2026-11-21 19:20:00Z",
            "2026-11-21T19:20:00",
            "2026-13-21T19:20:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T19:20Z",
            "2026-11-21T19:20:00+2",
            "2026-11-21T19:20:00.Z",
            "next year é T",
            "2026-00-10T00:00:00Z",
            "2026-11-21T19:20:00ZZ",
        ] {
            assert!(!is_rfc3339(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_moment_has_the_form_of_a_point_in_time_and_maybe_a_day_that_there_is_not() {
        for form in ["2026-11-21T19:20:00Z", "2026-13-99T99:99:99.5+99:99", "2026-11-21t19:20:00z"] {
            assert!(is_moment(form), "{form}");
        }
        for wrong in
            ["", "2026-11-21", "2026-11-21T19:20:00", "2026-11-21T19:20:00.Z", "2026-11-21T19:20:00Zé", "x"]
        {
            assert!(!is_moment(wrong), "{wrong}");
        }
    }
}
