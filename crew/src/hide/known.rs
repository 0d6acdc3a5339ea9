//! What [`redact`] knows, with a look at the letters before its patterns: most texts and names are short and hold nothing.
//!
//! Each pattern of it needs a run of letters that no separator breaks, or a separator and one of a few words. Where neither
//! is, it has nothing to find, which is seen in one pass.

use std::borrow::Cow;

use asya_llm::mask::redact;
use serde_json::Value;

/// The shortest run in which a pattern finds something by itself: `xoxb-` and ten letters.
const RUN: usize = 15;
/// Words of the patterns, beside `key`, which is one behind [`KEYS`] only.
const WORDS: [&str; 12] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "authorization",
    "cookie",
    "sig",
    "bearer",
    "basic",
    "://",
    "-----",
];
const KEYS: [&str; 4] = ["api", "access", "private", "account"];
/// What is an ASCII letter in another case, as patterns see it.
const FOLDED: [&str; 2] = ["\u{17f}", "\u{212a}"];

/// A text with `***` for everything that looks like a secret: what [`redact`] makes of it.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if may_hold(text) { redact(text).into() } else { text.into() }
}

/// Whether what is called so holds a secret.
pub(super) fn tells_of_a_secret(name: &str) -> bool {
    // Only what its name says finds a value of one letter. As it is written here, a tab becomes a letter of the name.
    if !has_word(name) && !name.bytes().any(|byte| byte.is_ascii_control()) {
        return false;
    }
    let cookie = name.eq_ignore_ascii_case("cookie") || name.eq_ignore_ascii_case("set-cookie");
    cookie || redact(&format!("{}:\"a\"", Value::from(name))).ends_with(":\"***\"")
}

fn may_hold(text: &str) -> bool {
    let (mut run, mut separated) = (0, false);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-' | b'.') {
            run += 1;
            if run == RUN {
                return true;
            }
        } else {
            run = 0;
            separated |= matches!(byte, b':' | b'=' | b'\t'..=b'\r' | b' ');
        }
    }
    separated && has_word(text)
}

fn has_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at = |at: usize, word: &str| {
        bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    (0..bytes.len()).any(|from| match bytes[from].to_ascii_lowercase() {
        b'k' => at(from, "key") && is_of_a_kind(&bytes[..from]),
        b'a' | b'b' | b'c' | b'p' | b's' | b't' | b':' | b'-' => WORDS.iter().any(|word| at(from, word)),
        0xc5 | 0xe2 => FOLDED.iter().any(|letter| at(from, letter)),
        _ => false,
    })
}

/// Whether `key` behind this is one that opens something.
fn is_of_a_kind(before: &[u8]) -> bool {
    let before = before.strip_suffix(b"_").or_else(|| before.strip_suffix(b"-")).unwrap_or(before);
    KEYS.iter().any(|kind| {
        let from = before.len().checked_sub(kind.len());
        from.is_some_and(|from| before[from..].eq_ignore_ascii_case(kind.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least of each pattern.
    const LEAST: [&str; 34] = [
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "eyJ000000.000000",
        "://:x@",
        "://0123456789abcdef@",
        "bearer 0123456.",
        "BASIC\n0123456.",
        "sk-0123456789abcdef",
        "ghp_0123456789abcdefghij",
        "github_pat_0123456789abcdefghij",
        "glpat-0123456789abcdef",
        "xoxb-0123456789",
        "AKIA0123456789ABCDEF",
        "hf_0123456789abcdefghij",
        "hvs.0123456789abcdefghij",
        "SG.0123456789abcdef.0123456789abcdef",
        "rk_live_0123456789abcdef",
        "ya29.0123456789abcdefghij",
        "services/T000000/x",
        "pass=0",
        "x_pass: '0",
        "pwd=0",
        "secret=0",
        "token\n:=0",
        "apikey=0",
        "access-key=0",
        "private_key => 0",
        "account_key=0",
        "credential=0",
        "authorization=0",
        "-x-api-key 0",
        "cookie:0",
        "?sig=0",
        "0aA0aA0aA0aA0aA0aA0a",
    ];

    #[test]
    fn the_least_that_each_pattern_finds_is_looked_at() {
        for least in LEAST {
            assert_ne!(redact(least), least);
            for text in [least.to_owned(), format!("é{least}"), format!("{least}\u{e9}")] {
                assert_eq!(clean(&text), redact(&text));
            }
        }
        // Letters that are ASCII ones in another case.
        for text in ["coo\u{212a}ie:0", "?\u{17f}ig=0", "--to\u{212a}en 0", "--\u{17f}ecret 0"] {
            assert_ne!(redact(text), text);
            assert_eq!(clean(text), redact(text));
        }
    }

    #[test]
    fn what_holds_nothing_is_not_looked_at() {
        for text in ["", "a", "image: nginx", "monkey: 1", "a key of it", "two words", "2026-11-22", "node-7"]
        {
            assert!(!may_hold(text), "{text}");
        }
    }

    /// As it was before there was a look before.
    fn told(name: &str) -> bool {
        let cookie = name.eq_ignore_ascii_case("cookie") || name.eq_ignore_ascii_case("set-cookie");
        cookie || redact(&format!("{}:\"a\"", Value::from(name))).ends_with(":\"***\"")
    }

    #[test]
    fn a_name_that_is_another_when_it_is_written_tells_the_same() {
        for name in [
            "\token",
            "\tokens",
            "p\"assword",
            "api\\key",
            "apikey",
            "x",
            "monkey",
            "KEY",
            "\u{1a}pikey",
            "\u{1c}redential",
        ] {
            assert_eq!(tells_of_a_secret(name), told(name), "{name:?}");
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let words = WORDS
            .iter()
            .chain(&["key"])
            .chain(&KEYS)
            .chain(&FOLDED)
            .chain(&LEAST)
            .map(|word| (*word).to_owned());
        let word = prop::sample::select(words.collect::<Vec<_>>());
        let any = prop_oneof![
            word.clone(),
            word.clone().prop_map(|word| word.to_uppercase()),
            (word, 0..40_usize).prop_map(|(word, end)| word.chars().take(end).collect()),
            "[a-zA-Z0-9]{0,8}",
            "[-:=@?&_./+ \\t\\n\"'\\\\{}\\[\\],ékKs]{1,2}",
        ];
        prop::collection::vec(any, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn exactly_what_was_hidden_is_hidden(text in pieces()) {
            prop_assert_eq!(clean(&text), redact(&text));
            prop_assert_eq!(tells_of_a_secret(&text), told(&text));
        }
    }
}
