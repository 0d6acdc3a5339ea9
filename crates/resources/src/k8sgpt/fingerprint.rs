//! What makes a finding the same finding.

use std::collections::BTreeSet;

use super::{
    ResultSpec,
    name::hash,
    stamp::{is_date, is_rfc3339, is_time_of_day},
};

/// Goes into every fingerprint: another number makes every finding a new one.
const VERSION: &str = "1";
/// Shortest run of hex digits that is an id: shorter ones are hashes in names of pods and images.
const ID_DIGITS: usize = 32;

/// Words before a time such as 30s that tell that it grows or shrinks.
const BEFORE_DURATION: &[&str] = &[
    "after", "age", "back-off", "backoff", "elapsed", "for", "in", "last", "over", "past", "since", "took",
    "waited", "waiting", "within",
];
/// Words after such a time.
const AFTER_DURATION: &[&str] = &["ago", "elapsed", "left", "old", "remaining"];
/// Words before a number that tell that it counts something.
const BEFORE_COUNT: &[&str] = &["attempt", "attempts", "count", "restarted", "restarts", "retries", "retry"];
/// Words after such a number.
const AFTER_COUNT: &[&str] = &[
    "attempts",
    "available",
    "days",
    "endpoints",
    "hours",
    "insufficient",
    "milliseconds",
    "minutes",
    "node(s)",
    "nodes",
    "pod(s)",
    "pods",
    "ready",
    "replica(s)",
    "replicas",
    "restarts",
    "retries",
    "running",
    "seconds",
    "times",
    "unavailable",
    "unready",
];

