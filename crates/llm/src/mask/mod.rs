//! Names of objects and secrets out of texts before they go to a model, and back into its answer.
//!
//! | module | holds |
//! |---|---|
//! | `words` | words that are no names in running text |
//! | `secrets` | where a text holds what looks like a secret |
//!
//! A mask is `masked-` and twelve consonants, made of the original by HMAC-SHA-256 under a secret of the cluster: the same
//! name has the same mask in every text, pod and run of one cluster (so that answers can be cached), another one in another
//! cluster, and nobody without the secret can try names out. Models keep it as one word, and it is a valid DNS label, so
//! that commands in an answer stay commands.
//!
//! **Undone exactly.** No letter of `masked-` is among the twelve consonants' alphabet, so that two masks, or a mask and
//! text beside it, never form a third; and whatever looks like a mask in a text is masked itself. Therefore
//! `unmask(text(x)) == x` for every `x`.
//!
//! **Which names.** All that were given, in any case of ASCII letters, where no letter or digit touches them. Names shorter
//! than four characters, numbers, English words and terms of Kubernetes are masked only where a field says that they are
//! names ([`Masking::name`], [`Masking::json`], [`Masking::naming`]): replaced in prose, `web` or `default` would leave noise.

mod secrets;
mod words;

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::LazyLock,
};

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;
use ring::hmac;
use serde_json::Value;

/// What every mask begins with.
const PREFIX: &str = "masked-";
/// Sixteen letters, none of them in [`PREFIX`], no vowel: no mask contains a word.
const ALPHABET: &[u8; 16] = b"bcfghjlnpqrtvwxz";
/// 48 bits: two of ten thousand names share a mask once in five million clusters, and are told apart even then.
const LENGTH: usize = 12;
/// Fewer bytes of a secret can be tried out.
const KEY: usize = 16;
/// Stands for a secret in a text that is not to be undone.
const REDACTED: &str = "***";
/// Fields that hold names.
const NAME_FIELDS: [&str; 22] = [
    "claimName",
    "clusterName",
    "configMapName",
    "generateName",
    "host",
    "hostname",
    "ingressClassName",
    "name",
    "namespace",
    "nodeName",
    "nominatedNodeName",
    "schedulerName",
    "secretName",
    "secretNamespace",
    "serviceAccount",
    "serviceAccountName",
    "serviceName",
    "storageClassName",
    "subdomain",
    "targetNamespace",
    "volumeName",
    "volumeClaimName",
];
/// Lists whose items have a `name` that says what they are, not whose: variables, ports, metrics.
const KINDS_OF: [&str; 6] = ["env", "ports", "conditions", "metrics", "resource", "addresses"];

static MASK: LazyLock<Regex> = LazyLock::new(|| {
    let alphabet = String::from_utf8_lossy(ALPHABET);
    Regex::new(&format!("(?i-u){PREFIX}[{alphabet}]{{{LENGTH}}}"))
        .expect("the pattern is constant and has a test")
});

/// The secret of the cluster is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret for masking has {0} bytes; {KEY} random ones are the least")]
pub struct ShortSecret(usize);

/// Masks of one cluster: its secret, and the names that it has now.
pub struct Masker {
    key: hmac::Key,
    names: Option<AhoCorasick>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.names.as_ref().map_or(0, AhoCorasick::patterns_len);
        f.debug_struct("Masker").field("names", &names).finish_non_exhaustive()
    }
}

