//! Bearer tokens of an identity provider.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Principal, Refusal, Role, Roles,
    principal::groups,
    verifier::{Claims, LEEWAY, Verifier},
};

/// What the names of people of an identity provider begin with.
pub const PREFIX: &str = "oidc:";

/// Who comes with a token of an identity provider, and what they may.
#[derive(Debug)]
pub struct Oidc {
    verifier: Verifier,
    /// Path to the claim with roles, from the outside in.
    claim: Vec<String>,
    /// The same of that with groups.
    groups: Vec<String>,
    /// What a value of the claim allows.
    mapping: BTreeMap<String, Roles>,
}

impl Oidc {
    /// Roles are what `claim` says (`roles`, `realm_access.roles`: a list, or words with spaces between them) by way of
    /// `mapping`; where that is empty, the names of the roles themselves. `groups` is the claim with the groups that somebody is
    /// in, in the same forms.
    pub fn new(verifier: Verifier, claim: &str, groups: &str, mapping: BTreeMap<String, Roles>) -> Self {
        let own = |role: Role| (role.as_str().to_owned(), Roles::from_iter([role]));
        let mapping = if mapping.is_empty() { Role::ALL.map(own).into() } else { mapping };
        let path = |claim: &str| claim.split('.').map(str::to_owned).collect();
        Self { verifier, claim: path(claim), groups: path(groups), mapping }
    }

    /// Who issues the tokens.
    pub fn issuer(&self) -> &str {
        self.verifier.issuer()
    }

    /// Who comes with this token, and when it ends, clocks that differ allowed for. Its name is `oidc:` and the subject: what people can change themselves, as their
    /// e-mail address, does not decide what belongs to them.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub async fn principal(&self, token: &str) -> Result<(Principal, Timestamp), Refusal> {
        let claims = self.verifier.claims(token).await?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let roles = words(&claims, &self.claim);
        let roles = roles
            .iter()
            .filter_map(|word| self.mapping.get(*word))
            .fold(Roles::NONE, |all, more| all.and(*more));
        let groups = groups(words(&claims, &self.groups).into_iter().map(str::to_owned));
        let until = end(&claims);
        Ok((Principal { name: format!("{PREFIX}{subject}"), roles, groups, until: Some(until) }, until))
    }
}

/// The words of a claim: a list, or words with spaces between them.
fn words<'a>(claims: &'a Claims, path: &[String]) -> Vec<&'a str> {
    let (first, deeper) = path.split_first().map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
    // A claim's own name may hold dots, as `https://example.com/roles` does.
    let whole = claims.get(&path.join("."));
    let nested = || deeper.iter().try_fold(claims.get(first)?, |value, name| value.get(name));
    match whole.or_else(nested) {
        Some(Value::String(words)) => words.split_whitespace().collect(),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// When a token is not taken any more. It has been: what cannot be told from its claims is far away.
fn end(claims: &Claims) -> Timestamp {
    let seconds = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
    let end = SignedDuration::try_from_secs_f64(seconds).ok();
    let end = end.and_then(|end| Timestamp::UNIX_EPOCH.checked_add(end).ok());
    let leeway = SignedDuration::from_secs(LEEWAY.cast_signed());
    end.and_then(|end| end.checked_add(leeway).ok()).unwrap_or(Timestamp::MAX)
}
