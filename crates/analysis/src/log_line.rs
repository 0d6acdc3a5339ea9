//! Which lines of a log tell of an error, and what is the same in two of them.

/// Words that tell of an error, as whole words.
const WORDS: [&str; 14] = [
    "error",
    "errors",
    "exception",
    "exceptions",
    "fail",
    "fails",
    "failed",
    "failure",
    "failures",
    "fatal",
    "panic",
    "panicked",
    "traceback",
    "segfault",
];
/// Ends of names of errors: `NullPointerException`, `ValueError`.
const ENDINGS: [&str; 2] = ["Exception", "Error"];
/// A word before that takes it back: `no errors`, `0 failed`; `on` makes a rule of it: `restarts on failure`.
const DENIALS: [&str; 9] = ["no", "not", "without", "never", "zero", "0", "non", "on", "upon"];
/// Words that may stand between: `no more errors`.
const BETWEEN: [&str; 8] = ["more", "further", "other", "known", "new", "fatal", "critical", "unexpected"];
/// A word after that makes a thing of it: `error handler registered`.
const THINGS: [&str; 16] = [
    "handling",
    "handler",
    "handlers",
    "reporting",
    "log",
    "logs",
    "logging",
    "page",
    "pages",
    "rate",
    "count",
    "budget",
    "recovery",
    "correction",
    "tolerance",
    "threshold",
];
/// Values that say there was none: `errors=0`, `"error": null`.
const NONE: [&str; 7] = ["0", "nil", "null", "none", "false", "n/a", "undefined"];
/// Names of the field that has the level.
const LEVELS: [&str; 6] = ["level", "lvl", "severity", "loglevel", "log.level", "levelname"];
const LOW: [&str; 9] = ["info", "information", "debug", "trace", "notice", "verbose", "inf", "dbg", "trc"];
const HIGH: [&str; 11] =
    ["error", "err", "eror", "fatal", "panic", "critical", "crit", "alert", "emerg", "emergency", "severe"];

/// How far into a line a level without a name may stand: after date, time and the like.
const HEAD: usize = 6;

/// How much of a line is looked at, in bytes; more is a dump.
const LONGEST: usize = 4096;

/// How many characters of a shape are kept.
const SHAPE: usize = 200;

/// One word of a line, and what stands before and after it.
struct Word<'a> {
    text: &'a str,
    before: &'a str,
    after: &'a str,
}

/// Whether the line tells of an error. Its level decides where it has one: what a program calls information is none. Else
/// whole words do, unless the line takes them back: `no errors`, `failed=0`.
#[must_use]
pub fn tells_error(line: &str) -> bool {
    let line = head(line, LONGEST);
    let words = words(line);
    if let Some(error) = level(line, &words) {
        return error;
    }
    words.iter().enumerate().any(|(n, word)| {
        let lower = word.text.to_lowercase();
        let is = |list: &[&str], word: &str| list.contains(&word.to_lowercase().as_str());
        let told = WORDS.contains(&lower.as_str())
            || is_named(word.text)
            || (lower == "err" && value(word.after).is_some());
        if !told {
            return false;
        }
        let before = |steps: usize| n.checked_sub(steps).and_then(|at| words.get(at));
        let near = word.before.trim().is_empty();
        let denied = near
            && before(1).is_some_and(|last| {
                is(&DENIALS, last.text)
                    || (is(&BETWEEN, last.text) && before(2).is_some_and(|first| is(&DENIALS, first.text)))
            });
        let next = words.get(n + 1);
        let thing = next.is_some_and(|next| next.before.trim().is_empty() && is(&THINGS, next.text));
        let none = value(word.after).is_some_and(|value| is(&NONE, value) || value.is_empty())
            || next.is_some_and(|next| next.before.trim().is_empty() && next.text == "0");
        !denied && !thing && !none
    })
}

/// What is the same in lines that tell the same error: without the time at its start, and with `#` for each word that has
/// a digit in it.
#[must_use]
pub fn shape(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let number = word.bytes().any(|byte| byte.is_ascii_digit());
        match (number, words.last()) {
            (true, None | Some(&"#")) => {}
            (true, Some(_)) => words.push("#"),
            (false, _) => words.push(word),
        }
    }
    words.join(" ").chars().take(SHAPE).collect()
}

/// At most `bytes` of the line, ending with a whole character.
fn head(line: &str, bytes: usize) -> &str {
    let mut end = bytes.min(line.len());
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

/// Words with what belongs to a name: `error_log`, `error.html` and `/var/log/error` are words of their own.
fn words(line: &str) -> Vec<Word<'_>> {
    let belongs = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/' | '$');
    let mut found = Vec::new();
    let (mut rest, mut before_from) = (line, 0);
    while let Some(at) = rest.find(belongs) {
        let start = line.len() - rest.len() + at;
        let run = &line[start..];
        let length = run.find(|letter| !belongs(letter)).unwrap_or(run.len());
        let text = run[..length].trim_matches(['.', '-', '/']);
        if !text.is_empty() {
            found.push(Word { text, before: &line[before_from..start], after: &run[length..] });
            before_from = start + length;
        }
        rest = &run[length..];
    }
    found
}