impl Masker {
    /// Masks under `secret`, the same bytes as long as masks shall stay the same, for `names`: of namespaces, nodes, and
    /// all other objects; hosts and the like may be among them. Empty ones are skipped.
    ///
    /// # Errors
    /// The secret is too short.
    pub fn new<T: AsRef<str>>(
        secret: &[u8],
        names: impl IntoIterator<Item = T>,
    ) -> Result<Self, ShortSecret> {
        if secret.len() < KEY {
            return Err(ShortSecret(secret.len()));
        }
        let names: BTreeSet<String> =
            names.into_iter().map(|name| name.as_ref().trim().to_ascii_lowercase()).collect();
        let names: Vec<_> = names.into_iter().filter(|name| !words::is_ordinary(name)).collect();
        // Overlapping matches, so that a longer name that touches a letter does not hide a shorter one that does not.
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&names)
            .expect("names of one cluster are far fewer than an automaton can hold");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(Self { key, names: (!names.is_empty()).then_some(built) })
    }

    /// Begins to mask the texts of one question.
    pub fn masking(&self) -> Masking<'_> {
        Masking { masker: self, masks: HashMap::new(), originals: HashMap::new() }
    }

    /// The mask of a text; `again` tells apart what would have the same one.
    fn mask(&self, text: &str, again: u8) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"asya-mask-1\0");
        context.update(&[again]);
        context.update(text.as_bytes());
        let tag = context.sign();
        let nibbles = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).take(LENGTH);
        let mut mask = PREFIX.to_owned();
        mask.extend(nibbles.map(|nibble| char::from(ALPHABET[usize::from(nibble)])));
        mask
    }

    /// Where names stand alone.
    fn names(&self, text: &str) -> Vec<Range<usize>> {
        let Some(names) = &self.names else { return Vec::new() };
        names
            .find_overlapping_iter(text)
            .map(|found| found.range())
            .filter(|range| stands_alone(text, range))
            .collect()
    }
}

/// Whether no letter and no digit touches this place.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let after = text[range.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Every place where this name stands alone, those that overlap included.
fn places_of(name: &str, text: &str) -> Vec<Range<usize>> {
    let first = name.chars().next().map_or(1, char::len_utf8);
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(name).map(|at| at + from).filter(|_| !name.is_empty()) {
        places.push(at..at + name.len());
        from = at + first;
    }
    places.retain(|place| stands_alone(text, place));
    places
}

/// The texts of one question, and the way back. It holds what was masked: keep it beside the call and nowhere else.
pub struct Masking<'a> {
    masker: &'a Masker,
    /// By original.
    masks: HashMap<String, String>,
    /// By mask.
    originals: HashMap<String, Original>,
}

#[derive(Clone)]
struct Original {
    text: String,
    secret: bool,
}

impl std::fmt::Debug for Masking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masking").field("masks", &self.masks.len()).finish_non_exhaustive()
    }
}

