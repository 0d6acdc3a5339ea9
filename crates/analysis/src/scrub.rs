//! Takes what looks like a secret out of a text. Rather one too many: what is taken out of a log is missed by nobody, what
//! is left in goes to a model, a chat and an object that many may read.

use std::ops::Range;

/// What stands for a secret.
pub const HIDDEN: &str = "***";

/// Random-looking runs shorter than this are ends of names: `7d9f8b6c5`.
const RUN: usize = 20;
/// Lower-case letters and digits without a break.
const BASE36: usize = 24;
/// Hexadecimal of 16 bytes: below it, revisions and short digests.
const HEX: usize = 32;
/// How often neighbours in a random text change between lower case, upper case and digits; words and paths do less.
const CHANGES: f64 = 0.33;
/// What `Bearer` or an address carries is a secret from so many characters on.
const TOKEN: usize = 8;

/// Parts of names whose values are secrets.
const SECRET_NAMES: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "accesskey",
    "private_key",
    "privatekey",
    "credential",
];
/// Whole names whose values are secrets.
const SECRET_WORDS: [&str; 7] =
    ["authorization", "cookie", "set-cookie", "sig", "signature", "x-amz-signature", "x-amz-security-token"];
/// Ends of names that hold names, times or numbers of secrets, and no secret.
const REFERENCES: [&str; 12] = [
    "name",
    "names",
    "ref",
    "file",
    "path",
    "type",
    "policy",
    "class",
    "namespace",
    "count",
    "tokens",
    "url",
];
/// Starts of secrets that their makers marked.
const MARKS: [&str; 20] = [
    "sk-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "xoxs-",
    "AKIA",
    "ASIA",
    "AIza",
    "hf_",
    "npm_",
    "dckr_pat_",
    "hvs.",
    "eyJ",
];
/// Values that are no secret whatever they are called.
const HARMLESS: [&str; 9] = ["", "null", "nil", "none", "true", "false", "<nil>", "{", "["];

/// The text without control characters and colours, and with `***` where something looks like a secret: private keys,
/// values of what is called password, token and the like, what `Bearer` and `Basic` carry, passwords in addresses, tokens
/// that their makers marked, and random-looking runs.
#[must_use]
pub fn scrub(text: &str) -> String {
    let text = without_controls(text);
    let mut found = private_keys(&text);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        found.extend(in_line(line).into_iter().map(|range| range.start + start..range.end + start));
        start += line.len();
    }
    hide(&text, found)
}

/// What [`scrub`] leaves of the value of what is called `name`: nothing, if that is called after a secret.
#[must_use]
pub fn scrub_value(name: &str, value: &str) -> String {
    if !value.is_empty() && is_secret_name(&name.to_ascii_lowercase()) {
        return HIDDEN.to_owned();
    }
    scrub(value)
}

fn hide(text: &str, mut found: Vec<Range<usize>>) -> String {
    found.sort_by_key(|range| range.start);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for range in found.into_iter().filter(|range| !range.is_empty()) {
        if range.start >= at {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(HIDDEN);
        }
        at = at.max(range.end);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Without escape sequences of terminals (`ESC [ … letter`) and other control characters than the end of a line.
fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' if letters.peek() == Some(&'[') => {
                letters.next();
                while letters.next().is_some_and(|letter| !letter.is_ascii_alphabetic()) {}
            }
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

/// Blocks of private keys; one that is cut off reaches to the end.
fn private_keys(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("-----BEGIN ").map(|at| at + from) {
        let head = text[start..].lines().next().unwrap_or_default();
        let end = text[start..].find("-----END ").map(|at| at + start);
        let end = end.map_or(text.len(), |end| {
            let tail = text[end + 9..].find("-----").map(|at| end + 9 + at + 5);
            tail.unwrap_or(text.len())
        });
        if head.contains("PRIVATE KEY") {
            found.push(start..end);
        }
        from = end;
    }
    found
}

fn in_line(line: &str) -> Vec<Range<usize>> {
    let mut found = addresses(line);
    let in_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    for name in runs(line, in_name) {
        let word = &line[name.clone()];
        let lower = word.to_ascii_lowercase();
        if is_secret_name(&lower) {
            found.extend(value_of(line, &name, &lower));
        }
        if matches!(lower.as_str(), "bearer" | "basic") {
            let rest = &line[name.end..];
            let value = rest.trim_start_matches(' ');
            let length = value.find(|c: char| c.is_whitespace() || is_quote(c)).unwrap_or(value.len());
            let start = line.len() - value.len();
            let plain = value[..length].bytes().all(|byte| byte.is_ascii_lowercase());
            if start > name.end && length >= TOKEN && !plain {
                found.push(start..start + length);
            }
        }
        if word.len() >= RUN - 4 && MARKS.iter().any(|mark| word.starts_with(mark)) {
            found.push(name);
        }
    }
    let in_run =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '_' | '-' | '=');
    for run in runs(line, in_run) {
        found.extend(random(line, run));
    }
    found
}

/// The runs of letters that `belongs` takes.
fn runs(line: &str, belongs: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, letter) in line.char_indices().filter(|(_, letter)| belongs(*letter)) {
        let end = at + letter.len_utf8();
        match found.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => found.push(at..end),
        }
    }
    found
}

const fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '`')
}

/// Whether what is called so, in lower case, holds a secret.
pub(crate) fn is_secret_name(lower: &str) -> bool {
    let bare = lower.trim_matches(['-', '.']);
    SECRET_WORDS.contains(&bare)
        || (SECRET_NAMES.iter().any(|part| bare.contains(part))
            && !REFERENCES.iter().any(|end| bare.ends_with(end)))
}

/// The value after a name: behind `=`, `:` or `=>`, or, of a flag, a blank.
fn value_of(line: &str, name: &Range<usize>, lower: &str) -> Option<Range<usize>> {
    let rest = &line[name.end..];
    let sign = rest.trim_start_matches(['"', '\'', '\\', ' ']);
    let after = sign.strip_prefix(":=").or_else(|| sign.strip_prefix("=>"));
    let after = after.or_else(|| sign.strip_prefix(['=', ':']));
    let value = match after {
        Some(value) => value.trim_start_matches([' ', '\\']),
        None if lower.starts_with('-') && rest.starts_with(' ') => rest.trim_start(),
        None => return None,
    };
    let start = line.len() - value.len();
    if let Some(quote) = value.chars().next().filter(|letter| is_quote(*letter)) {
        let inside = &value[1..];
        let end = closing(inside, quote).unwrap_or(inside.trim_end().len());
        return Some(start + 1..start + 1 + end).filter(|range| !range.is_empty());
    }
    // `Authorization: Bearer x`: the value is what the scheme carries.
    let mut from = 0;
    for scheme in ["bearer ", "basic ", "token ", "digest "] {
        if value.get(..scheme.len()).is_some_and(|text| text.eq_ignore_ascii_case(scheme)) {
            from = scheme.len();
        }
    }
    let rest = &value[from..];
    let ends = |letter: char| {
        letter.is_whitespace()
            || is_quote(letter)
            || matches!(letter, '<' | '>' | ',' | ';' | '&' | ')' | '}' | ']')
    };
    let length = rest.find(ends).unwrap_or(rest.len());
    let bare = &rest[..length];
    // "failed to read token: connection refused" is prose.
    let prose = !lower.contains("pass")
        && !lower.contains("key")
        && after.is_some_and(|after| after.starts_with(' '))
        && bare.bytes().all(|byte| byte.is_ascii_alphabetic())
        && rest[length..].trim_start().starts_with(|letter: char| letter.is_ascii_alphabetic());
    if HARMLESS.contains(&bare) || (prose && from == 0) {
        return None;
    }
    Some(start + from..start + from + length)
}

/// Where a quoted value ends: at the next quote without a backslash before it.
fn closing(inside: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in inside.char_indices() {
        if letter == quote && !escaped {
            return Some(at);
        }
        escaped = letter == '\\' && !escaped;
    }
    None
}

/// Passwords and tokens in addresses: `scheme://user:password@host`.
fn addresses(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = line[from..].find("://").map(|at| at + from + 3) {
        let rest = &line[start..];
        let length = rest
            .find(|c: char| c.is_whitespace() || is_quote(c) || matches!(c, '<' | '>'))
            .unwrap_or(rest.len());
        let address = &rest[..length];
        let host = address.find('/').unwrap_or(length);
        // A password may contain a slash; a port may not.
        let port = address[..host]
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let scope = if address[..host].contains('@') || port || !address[..host].contains(':') {
            host
        } else {
            length
        };
        if let Some(at) = address[..scope].rfind('@') {
            let user = &address[..at];
            match user.find(':') {
                Some(colon) => found.push(start + colon + 1..start + at),
                None if user.len() >= 2 * TOKEN => found.push(start..start + at),
                None => {}
            }
        }
        from = start;
    }
    found
}

