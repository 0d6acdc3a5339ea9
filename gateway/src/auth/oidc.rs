//! Bearer tokens of an identity provider.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Principal, Refusal, Role, Roles,
    verifier::{Claims, Verifier},
};

/// Who comes with a token of an identity provider, and what they may.
#[derive(Debug)]
pub struct Oidc {
    verifier: Verifier,
    /// Path to the claim with roles, from the outside in.
    claim: Vec<String>,
    /// What a value of the claim allows.
    mapping: BTreeMap<String, Roles>,
}

impl Oidc {
    /// Roles are what `claim` says (`roles`, `realm_access.roles`: a list, or words with spaces between them) by way of
    /// `mapping`; where that is empty, the names of the roles themselves.
    pub fn new(verifier: Verifier, claim: &str, mapping: BTreeMap<String, Roles>) -> Self {
        let own = |role: Role| (role.as_str().to_owned(), Roles::from_iter([role]));
        let mapping = if mapping.is_empty() { Role::ALL.map(own).into() } else { mapping };
        Self { verifier, claim: claim.split('.').map(str::to_owned).collect(), mapping }
    }

    /// Who issues the tokens.
    pub fn issuer(&self) -> &str {
        self.verifier.issuer()
    }

    /// Who comes with this token. Its name is `oidc:` and the subject: what people can change themselves, as their
    /// e-mail address, does not decide what belongs to them.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub async fn principal(&self, token: &str) -> Result<Principal, Refusal> {
        let claims = self.verifier.claims(token).await?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        Ok(Principal { name: format!("oidc:{subject}"), roles: self.roles(&claims) })
    }

    fn roles(&self, claims: &Claims) -> Roles {
        let (first, deeper) = self.claim.split_first().map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
        // A claim's own name may hold dots, as `https://example.com/roles` does.
        let whole = claims.get(&self.claim.join("."));
        let nested = || deeper.iter().try_fold(claims.get(first)?, |value, name| value.get(name));
        let words: Vec<&str> = match whole.or_else(nested) {
            Some(Value::String(words)) => words.split_whitespace().collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        words.iter().filter_map(|word| self.mapping.get(*word)).fold(Roles::NONE, |all, more| all.and(*more))
    }
}
