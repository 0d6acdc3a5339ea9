//! Durations and sizes as people write them in manifests.

use std::time::Duration;

/// Reads a duration in Go's notation: `5m`, `1m30s`, `300ms`, `1.5h`, `0`.
///
/// # Errors
/// A sentence with the value.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let wrong = || format!("{text:?} must be a duration such as 300ms, 5m or 1m30s");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        seconds += number * size;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Reads a number of bytes in Kubernetes' notation: `1048576`, `64Mi`, `1Gi`, `500k`.
///
/// # Errors
/// A sentence with the value.
pub fn bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 7] = [
        ("", 1),
        ("k", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
    ];
    let text = text.trim();
    let wrong = || format!("{text:?} must be a number of bytes such as 1048576 or 64Mi");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| wrong())?;
    let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(size).ok_or_else(wrong)
}

/// Half of what the container may use, if it has a limit: the rest is for everything but messages.
pub fn half_of_container_memory() -> Option<usize> {
    /// Beyond this the file holds "no limit" as a number.
    const UNLIMITED: usize = 1 << 60;
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
        .filter(|limit| *limit < UNLIMITED)
        .map(|limit: usize| limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1m30s", 90_000),
            ("300ms", 300),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("1h0m0.5s", 3_600_500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "m", "5 m", "-1s", "1d", "1..2s", "99999999999999999999h"] {
            assert!(duration(bad).unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_as_kubernetes_reads_them() {
        for (text, size) in [("1048576", 1 << 20), ("64Mi", 64 << 20), ("500k", 500_000), ("1Gi", 1 << 30)] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for bad in ["", "Mi", "1.5Gi", "64MB", "99999999999999999999"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
