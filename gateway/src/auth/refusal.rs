//! Why nobody got in. What is said helps who has the token, and nobody who guesses.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use crate::rest::problem::Form;

/// Why a request was not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credentials.
    #[error("credentials are missing: send the header `Authorization: Bearer TOKEN`")]
    Missing,
    /// Credentials that are not good; says what is wrong with them.
    #[error("{0}")]
    Wrong(String),
    /// Whoever it is may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be found out now.
    #[error("credentials cannot be checked now: {0}")]
    Away(String),
    /// Too often.
    #[error("too many requests: the next one is taken in {} s", seconds(*.0))]
    Often(Duration),
    /// Wrong credentials too often from where it comes from; these were not looked at.
    #[error("too many wrong credentials from this address: the next ones are looked at in {} s", seconds(*.0))]
    Guessing(Duration),
    /// Too much at once, from everybody together.
    #[error("too many requests at a time")]
    Busy,
}

impl Refusal {
    /// The kind, for programs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Wrong(_) => "unauthenticated",
            Self::Forbidden(_) => "denied",
            Self::Away(_) | Self::Busy => "unavailable",
            Self::Often(_) | Self::Guessing(_) => "too_many_requests",
        }
    }

    /// The answer. `metadata`: where clients learn how to log in (RFC 9728).
    pub fn answer(&self, form: Form, metadata: Option<&str>) -> Response {
        let status = match self {
            Self::Missing | Self::Wrong(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Away(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Often(_) | Self::Guessing(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        let mut answer = form.reject(status, self.code(), &self.to_string());
        let header = match self {
            Self::Missing | Self::Wrong(_) => (header::WWW_AUTHENTICATE, self.challenge(metadata)),
            Self::Often(after) | Self::Guessing(after) => (header::RETRY_AFTER, seconds(*after).to_string()),
            Self::Away(_) | Self::Busy => (header::RETRY_AFTER, "1".to_owned()),
            Self::Forbidden(_) => return answer,
        };
        if let Ok(value) = HeaderValue::try_from(header.1) {
            answer.headers_mut().insert(header.0, value);
        }
        answer
    }

    fn challenge(&self, metadata: Option<&str>) -> String {
        let mut challenge = "Bearer realm=\"asya\"".to_owned();
        if let Self::Wrong(why) = self {
            let why: String = why.chars().filter(|c| c.is_ascii() && !matches!(c, '"' | '\\')).collect();
            challenge += &format!(", error=\"invalid_token\", error_description=\"{why}\"");
        }
        if let Some(metadata) = metadata {
            challenge += &format!(", resource_metadata=\"{metadata}\"");
        }
        challenge
    }
}

/// Whole seconds, rounded up.
fn seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}
