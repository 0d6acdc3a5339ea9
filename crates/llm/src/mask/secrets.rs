//! Where a text holds what looks like a secret. Rather one too many: what is masked comes back in the answer.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::words::is_word;

/// Random-looking runs shorter than this are parts of names: `7d9f8b6c5`.
const RUN: usize = 20;
/// Hexadecimal of 16 bytes: below it, revisions and short digests.
const HEX: usize = 32;
/// Lower-case letters and digits without a break.
const BASE36: usize = 24;
/// How often neighbours in a random text change between lower case, upper case and digits: random base64 0.6, hexadecimal
/// 0.47, CamelCase words with a number in them about 0.3, paths and names 0.1.
const CHANGES: f64 = 0.33;

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($text).expect("the pattern is constant and has a test"));
    };
}

// An unfinished block hides the rest.
pattern!(
    PRIVATE_KEY,
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)"
);
pattern!(JWT, r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*");
pattern!(URL_PASSWORD, r#"://[^\s/:@"'<>]*:([^\s"'<>]+)@"#);
pattern!(URL_TOKEN, r#"://([^\s/:@"'<>]{16,})@"#);
pattern!(AUTHORIZATION, r"(?i-u)\b(?:bearer|basic)\s+([a-z0-9._~+/=-]{8,})");
pattern!(
    KNOWN,
    r"(?x-u) \b (?:
      sk-[A-Za-z0-9_-]{16,} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{16,}
    | xox[abeoprs]-[A-Za-z0-9-]{10,} | (?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16} | AIza[0-9A-Za-z_-]{30,} | hf_[A-Za-z0-9]{20,}
    | gsk_[A-Za-z0-9]{20,} | npm_[A-Za-z0-9]{30,} | dckr_pat_[A-Za-z0-9_-]{20,} | hv[sbr]\.[A-Za-z0-9_-]{20,}
    | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,} | [rs]k_(?:live|test)_[A-Za-z0-9]{16,} | ya29\.[A-Za-z0-9_-]{20,}
    | AGE-SECRET-KEY-1[A-Z0-9]{50,} | (?:services|workflows)/T[A-Z0-9]{6,}/[A-Za-z0-9/]+ )"
);
// A word that says "secret", then `=`, `:` and the like, up to the value and its quote.
pattern!(
    ASSIGNED,
    r#"(?x)(?i-u: \b (?: [a-z0-9_.-]* [_.-] )? pass | [a-z0-9_.-]* (?: passw(?:or)?d | passphrase | pwd | secret | token | api[_-]?key | access[_-]?key
        | private[_-]?key | account[_-]?key | credential | authorization ) [a-z0-9_.-]* )
      (["'\\]*) \s* (:=|=>|=|:) [\ \t]* (\\*["'])?"#
);
pattern!(
    FLAG,
    r#"(?i)(?:^|[\s"'\[])--?[a-z0-9-]*(?:password|passwd|secret|token|api-?key|access-?key)[a-z0-9-]*[ \t]+["']?([^\s"'-][^\s"']*)"#
);
pattern!(COOKIE, r"(?i)\b(?:set-)?cookie:[ \t]*([^\r\n]+)");
pattern!(
    SIGNATURE,
    r"(?i)[?&](?:sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token)=([^\s&]+)"
);
pattern!(RUNS, r"[A-Za-z0-9+/_-]{20,}={0,2}");
pattern!(
    SECRET_NAME,
    r"(?i-u)passw(?:or)?d|passphrase|(?:^|[_.-])pass$|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential"
);
// Fields whose names say secret and that hold names: of Secrets, of keys in them.
pattern!(REFERENCE, r"(?i-u)(?:name|ref|file|path|type|policy|class|namespace|pullsecret)s?$");

/// Whether a field or variable of this name holds a secret.
pub(super) fn is_secret_field(name: &str) -> bool {
    SECRET_NAME.is_match(name) && !REFERENCE.is_match(name)
}

/// All places, in any order; they may overlap.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    found.extend(
        [&*PRIVATE_KEY, &*JWT, &*KNOWN].into_iter().flat_map(|p| p.find_iter(text)).map(|m| m.range()),
    );
    let group = |pattern: &'static Regex| pattern.captures_iter(text).filter_map(|found| found.get(1));
    found.extend(group(&URL_PASSWORD).filter(|m| !is_port(m.as_str())).map(|m| m.range()));
    found.extend(group(&URL_TOKEN).chain(group(&SIGNATURE)).chain(group(&COOKIE)).map(|m| m.range()));
    let words = group(&AUTHORIZATION).chain(group(&FLAG));
    found.extend(words.filter(|m| !is_plain(m.as_str())).map(|m| m.range()));
    found.extend(assigned(text));
    found.extend(RUNS.find_iter(text).flat_map(|run| random(text, run.range())));
    found.retain(|range| !range.is_empty());
    found
}