/// What of a run looks random: all of it, or parts between slashes and the like.
fn random(line: &str, run: Range<usize>) -> Vec<Range<usize>> {
    let whole = &line[run.clone()];
    let before = &line[..run.start];
    if before.ends_with("sha256:") || before.ends_with("sha512:") || is_uuid(whole) {
        return Vec::new();
    }
    if is_random(whole) {
        return vec![run];
    }
    let (mut parts, mut at) = (Vec::new(), run.start);
    for part in whole.split(['/', '-', '_', '=']) {
        if is_random(part) {
            parts.push(at..at + part.len());
        }
        at += part.len() + 1;
    }
    parts
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_random(text: &str) -> bool {
    if text.len() < RUN {
        return false;
    }
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 1_u8,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    let classes: Vec<u8> = text.bytes().map(class).collect();
    let has = |class: u8| classes.contains(&class);
    let pairs = || classes.iter().zip(classes.iter().skip(1)).filter(|(a, b)| **a != 0 && **b != 0);
    let changed = pairs().filter(|(a, b)| a != b).count();
    // Counts within one line: exact as f64.
    let changes = changed as f64 / pairs().count().max(1) as f64;
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (has(1), has(2), has(3)) {
        (true, true, true) => changes >= CHANGES,
        (true, true, false) | (true, false, true) if hex => text.len() >= HEX,
        (true, true, false) => text.len() >= BASE36 && !has(0) && changes >= CHANGES,
        (true, false, true) => !has(0) && changes >= 0.2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_every_form_are_hidden() {
        for (text, expected) in [
            ("PASSWORD=hunter2", "PASSWORD=***"),
            ("password: hunter", "password: ***"),
            ("DB_PASSWORD: 'two words' ok", "DB_PASSWORD: '***' ok"),
            (r#"{"password": "a\"b, c", "user": "x"}"#, r#"{"password": "***", "user": "x"}"#),
            (r#"{"client_secret":"s","n":1}"#, r#"{"client_secret":"***","n":1}"#),
            ("GET /x?access_token=abc&user=me", "GET /x?access_token=***&user=me"),
            ("map[token:abc user:me]", "map[token:*** user:me]"),
            ("run --db-password hunter2 --port 5432", "run --db-password *** --port 5432"),
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
            ("authorization=Basic dXNlcjpwYXNz", "authorization=Basic ***"),
            ("sent Bearer abc.def-123 to it", "sent Bearer *** to it"),
            ("Set-Cookie: session=abc; Path=/", "Set-Cookie: ***; Path=/"),
            ("dial postgres://app:p4$$w@rd@db:5432/x failed", "dial postgres://app:***@db:5432/x failed"),
            ("redis://:hunter2@cache", "redis://:***@cache"),
            ("amqp://u:pa/ss@host/v", "amqp://u:***@host/v"),
            ("clone https://x0123456789abcdefgh@github.com/a/b", "clone https://***@github.com/a/b"),
            ("key sk-abcdefghijklmnop1234 used", "key *** used"),
            ("AKIAIOSFODNN7EXAMPLE", "***"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N, bad", "got ***, bad"),
            ("value cGFzc3dvcmQxMjM0NTY3ODkw== end", "value *** end"),
            ("id 5f4dcc3b5aa765d61d8327deb882cf99", "id ***"),
            ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b", "a *** b"),
            ("a -----BEGIN PRIVATE KEY-----\nMIIE", "a ***"),
            ("password=\"unclosed and more", "password=\"***"),
            ("secret=é€ß", "secret=***"),
        ] {
            assert_eq!(scrub(text), expected);
            assert_eq!(scrub(expected), expected, "twice is once");
        }
    }

    #[test]
    fn what_is_called_after_a_secret_is_hidden_whatever_it_looks_like() {
        for (name, value, expected) in [
            ("Admin-Password", "plain", "***"),
            ("API Token", "plain", "***"),
            ("Password", "", ""),
            ("Secret Name", "db", "db"),
            ("Status", "token=plain", "token=***"),
            ("Ready", "1/1", "1/1"),
        ] {
            assert_eq!(scrub_value(name, value), expected, "{name}");
        }
    }

    #[test]
    fn what_clusters_say_every_day_stays() {
        for text in [
            "Back-off restarting failed container web in pod checkout-7d9f8b6c5-x2x4z_prod(3f2a1b4c-0d5e-4f6a-8b7c-9d0e1f2a3b4c)",
            "MountVolume.SetUp failed for volume \"kube-api-access-abcde\" : secret \"tls\" not found",
            "failed to fetch token: connection refused",
            "image registry.k8s.io/pause@sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
            "GET http://web:8080/users/@me failed",
            "basic authentication is required",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "2026-11-21T19:20:38.123456789Z ip-10-0-3-7.eu-west-1.compute.internal",
            "password: \nmax_tokens: 2048 secretName: tls passwordFile=/run/pw token=null",
            "",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn colours_and_control_characters_go() {
        assert_eq!(scrub("\u{1b}[31;1mERROR\u{1b}[0m\tno\u{7}\r\nnext"), "ERROR no\nnext");
        assert_eq!(scrub("cut \u{1b}["), "cut ");
    }

    #[test]
    fn odd_texts_do_not_panic() {
        for text in [
            "://",
            "://@",
            "a://:@",
            "password",
            "password=",
            "--token",
            "--token ",
            "token:=",
            "-----BEGIN ",
            "bearer",
            "é=é://ü:ö@ä",
            "\"'`",
            "secret=\\\"x",
        ] {
            let _ = scrub(text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_scrubbed_and_has_no_controls_then(text in r#"([a-zA-Z0-9é=:@/"'{}&. \\-]|://|token|password|Bearer |-----BEGIN |\n|\x1b\[){0,40}"#) {
            let scrubbed = scrub(&text);
            proptest::prop_assert!(scrubbed.chars().all(|letter| letter == '\n' || !letter.is_control()));
        }

        #[test]
        fn a_password_never_stays(before in "[a-z ]{0,12}", secret in "[A-Za-z0-9!%+]{6,30}", after in "( [a-z ]{0,12})?") {
            let text = format!("{before} password={secret}{after}");
            proptest::prop_assert!(!scrub(&text).contains(&format!("={secret}")), "{}", text);
        }
    }
}
