//! What went wrong with a gateway, in sentences that say what to do.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::{exit::misconfigured, output::safe};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// No answer.
    #[error("gateway {url} ({from}) {why}{hint}")]
    Away { url: String, from: String, why: String, hint: &'static str },
    /// An answer that says no.
    #[error("{0}")]
    Refused(Refusal),
    /// An answer that is none of a gateway.
    #[error("{url} ({from}) does not answer like a gateway: {why}; --gateway names another address")]
    Strange { url: String, from: String, why: String },
}

/// An answer that says no (RFC 9457, and the gateway's own members).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Refusal {
    /// The status code.
    #[serde(skip)]
    pub(crate) status: StatusCode,
    /// When to come back.
    #[serde(skip)]
    pub(crate) after: Option<Duration>,
    /// What is wrong, for a person.
    #[serde(default)]
    pub(crate) detail: String,
    /// What kind of refusal it is.
    #[serde(default)]
    pub(crate) code: String,
    /// Everything that is wrong with the request.
    #[serde(default)]
    pub(crate) errors: Vec<Wrong>,
}

/// One field that is wrong.
#[derive(Debug, Deserialize)]
pub(crate) struct Wrong {
    /// Its path.
    #[serde(default)]
    pub(crate) field: String,
    /// What is wrong with it.
    #[serde(default)]
    pub(crate) reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, after, detail, code, errors } = self;
        if errors.is_empty() {
            f.write_str(&safe(detail))?;
        }
        for (number, wrong) in errors.iter().enumerate() {
            let before = if number > 0 { "; " } else { "" };
            let named = wrong.field.is_empty() || wrong.reason.starts_with(&wrong.field);
            let field = if named { String::new() } else { format!("{}: ", safe(&wrong.field)) };
            write!(f, "{before}{field}{}", safe(&wrong.reason))?;
        }
        match (*status, code.as_str()) {
            (StatusCode::UNAUTHORIZED, _) => f.write_str(
                "; name a file with a token by --token-file, ASYA_TOKEN_FILE or the profile's tokenFile",
            ),
            (StatusCode::FORBIDDEN, "denied") if detail.contains("role") => {
                f.write_str("; use a token that has it, or ask whoever gives tokens out")
            }
            (StatusCode::TOO_MANY_REQUESTS, _) if after.is_none() => f.write_str("; try again in a moment"),
            (StatusCode::SERVICE_UNAVAILABLE, _) => f.write_str("; nothing was done: try again in a moment"),
            _ => Ok(()),
        }
    }
}

impl GatewayError {
    /// The status of a refusal.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// How long to wait before the same request may succeed; `None`: it will not.
    pub(crate) fn again(&self) -> Option<Duration> {
        match self {
            Self::Away { .. } => Some(Duration::ZERO),
            Self::Refused(refusal) => {
                let passing = matches!(
                    refusal.status,
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::GATEWAY_TIMEOUT
                );
                passing.then(|| refusal.after.unwrap_or_default())
            }
            Self::Strange { .. } => None,
        }
    }

    /// For the end of the program: what the command line got wrong ends it with another code.
    pub(crate) fn told(self) -> anyhow::Error {
        match self.status() {
            Some(StatusCode::BAD_REQUEST) => misconfigured(self.to_string()),
            _ => self.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> String {
        let mut refusal: Refusal = serde_json::from_str(body).unwrap();
        refusal.status = StatusCode::from_u16(status).unwrap();
        GatewayError::Refused(refusal).to_string()
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        assert_eq!(
            refusal(
                400,
                r#"{"detail":"x","code":"invalid","errors":[{"field":"page","reason":"page is missing"},{"field":"n","reason":"too small"}]}"#
            ),
            "page is missing; n: too small"
        );
        assert!(refusal(401, r#"{"detail":"credentials are missing"}"#).contains("--token-file"));
        assert!(
            refusal(403, r#"{"detail":"the role Admin is missing","code":"denied"}"#)
                .contains("a token that has it")
        );
        assert!(refusal(503, r#"{"detail":"not available now: disk"}"#).ends_with("try again in a moment"));
    }

    #[test]
    fn what_a_gateway_says_does_not_steer_the_terminal() {
        let shown = refusal(404, "{\"detail\":\"\\u001b[2Jgone\"}");
        assert_eq!(shown, "\\u{1b}[2Jgone");
    }
}
