//! Bearer tokens that an operator hands out. What is kept of a token is its SHA-256: a token has enough chance in it
//! that nothing slower is needed.

use std::{collections::HashSet, fmt, path::PathBuf, time::Duration};

use asya_settings::Secret;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use super::{
    Principal, Role, Roles,
    principal::{groups, wrong_group},
};

/// How often files are looked at: a Secret that is mounted changes some time after it was changed anyway.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Shortest token: less can be guessed.
const SHORTEST: usize = 16;
/// Name of who holds the one token of [`TokensAt::admin`].
const ADMIN: &str = "admin";

/// SHA-256 of a token.
pub type Digest = [u8; SHA256_OUTPUT_LEN];

/// Tokens by their digests.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<(Digest, Principal)>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, principal)| principal)).finish()
    }
}

/// Where tokens are told.
#[derive(Clone, Default)]
pub struct TokensAt {
    /// One token with every role.
    pub admin: Option<Secret>,
    /// A YAML or JSON list of `{name, sha256 or token_file, roles, groups}`.
    pub inline: Option<String>,
    /// A file with such a list.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for TokensAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inline = self.inline.as_ref().map(|_| "***");
        let Self { admin, file, .. } = self;
        f.debug_struct("TokensAt").field("admin", admin).field("inline", &inline).field("file", file).finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: Option<String>,
    token_file: Option<PathBuf>,
    roles: Vec<Role>,
    #[serde(default)]
    groups: Vec<String>,
}

impl Tokens {
    /// Whose token has this digest. Takes the same time for any wrong one.
    pub fn owner(&self, given: &Digest) -> Option<&Principal> {
        let mut holder = None;
        for (digest, principal) in &self.0 {
            if bool::from(digest.ct_eq(given)) {
                holder = Some(principal);
            }
        }
        holder
    }

    /// The principal of this name.
    pub fn named(&self, name: &str) -> Option<&Principal> {
        self.0.iter().map(|(_, principal)| principal).find(|principal| principal.name == name)
    }

    /// True when nobody has a token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TokensAt {
    /// True when no tokens are told at all.
    pub fn is_nowhere(&self) -> bool {
        self.admin.is_none() && self.inline.is_none() && self.file.is_none()
    }

    /// Reads them.
    ///
    /// # Errors
    /// Everything that is wrong, one fault to a line. Never a token or a digest.
    pub fn read(&self) -> Result<Tokens, String> {
        let (mut tokens, mut faults) = (Vec::new(), Vec::new());
        if let Some(admin) = &self.admin {
            match admin.read().and_then(|token| long_enough(&token).map(|()| hashed(&token))) {
                Ok(digest) => {
                    tokens.push((digest, Principal::named(ADMIN, Roles::ALL)));
                }
                Err(error) => faults.push(format!("ASYA_GATEWAY_TOKEN: {error}")),
            }
        }
        let mut lists = Vec::new();
        if let Some(inline) = &self.inline {
            lists.push(("ASYA_GATEWAY_TOKENS".to_owned(), Ok(inline.clone())));
        }
        if let Some(file) = &self.file {
            let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
            lists.push((file.display().to_string(), text));
        }
        for (place, text) in lists {
            // The parser's own words could repeat a digest: its place says enough.
            let entries = text.and_then(|text| {
                serde_saphyr::from_str::<Vec<Entry>>(&text)
                    .map_err(|error| error.without_snippet().to_string())
            });
            match entries {
                Ok(entries) => {
                    for entry in entries {
                        let name = entry.name.clone();
                        match entry.checked() {
                            Ok(token) => tokens.push(token),
                            Err(error) => faults.push(format!("{place}: token {name:?}: {error}")),
                        }
                    }
                }
                Err(error) => faults.push(format!("{place}: {error}")),
            }
        }
        let mut names = HashSet::new();
        for (_, principal) in &tokens {
            if !names.insert(&principal.name) {
                faults.push(format!("two tokens have the name {:?}", principal.name));
            }
        }
        if faults.is_empty() { Ok(Tokens(tokens)) } else { Err(faults.join("\n")) }
    }

