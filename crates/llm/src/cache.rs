//! What an answer is kept under.

use ring::digest;

use crate::request::hex;

/// Everything that makes an answer another one. Masks are the same in each run, so a finding that comes back finds its
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The finding's fingerprint.
    pub fingerprint: &'a str,
    /// The provider's name.
    pub provider: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The language of the answer; case and white space around it do not count.
    pub language: &'a str,
    /// The template's version ([`Prompt`](crate::prompt::Prompt)).
    pub template: &'a str,
}

impl Key<'_> {
    /// SHA-256, in hexadecimal, of the parts with their lengths: a name in any store.
    pub fn hash(&self) -> String {
        let Self { fingerprint, provider, model, language, template } = self;
        let language = language.trim().to_lowercase();
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"asya-explanation-1\0");
        for part in [fingerprint, provider, model, language.as_str(), template] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        hex(context.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KEY: Key<'_> =
        Key { fingerprint: "f", provider: "openai", model: "m", language: "english", template: "v" };

    #[test]
    fn every_part_counts_and_none_runs_into_the_next() {
        let keys = [
            KEY,
            Key { fingerprint: "g", ..KEY },
            Key { provider: "azureopenai", ..KEY },
            Key { model: "n", ..KEY },
            Key { language: "german", ..KEY },
            Key { template: "w", ..KEY },
            Key { provider: "openaim", model: "", ..KEY },
        ];
        let hashes: BTreeSet<_> = keys.iter().map(Key::hash).collect();
        assert_eq!(hashes.len(), keys.len());
        assert!(hashes.iter().all(|hash| hash.len() == 64));
    }

    #[test]
    fn a_language_is_the_same_in_any_case() {
        assert_eq!(Key { language: " English ", ..KEY }.hash(), KEY.hash());
    }
}
