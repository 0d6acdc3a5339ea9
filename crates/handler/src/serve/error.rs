//! How a handler says that it did not succeed, and why serving itself may fail.

use std::{io, path::PathBuf, time::Duration};

use crate::{Code, message::ErrorBody};

/// Why a handler has no result. Made from any error by `?`, which fails the request with the error's text and type.
#[derive(Debug)]
pub enum Error {
    /// The request failed.
    Failed {
        /// [`Code::Processing`] for the handler's own errors, [`Code::Validation`] for a payload that does not fit.
        code: Code,
        /// The reason, with the errors behind it.
        message: String,
        /// Name of the error's type, matched by retry policies.
        type_name: String,
    },
    /// Call again later.
    Retry {
        /// When; `None` = as the retry policy says.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// The envelope ends here, without a record.
    Drop {
        /// Why.
        reason: String,
    },
    /// To the error path, without a retry.
    Reject {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// A failure without an error behind it.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { code: Code::Processing, message: message.into(), type_name: "Error".to_owned() }
    }

    pub(super) fn into_body(self) -> ErrorBody {
        let (code, action, message) = match self {
            Self::Failed { code, message, type_name } => {
                let body = ErrorBody { mro: vec![type_name.clone()], ..ErrorBody::default() };
                let code = code.as_str().to_owned();
                return ErrorBody { code, message, type_name: Some(bare(&type_name)), ..body };
            }
            Self::Retry { after, reason } => {
                let delay_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let (code, action) = (Code::Processing.as_str().to_owned(), "retry".to_owned());
                return ErrorBody { code, action, delay_ms, message: reason, ..ErrorBody::default() };
            }
            Self::Drop { reason } => (Code::Processing, "drop", reason),
            Self::Reject { reason } => (Code::Rejected, "reject", reason),
        };
        ErrorBody {
            code: code.as_str().to_owned(),
            action: action.to_owned(),
            message,
            ..ErrorBody::default()
        }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(behind) = source {
            message = format!("{message}: {behind}");
            source = behind.source();
        }
        Self::Failed {
            code: Code::Processing,
            message,
            type_name: std::any::type_name::<E>().replace("::", "."),
        }
    }
}

/// Last part of a qualified name.
fn bare(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// Why serving ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket or a file in the socket directory cannot be made.
    #[error("cannot make {path}: {source}")]
    Make {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refuses signal handlers or connections.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}