/// `host:8080/path@x` is no password.
fn is_port(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=5).contains(&digits) && text[digits..].starts_with('/')
}

/// A word of prose: "basic authentication".
fn is_plain(text: &str) -> bool {
    let text = text.trim_end_matches(['.', ',', ':', ';', '!', '?']);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Values of what is called password, token and the like.
fn assigned(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for key in ASSIGNED.captures_iter(text) {
        let whole = key.get(0).expect("a match has a whole");
        let name = &text[whole.start()..key.get(1).map_or(whole.end(), |behind| behind.start())];
        if REFERENCE.is_match(name) {
            continue;
        }
        let whole = whole.end();
        let quote = key.get(3).map_or("", |quote| quote.as_str());
        let quoted_key = key.get(1).is_some_and(|quote| !quote.is_empty());
        let rest = &text[whole..];
        let value = if quote.is_empty() { unquoted(rest) } else { quoted(rest, quote) };
        // "failed to read token: connection refused" is prose.
        let prose = quote.is_empty() && !quoted_key && &key[2] == ":";
        let word = value.trim_end_matches(|c: char| c.is_ascii_punctuation());
        let harmless = prose && (is_word(word) || word.parse::<u16>().is_ok())
            || matches!(word, "" | "null" | "true" | "false" | "nil" | "[" | "{");
        let scheme =
            ["bearer", "basic", "token", "digest", "negotiate"].iter().any(|s| value.eq_ignore_ascii_case(s));
        if scheme {
            // The credentials follow their scheme.
            let behind = &rest[value.len()..];
            let blank = behind.len() - behind.trim_start_matches([' ', '\t']).len();
            let from = whole + value.len() + blank;
            found.push(from..from + unquoted(&behind[blank..]).len());
        } else if !harmless {
            found.push(whole..whole + value.len());
        }
    }
    found
}

/// Up to the quote that closes; an unclosed one ends with its line.
fn quoted<'a>(rest: &'a str, quote: &str) -> &'a str {
    let mut from = 0;
    while let Some(at) = rest[from..].find(quote).map(|at| at + from) {
        let slashes = rest[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if slashes % 2 == 0 || quote.len() > 1 {
            return &rest[..at];
        }
        from = at + quote.len();
    }
    rest.split(['\n', '\r']).next().unwrap_or_default()
}

/// Up to white space or a quote; brackets and commas at the end are the text's.
fn unquoted(rest: &str) -> &str {
    let end =
        rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).unwrap_or(rest.len());
    let mut value = &rest[..end];
    // The next parameter of an address or a form.
    let mut from = 0;
    while let Some(at) = value[from..].find('&').map(|at| at + from) {
        let next = &value[at + 1..];
        let name =
            next.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.' | '[' | ']'));
        if name.is_some_and(|end| end > 0 && next[end..].starts_with('=')) {
            value = &value[..at];
            break;
        }
        from = at + 1;
    }
    value.trim_end_matches([',', ';', ')', '}', ']'])
}