impl Masking<'_> {
    /// A text with names and secrets masked.
    pub fn text(&mut self, text: &str) -> String {
        self.naming(text, std::iter::empty::<&str>())
    }

    /// As [`Masking::text`], and these names as well, ordinary or not: whoever wrote the text put them in from fields that
    /// hold names. An analyzer's failure says so with its sensitive values.
    pub fn naming<T: AsRef<str>>(&mut self, text: &str, names: impl IntoIterator<Item = T>) -> String {
        // Whatever looks like a mask must not be undone as one.
        let masks = MASK.find_iter(text).map(|found| found.range());
        let mut places: Vec<_> =
            self.masker.names(text).into_iter().chain(masks).map(|range| (range, false)).collect();
        for name in names {
            places.extend(places_of(name.as_ref(), text).into_iter().map(|range| (range, false)));
        }
        places.extend(secrets::find(text).into_iter().map(|range| (range, true)));
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for (range, secret) in merged(places) {
            out.push_str(&text[end..range.start]);
            end = range.end;
            out.push_str(&self.hide(&text[range], secret));
        }
        out.push_str(&text[end..]);
        out
    }

    /// The mask of a name that a field holds, whatever it is; nothing for nothing.
    pub fn name(&mut self, name: &str) -> String {
        if name.is_empty() { String::new() } else { self.hide(name, false) }
    }

    /// An object with its names masked where fields say that they are names (also in references), the values of fields
    /// and variables that are called password, token and the like, `data` of Secrets, and every other text as text.
    pub fn json(&mut self, value: &Value) -> Value {
        self.json_naming(value, &[])
    }

    /// As [`Masking::json`], and these names in its texts as well, but for ordinary ones: they are those of the object,
    /// which the masker need not know.
    pub fn json_naming(&mut self, value: &Value, names: &[&str]) -> Value {
        let names: Vec<&str> = names.iter().copied().filter(|name| !words::is_ordinary(name)).collect();
        let secret = value.get("kind").and_then(Value::as_str) == Some("Secret");
        self.inside(value, "", secret, &names)
    }

    fn inside(&mut self, value: &Value, field: &str, secret: bool, names: &[&str]) -> Value {
        match value {
            Value::String(text) => Value::String(self.naming(text, names)),
            Value::Array(items) => items.iter().map(|item| self.inside(item, field, secret, names)).collect(),
            Value::Object(map) => {
                let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
                let named_secret = secrets::is_secret_field(name);
                let mut out = serde_json::Map::new();
                for (key, value) in map {
                    let hidden = secret && matches!(field, "data" | "stringData")
                        || secrets::is_secret_field(key)
                        || named_secret && key == "value";
                    let is_name =
                        NAME_FIELDS.contains(&key.as_str()) && !(key == "name" && KINDS_OF.contains(&field));
                    let value = match value {
                        Value::String(text) if hidden && !text.is_empty() => {
                            Value::String(self.hide(text, true))
                        }
                        Value::String(text) if is_name => Value::String(self.name(text)),
                        value => self.inside(value, key, secret, names),
                    };
                    out.insert(self.naming(key, names), value);
                }
                Value::Object(out)
            }
            plain => plain.clone(),
        }
    }

    /// An answer with everything that was masked as it was. A mask at the beginning of a sentence may have become upper
    /// case; one that was changed otherwise stays.
    pub fn unmask(&self, answer: &str) -> String {
        self.undo(answer, true)
    }

    /// An answer with its names as they were; a secret becomes `***`. For what is stored and shown.
    pub fn unmask_names(&self, answer: &str) -> String {
        self.undo(answer, false)
    }

    /// JSON with everything that was masked as it was, in keys and texts: arguments of a tool call.
    pub fn unmask_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.unmask(text)),
            Value::Array(items) => items.iter().map(|item| self.unmask_json(item)).collect(),
            Value::Object(map) => Value::Object(
                map.iter().map(|(key, value)| (self.unmask(key), self.unmask_json(value))).collect(),
            ),
            plain => plain.clone(),
        }
    }

    fn undo(&self, answer: &str, secrets: bool) -> String {
        let mut out = String::with_capacity(answer.len());
        let mut end = 0;
        for found in MASK.find_iter(answer) {
            let Some(original) = self.originals.get(&found.as_str().to_ascii_lowercase()) else { continue };
            out.push_str(&answer[end..found.start()]);
            out.push_str(if original.secret && !secrets { REDACTED } else { &original.text });
            end = found.end();
        }
        out.push_str(&answer[end..]);
        out
    }

    /// The mask of a text, remembered. What was once a secret stays one.
    fn hide(&mut self, text: &str, secret: bool) -> String {
        if let Some(mask) = self.masks.get(text) {
            if let Some(original) = self.originals.get_mut(mask) {
                original.secret |= secret;
            }
            return mask.clone();
        }
        let mask = (0..=u8::MAX)
            .map(|again| self.masker.mask(text, again))
            .find(|mask| !self.originals.contains_key(mask))
            .expect("256 masks of 48 bits are not all taken");
        self.masks.insert(text.to_owned(), mask.clone());
        self.originals.insert(mask.clone(), Original { text: text.to_owned(), secret });
        mask
    }
}

/// Places in order; those that overlap become one, secret if one of them is.
fn merged(mut places: Vec<(Range<usize>, bool)>) -> Vec<(Range<usize>, bool)> {
    places.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out: Vec<(Range<usize>, bool)> = Vec::new();
    for (range, secret) in places {
        match out.last_mut() {
            Some((last, was)) if range.start < last.end => {
                last.end = last.end.max(range.end);
                *was |= secret;
            }
            _ => out.push((range, secret)),
        }
    }
    out
}

/// A text with `***` for everything that looks like a secret; not to be undone.
pub fn redact(text: &str) -> String {
    let places = merged(secrets::find(text).into_iter().map(|range| (range, true)).collect());
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (range, _) in places {
        out.push_str(&text[end..range.start]);
        out.push_str(REDACTED);
        end = range.end;
    }
    out.push_str(&text[end..]);
    out
}
