//! What goes wrong, by what the caller can do about it.

use std::time::Duration;

/// Longest text of a provider that is kept: enough for its sentence, not for a page of HTML.
const MOST: usize = 400;

/// Why there is no answer. Its texts hold no key and nothing that looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {detail}", self.prefix(), self.kind.name())]
pub struct Error {
    /// What it is.
    pub kind: Kind,
    /// The provider's own words, or ours.
    pub detail: String,
    provider: String,
}

/// What the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The key is wrong, missing, or may not do this.
    Auth,
    /// Nothing is left to spend at the provider; waiting does not help.
    Quota,
    /// Too many calls or tokens just now.
    RateLimited {
        /// How long to wait, if the provider says.
        after: Option<Duration>,
    },
    /// The question does not fit into the model's window.
    TooLong,
    /// The model, or a filter before or behind it, does not want to answer.
    Refused,
    /// The provider does not understand the request: an unknown model, a wrong setting.
    BadRequest,
    /// The provider cannot be reached or is in trouble.
    Unavailable {
        /// How long to wait, if the provider says.
        after: Option<Duration>,
    },
    /// No answer in time.
    Timeout,
    /// The answer is not what the provider's documentation says.
    Malformed,
    /// Our own budget is used up.
    Budget {
        /// When the next window begins.
        after: Duration,
    },
    /// The provider failed often; it is left alone for a while.
    Resting {
        /// For how long.
        after: Duration,
    },
    /// Replay has no answer to this request.
    NotRecorded {
        /// The request's hash.
        hash: String,
    },
}

impl Kind {
    /// A stable word for logs, metrics and conditions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::RateLimited { .. } => "rate_limited",
            Self::TooLong => "too_long",
            Self::Refused => "refused",
            Self::BadRequest => "bad_request",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Budget { .. } => "budget",
            Self::Resting { .. } => "resting",
            Self::NotRecorded { .. } => "not_recorded",
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Auth => "the key is not accepted",
            Self::Quota => "the quota is used up",
            Self::RateLimited { .. } => "too many calls",
            Self::TooLong => "the question is too long",
            Self::Refused => "the answer was refused",
            Self::BadRequest => "the request is not accepted",
            Self::Unavailable { .. } => "not available",
            Self::Timeout => "no answer in time",
            Self::Malformed => "the answer cannot be read",
            Self::Budget { .. } => "the budget is used up",
            Self::Resting { .. } => "resting after failures",
            Self::NotRecorded { .. } => "not recorded",
        }
    }

    /// What a person does next.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Auth => {
                "check the key (ASYA_LLM_API_KEY, or the Secret that spec.ai.secret names) and that it may use this model"
            }
            Self::Quota => {
                "raise the limit or add credit at the provider; findings are kept and explained afterwards"
            }
            Self::RateLimited { .. } => {
                "nothing, calls wait as told; if it lasts, lower ASYA_LLM_CONCURRENCY or ask the provider for a higher limit"
            }
            Self::TooLong => "choose a model with a larger window, or a prompt template with less in it",
            Self::Refused => {
                "look at what was asked; a template with other words, or another model, may be answered"
            }
            Self::BadRequest => {
                "check model, base URL and deployment against the provider's list; the provider's words say what it misses"
            }
            Self::Unavailable { .. } => {
                "nothing if it passes; else check base URL, proxy, NetworkPolicy and the provider's status page"
            }
            Self::Timeout => {
                "raise ASYA_LLM_TIMEOUT, or choose a faster model; a local model may still be loading"
            }
            Self::Malformed => {
                "check that the base URL is the provider's API and not a page or another API; then report it with the provider's name"
            }
            Self::Budget { .. } => {
                "nothing, the next window begins by itself; or raise ASYA_LLM_BUDGET_TOKENS"
            }
            Self::Resting { .. } => {
                "nothing, a call is tried when the pause is over; the error before it says what was wrong"
            }
            Self::NotRecorded { .. } => {
                "record this request once (ASYA_LLM_RECORD), or see what changed in it: another prompt is another hash"
            }
        }
    }

    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Unavailable { .. }
                | Self::Timeout
                | Self::Budget { .. }
                | Self::Resting { .. }
        )
    }

    /// How long to wait at least, if that is known.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after } | Self::Unavailable { after } => *after,
            Self::Budget { after } | Self::Resting { after } => Some(*after),
            _ => None,
        }
    }
}

impl Error {
    /// An error that no provider's name is in yet.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), provider: String::new() }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// An answer that ended before its end.
    pub(crate) fn cut() -> Self {
        Self::malformed("it ends in the middle")
    }

    /// This error with the provider's name, its text bounded, and without anything that looks like a secret; `key` is
    /// one whatever it looks like.
    pub(crate) fn at(mut self, provider: &str, key: Option<&str>) -> Self {
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            self.detail = self.detail.replace(key, "***");
        }
        self.detail = bounded(&crate::mask::redact(&self.detail));
        provider.clone_into(&mut self.provider);
        self
    }

    /// This error with the provider's name, where the words are our own.
    pub(crate) fn of(mut self, provider: &str) -> Self {
        provider.clone_into(&mut self.provider);
        self
    }

    fn prefix(&self) -> String {
        if self.provider.is_empty() { String::new() } else { format!("{}: ", self.provider) }
    }
}

/// At most [`MOST`] bytes of a text, in one line.
fn bounded(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() <= MOST {
        return text;
    }
    let cut = (0..=MOST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..cut])
}