/// What of a run of letters and digits looks random: all of it, or parts between separators.
fn random(text: &str, run: Range<usize>) -> Vec<Range<usize>> {
    let whole = &text[run.clone()];
    let digest = text[..run.start].ends_with("sha256:") || text[..run.start].ends_with("sha512:");
    if digest || is_uuid(whole) {
        return Vec::new();
    }
    if is_random(whole) {
        return vec![run];
    }
    let mut parts = Vec::new();
    let mut at = run.start;
    for part in whole.split(['/', '-', '_']) {
        if part.len() >= RUN && is_random(part) {
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
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    let classes: Vec<_> = text.bytes().map(class).collect();
    let has = |class: i32| classes.contains(&class);
    let known = classes.iter().filter(|class| **class != 0).count();
    let pairs: Vec<_> = classes.windows(2).filter(|pair| pair[0] != 0 && pair[1] != 0).collect();
    let changed = pairs.iter().filter(|pair| pair[0] != pair[1]).count();
    // Lengths are those of one text: exact as f64.
    let changes = changed as f64 / pairs.len().max(1) as f64;
    let unbroken = !has(0) || text.trim_end_matches('=').bytes().all(|byte| byte.is_ascii_alphanumeric());
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (has(1), has(2), has(3)) {
        (true, true, true) => known >= RUN && changes >= CHANGES,
        (true, true, false) if hex => known >= HEX && changes >= 0.2,
        (true, true, false) => known >= BASE36 && unbroken && changes >= CHANGES,
        (true, false, true) => known >= RUN && unbroken && changes >= 0.2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut ranges = find(text);
        ranges.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut kept: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            if kept.last().is_none_or(|last| range.end > last.end) {
                kept.push(range);
            }
        }
        kept.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn secrets_of_every_form_are_found() {
        for (text, secrets) in [
            ("dial postgres://app:p4$$w@rd@db:5432/x failed", vec!["p4$$w@rd"]),
            ("redis://:hunter2@cache", vec!["hunter2"]),
            ("clone https://x0123456789abcdefgh@github.com/a/b", vec!["x0123456789abcdefgh"]),
            ("Authorization: Bearer abc.def-123", vec!["abc.def-123"]),
            ("PASSWORD=hunter2", vec!["hunter2"]),
            ("DB_PASSWORD: 'two words' ok", vec!["two words"]),
            (r#"{"password": "a\"b, c", "user": "x"}"#, vec![r#"a\"b, c"#]),
            (r#"log: {\"api_key\":\"k y\",\"n\":1}"#, vec!["k y"]),
            ("GET /x?access_token=abc&user=me", vec!["abc"]),
            ("GET /x?token=a&b!c", vec!["a&b!c"]),
            ("DB_PASS=hunter2 bypass=no pass: x1", vec!["hunter2", "x1"]),
            ("Cookie: sid=1; theme=dark\nHost: x", vec!["sid=1; theme=dark"]),
            ("Server=db;SharedAccessKey=abc/d=;Pooling", vec!["abc/d=;Pooling"]),
            ("map[token:abc user:me]", vec!["abc"]),
            ("(secret=abc)", vec!["abc"]),
            ("run --db-password hunter2 --port 5432", vec!["hunter2"]),
            ("key sk-abcdefghijklmnop1234 used", vec!["sk-abcdefghijklmnop1234"]),
            ("AKIAIOSFODNN7EXAMPLE", vec!["AKIAIOSFODNN7EXAMPLE"]),
            ("https://blob/x?sv=1&sig=ab%2Fcd&se=2", vec!["ab%2Fcd"]),
            ("https://hooks.slack.com/services/T0000000/B000/XXXX", vec!["services/T0000000/B000/XXXX"]),
            ("value cGFzc3dvcmQxMjM0NTY3ODkw== end", vec!["cGFzc3dvcmQxMjM0NTY3ODkw=="]),
            ("id 5f4dcc3b5aa765d61d8327deb882cf99", vec!["5f4dcc3b5aa765d61d8327deb882cf99"]),
            (
                "at wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY.",
                vec!["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
            ),
            (
                "/var/lib/something/volumes/kubernetes/wJalrXUtnFEMIK7MDENGbPxRf/data/mounted/here",
                vec!["wJalrXUtnFEMIK7MDENGbPxRf"],
            ),
        ] {
            assert_eq!(found(text), secrets, "{text}");
        }
    }

    #[test]
    fn a_jwt_and_a_private_key_are_found_whole() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
        assert_eq!(found(&format!("got {jwt}, bad")), [jwt]);
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----";
        assert_eq!(found(&format!("a\n{key}\nb")), [key]);
        let cut = "-----BEGIN PRIVATE KEY-----\nMIIEabc";
        assert_eq!(found(&format!("a {cut}")), [cut], "one that was cut hides the rest");
    }

    #[test]
    fn what_clusters_say_every_day_is_no_secret() {
        for text in [
            "Back-off restarting failed container web in pod checkout-7d9f8b6c5-x2x4z_prod(3f2a1b4c-0d5e-4f6a-8b7c-9d0e1f2a3b4c)",
            "MountVolume.SetUp failed for volume \"kube-api-access-abcde\" : secret \"tls\" not found",
            "couldn't find key password in Secret default/db",
            "failed to fetch token: connection refused",
            "error: secret: not found",
            "image registry.k8s.io/pause@sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
            "GET http://web:8080/users/@me failed",
            "basic authentication is required, bearer authentication too",
            "/var/lib/kubelet/pods/3f2a1b4c-0d5e-4f6a-8b7c-9d0e1f2a3b4c/volumes",
            "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
            "FailedCreatePodSandBoxBecauseOfNetwork",
            "2026-11-21T19:20:38.123456789Z",
            "ip-10-0-3-7.eu-west-1.compute.internal",
            "password: ",
            "pods task-runner-deployment-abcdef and disk-pressure-controller-1 in risk-assessment-service",
            "volume web-token refresh-controller is waiting",
            "secretName: my-tls, imagePullSecrets: regcred, passwordFile=/etc/db, tokenPath: /var/run/x",
            "max_tokens: 2048",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn fields_that_hold_secrets_are_told_from_references_to_them() {
        for name in ["password", "DB_PASSWORD", "apiKey", "client_secret", "GITHUB_TOKEN", "DB_PASS"] {
            assert!(is_secret_field(name), "{name}");
        }
        for name in
            ["secretName", "secretKeyRef", "tokenPath", "user", "DB_PASSWORD_FILE", "imagePullSecretNames"]
        {
            assert!(!is_secret_field(name), "{name}");
        }
    }
}