    /// Reads them again for ever. What is wrong leaves the tokens as they are and is told in the log. Cancel safe.
    pub async fn follow(self, current: watch::Sender<Tokens>) {
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.read() {
                Ok(tokens) => {
                    told = None;
                    if current.send_if_modified(|now| {
                        *now != tokens && {
                            *now = tokens;
                            true
                        }
                    }) {
                        tracing::info!("tokens have changed");
                    }
                }
                Err(error) if told.as_ref() != Some(&error) => {
                    tracing::error!(error, "the tokens stay as they were");
                    told = Some(error);
                }
                Err(_) => {}
            }
        }
    }
}

impl Entry {
    fn checked(self) -> Result<(Digest, Principal), String> {
        let Self { name, sha256, token_file, roles, groups: named } = self;
        // Names of other kinds of principals have a colon: nobody takes theirs.
        if name.is_empty() || name.contains(':') || name == "anonymous" {
            return Err("a name must not be empty, hold a colon, or be \"anonymous\"".to_owned());
        }
        if roles.is_empty() {
            return Err(format!("has no roles: {}", Role::names()));
        }
        if let Some(wrong) = named.iter().find_map(|group| wrong_group(group)) {
            return Err(wrong.to_owned());
        }
        let (all, groups) = (named.len(), groups(named));
        if groups.len() < all {
            return Err("is in too many groups, or in one twice".to_owned());
        }
        let digest = match (sha256, token_file) {
            (Some(hex), None) => unhex(&hex).ok_or("sha256 must have 64 hexadecimal digits")?,
            (None, Some(path)) => {
                let token = Secret::File(path).read()?;
                long_enough(&token)?;
                hashed(&token)
            }
            _ => return Err("needs either sha256 or token_file".to_owned()),
        };
        Ok((digest, Principal { groups, ..Principal::named(&name, roles.into_iter().collect()) }))
    }
}

fn long_enough(token: &str) -> Result<(), String> {
    if token.len() >= SHORTEST {
        Ok(())
    } else {
        Err(format!("the token has less than {SHORTEST} characters: such can be guessed"))
    }
}

/// The digest of a token.
pub(super) fn hashed(token: &str) -> Digest {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    out
}

fn unhex(text: &str) -> Option<Digest> {
    let text = text.trim();
    if text.len() != 2 * SHA256_OUTPUT_LEN || !text.is_ascii() {
        return None;
    }
    let mut out = [0; SHA256_OUTPUT_LEN];
    for (byte, at) in out.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(list: &str) -> Result<Tokens, String> {
        TokensAt { inline: Some(list.to_owned()), ..TokensAt::default() }.read()
    }

    #[test]
    fn a_token_is_known_by_its_digest_or_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let tokens = inline(&format!(
            "- {{name: ci, roles: [read, send], groups: [builds], sha256: {}}}\n- {{name: ops, roles: [admin], token_file: {}}}",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            file.display()
        ))
        .unwrap();
        let grouped = inline("[{name: a, roles: [chat], token_file: x, groups: [b, 'system:masters']}]");
        assert!(grouped.unwrap_err().contains("a cluster's own"));
        let ci = tokens.owner(&hashed("test")).unwrap();
        assert_eq!(ci.groups, ["builds"]);
        assert!(ci.name == "ci" && ci.roles.has(Role::Send) && !ci.roles.has(Role::Payload));
        assert_eq!(tokens.owner(&hashed("0123456789abcdef")).unwrap().name, "ops");
        for wrong in ["", "Test", "test ", "0123456789abcdef\n"] {
            assert_eq!(tokens.owner(&hashed(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_wrong_entry_is_named_and_no_token_is_repeated() {
        let error = inline(
            "[{name: a, roles: [read], sha256: abc}, {name: 'oidc:b', roles: [read], sha256: abc}, \
             {name: c, roles: []}, {name: d, roles: [read]}]",
        )
        .unwrap_err();
        for name in ["\"a\"", "\"oidc:b\"", "\"c\"", "\"d\""] {
            assert!(error.contains(name), "{name} is not in {error}");
        }
        assert!(inline("[{name: a, roles: [root], sha256: abc}]").unwrap_err().contains("root"));
        let short = TokensAt { admin: Some(Secret::Plain("hunter2".to_owned())), ..TokensAt::default() };
        assert!(!short.read().unwrap_err().contains("hunter2"));
    }
}