/// What is wrong with an object, as hex SHA-256: object, and of each failure its code, its text and where it can be seen.
/// It is independent of order and repetition, of what [`canonical`] takes out of texts, and of the explanation. The cluster
/// is no part of it.
pub fn fingerprint(result: &ResultSpec) -> String {
    let failures: BTreeSet<String> = result
        .error
        .iter()
        .map(|failure| {
            let places: BTreeSet<String> = failure
                .evidence
                .iter()
                .filter_map(|id| result.evidence(id))
                .map(|evidence| {
                    let object = &evidence.object;
                    let namespace = object.namespace.as_deref().unwrap_or_default();
                    hash(&[&object.group, &object.kind, namespace, &object.name, &evidence.path])
                })
                .collect();
            let mut parts = vec![failure.code.clone().unwrap_or_default(), canonical(&failure.text)];
            parts.extend(places);
            hash(&parts.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    let mut parts = vec![VERSION, &result.kind, &result.name];
    parts.extend(failures.iter().map(String::as_str));
    hash(&parts)
}

/// The texts of a result as they stand, as hex SHA-256: kind, name, parent and texts, in any order. It changes with every
/// number, so it says when to write and not when to tell.
pub fn content_hash(result: &ResultSpec) -> String {
    let texts: BTreeSet<&str> = result.error.iter().map(|failure| failure.text.as_str()).collect();
    let mut parts = vec![result.kind.as_str(), &result.name, &result.parent_object];
    parts.extend(texts);
    hash(&parts)
}

/// A text without what changes while the same thing stays wrong:
/// - points in time, and times such as 5m30s; a time of one unit, such as 30s, beside a word like after, for, ago;
/// - numbers beside a word that tells that they count (restarted 3, 4 times, 2/5 nodes, 3 replicas, x17 over), and percentages;
/// - UUIDs and other hex ids of at least 32 digits, but not digests of images;
/// - the port that a connection was opened from;
/// - the kind and amount of white space.
///
/// Every other number stays: ports, exit codes, sizes and limits tell one problem from another.
pub fn canonical(text: &str) -> String {
    let text = without_ids(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let core = |at: usize| words.get(at).map(|word| trimmed(word).to_lowercase()).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map(core).unwrap_or_default();
        let inner = trimmed(word);
        if at > 0 {
            out.push(' ');
        }
        match replaced(inner, &before, &core(at + 1)) {
            Some(new) => out.push_str(&word.replacen(inner, &new, 1)),
            None => out.push_str(word),
        }
    }
    out
}

/// A word without the marks around it.
fn trimmed(word: &str) -> &str {
    let word = word.trim_start_matches(['(', '[', '{', '<', '"', '\'', '`']);
    if word.to_lowercase().ends_with("(s)") {
        return word;
    }
    word.trim_end_matches([')', ']', '}', '>', '"', '\'', '`', '.', ',', ';', ':', '!'])
}

/// What stands in a word's place, if it changes while the same thing stays wrong.
fn replaced(word: &str, before: &str, after: &str) -> Option<String> {
    if word.is_empty() {
        return None;
    }
    let is_moment = is_rfc3339(word)
        || is_time_of_day(word)
        || (is_date(word) && is_time_of_day(after))
        || (word.starts_with("m=+") && is_number(&word[3..]));
    if is_moment {
        return Some("<time>".to_owned());
    }
    if let Some(units) = units(word) {
        let changes = units > 1 || BEFORE_DURATION.contains(&before) || AFTER_DURATION.contains(&after);
        return changes.then(|| "<duration>".to_owned());
    }
    if word.strip_suffix('%').is_some_and(is_number) {
        return Some("<n>%".to_owned());
    }
    let counts = BEFORE_COUNT.contains(&before) || AFTER_COUNT.contains(&after);
    if let Some((part, whole)) = word.split_once('/') {
        return (is_whole(part) && is_whole(whole) && counts).then(|| "<n>/<n>".to_owned());
    }
    if is_whole(word) {
        let of = after == "of" || before == "of";
        return (counts || of).then(|| "<n>".to_owned());
    }
    if word.strip_prefix('x').is_some_and(is_whole) {
        return (after == "over").then(|| "<n>".to_owned());
    }
    let (from, to) = word.split_once("->")?;
    let (host, port) = from.rsplit_once(':')?;
    is_whole(port).then(|| format!("{host}:<port>->{to}"))
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    is_whole(whole) && is_whole(part)
}

/// How many units a time such as 1h5m has; `None` if it is none.
fn units(text: &str) -> Option<usize> {
    let mut rest = text;
    let mut units = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        if !is_number(&rest[..number]) {
            return None;
        }
        rest = &rest[number..];
        let unit =
            ["ms", "µs", "us", "ns", "d", "h", "m", "s"].into_iter().find(|unit| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        units += 1;
    }
    (units > 0).then_some(units)
}

/// A text in which every id is the same.
fn without_ids(text: &str) -> String {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        // Not from within a word: `feed-...` of a name must not count as hex.
        if !bytes[at].is_ascii_hexdigit() || (at > 0 && bytes[at - 1].is_ascii_alphanumeric()) {
            at += 1;
            continue;
        }
        let end =
            bytes[at..].iter().position(|byte| !is_part(*byte)).map_or(bytes.len(), |length| at + length);
        let is_id = id_length(&bytes[at..end]).filter(|_| !text[..at].ends_with("sha256:"));
        if let Some(length) = is_id {
            out.push_str(&text[kept..at]);
            out.push_str("<id>");
            kept = at + length;
            at = kept;
        } else {
            at += bytes[at..end].iter().position(|byte| *byte == b'-').map_or(end - at, |dash| dash + 1);
        }
    }
    out.push_str(&text[kept..]);
    out
}

/// Length of the id that bytes of hex digits and dashes begin with.
fn id_length(bytes: &[u8]) -> Option<usize> {
    const UUID: [usize; 5] = [8, 4, 4, 4, 12];
    let run = bytes.iter().position(|byte| *byte == b'-').unwrap_or(bytes.len());
    if run >= ID_DIGITS {
        return Some(run);
    }
    let length = UUID.iter().sum::<usize>() + UUID.len() - 1;
    let groups = bytes.get(..length)?.split(|byte| *byte == b'-').map(<[u8]>::len);
    let ends = bytes.get(length).is_none_or(|byte| *byte == b'-');
    (groups.eq(UUID) && ends).then_some(length)
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