/// Whether it is the name of an error, with or without its package.
fn is_named(word: &str) -> bool {
    let name = word.rsplit(['.', '$', '/']).next().unwrap_or_default();
    name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// The value after a name, if `=` or `:` follows it.
fn value(after: &str) -> Option<&str> {
    let value = after.trim_start_matches(['"', '\'', '\\', ' ']).strip_prefix(['=', ':'])?;
    let value = value.trim_start_matches(['"', '\'', '\\', ' ', '<', '(']);
    let belongs = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/');
    Some(value[..value.find(|letter| !belongs(letter)).unwrap_or(value.len())].trim_end_matches('.'))
}

/// Whether the level of the line is that of an error; nothing if it has none, or one between.
fn level(line: &str, words: &[Word<'_>]) -> Option<bool> {
    // klog: `E0612 12:00:00.000000 1 main.go:5] …`.
    let mut letters = line.chars();
    if let Some(first @ ('I' | 'E' | 'F')) = letters.next()
        && letters.clone().take(4).filter(char::is_ascii_digit).count() == 4
        && letters.nth(4) == Some(' ')
    {
        return Some(first != 'I');
    }
    let judged = |value: &str| {
        let value = value.to_lowercase();
        if HIGH.contains(&value.as_str()) {
            Some(true)
        } else if LOW.contains(&value.as_str()) {
            Some(false)
        } else {
            None
        }
    };
    for word in words {
        if LEVELS.contains(&word.text.to_lowercase().as_str())
            && let Some(value) = value(word.after)
        {
            // Of pino and bunyan: 30 is information, 50 an error.
            return judged(value).or_else(|| match value.parse::<u8>().ok()? {
                10..=39 => Some(false),
                50..=60 => Some(true),
                _ => None,
            });
        }
    }
    // Upper case and near the start: `2026-01-01 12:00:00 INFO …`, `[INFO] …`.
    words.iter().take(HEAD).filter(|word| word.text.bytes().all(|byte| byte.is_ascii_uppercase())).find_map(
        |word| {
            let low = LOW.contains(&word.text.to_lowercase().as_str());
            low.then_some(false)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_tell_of_an_error() {
        for line in [
            "ERROR cannot reach db",
            "2026-06-01 12:00:00,123 [main] ERROR com.shop.Web - boom",
            "Error: listen EADDRINUSE",
            "panic: runtime error: index out of range",
            "thread 'main' panicked at src/main.rs:5",
            "Traceback (most recent call last):",
            "java.lang.NullPointerException: x is null",
            "ValueError: bad",
            "level=error msg=\"cannot bind\"",
            "{\"level\":\"error\",\"msg\":\"cannot bind\"}",
            "{\"level\":50,\"msg\":\"cannot bind\"}",
            "{\"severity\":\"CRITICAL\",\"message\":\"x\"}",
            "E0612 12:00:00.000000       1 main.go:5] cannot sync",
            "err=\"connection refused\" msg=sync",
            "WARN request failed, trying again",
            "job failed: 3 of 5",
            "3 errors",
        ] {
            assert!(tells_error(line), "{line}");
        }
    }

    #[test]
    fn words_count_and_not_parts_of_them_and_no_errors_is_no_error() {
        for line in [
            "no errors",
            "No errors found.",
            "finished without error",
            "0 errors, 0 failed",
            "errors: 0",
            "failed=0 ok=5",
            "{\"error\":null,\"ok\":true}",
            "{\"error\": \"\"}",
            "error=<nil>",
            "err=nil",
            "did not fail",
            "no more errors",
            "failover to replica",
            "failsafe on",
            "writing /var/log/error.log",
            "error_log off",
            "error-free build",
            "onError registered",
            "terror",
            "error handler registered",
            "restarts on failure",
            "healthy",
            "",
            "level=info msg=\"error rate is low\"",
            "{\"level\":30,\"msg\":\"retry failed once\"}",
            "2026-06-01 12:00:00 INFO retry after failure worked",
            "[DEBUG] exception mapping loaded",
            "I0612 12:00:00.000000       1 main.go:5] failed to find cache, making it",
            "tests passed: 5, failures 0",
        ] {
            assert!(!tells_error(line), "{line}");
        }
    }

    #[test]
    fn two_lines_of_one_error_have_one_shape() {
        let first = shape("2026-06-01T12:00:00Z ERROR cannot reach 10.0.0.7:5432 after 3 tries (id=7f3a)");
        let second = shape("2026-06-01T12:00:09Z ERROR cannot reach 10.0.0.9:5432 after 4 tries (id=99b0)");
        assert_eq!(first, second);
        assert_eq!(first, "ERROR cannot reach # after # tries #");
        assert_eq!(shape(&"é".repeat(500)).chars().count(), SHAPE);
        assert_eq!(shape("12:00 7"), "");
    }

    #[test]
    fn odd_lines_do_not_panic() {
        for line in [
            "é",
            "error",
            "error=",
            "err:",
            "\u{0}error",
            "....",
            "E061",
            "level=",
            &"é".repeat(5000),
            "I0612",
        ] {
            let _ = tells_error(line);
            let _ = shape(line);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_judged(line in r#"([a-zA-Z0-9é=:"'{}. _/-]|error|level=|no |\[){0,60}"#) {
            let _ = tells_error(&line);
            proptest::prop_assert!(shape(&line).chars().count() <= SHAPE);
        }
    }
}
