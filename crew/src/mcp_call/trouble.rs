//! What went wrong, and whether the call may have been carried out.

use std::{fmt, time::Duration};

use hyper::StatusCode;
use rmcp::{
    service::{ClientInitializeError, ServiceError},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};

use super::endpoint::Failed;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server says no, or what it says is not understood: a later try comes to the same.
    Said(String),
    /// The server does not know the session, or is there no more: nothing was carried out, and a new session can help.
    Gone(String),
    /// The server cannot be asked now: nothing was carried out.
    Away {
        /// Why.
        reason: String,
        /// When it may be asked again, if it says so.
        after: Option<Duration>,
    },
    /// It was asked, and how it ended is not known.
    Lost(String),
    /// It has not answered in time.
    Late(Duration),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(reason) | Self::Gone(reason) | Self::Away { reason, .. } | Self::Lost(reason) => {
                f.write_str(reason)
            }
            Self::Late(wait) => write!(f, "the server did not answer within {wait:?}"),
        }
    }
}

/// What is told of a stream that ended: the library says no more.
const ENDED: &str = "the connection ended, or what came was too large";

impl Trouble {
    /// Of a call.
    pub(super) fn of_call(error: ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) => {
                Self::Said(format!("the server says: {} ({})", error.message, error.code.0))
            }
            ServiceError::TransportSend(error) => of_transport(&error),
            ServiceError::TransportClosed => Self::Lost(ENDED.to_owned()),
            error => Self::Lost(error.to_string()),
        }
    }

    /// Of the beginning of a session, when nothing was called yet.
    pub(super) fn of_beginning(error: ClientInitializeError) -> Self {
        let trouble = match error {
            ClientInitializeError::JsonRpcError(error) => {
                Self::Said(format!("the server refuses a session: {} ({})", error.message, error.code.0))
            }
            ClientInitializeError::TransportError { error, .. } if error.error.is::<std::io::Error>() => {
                Self::Lost(ENDED.to_owned())
            }
            ClientInitializeError::TransportError { error, .. } => of_transport(&error),
            ClientInitializeError::ConnectionClosed(_) => Self::Lost(ENDED.to_owned()),
            error => Self::Said(format!("the server begins no session: {error}")),
        };
        trouble.before_any_call()
    }

    /// The same where nothing was called: what is lost then can be asked again.
    pub(super) fn before_any_call(self) -> Self {
        match self {
            Self::Lost(reason) => {
                Self::Away { reason: format!("there is no session with the server: {reason}"), after: None }
            }
            Self::Late(wait) => Self::Away { reason: format!("no session within {wait:?}"), after: None },
            Self::Gone(reason) => Self::Said(reason),
            other => other,
        }
    }
}

fn of_transport(error: &DynamicTransportError) -> Trouble {
    // A program that is there no more takes no whole line.
    if let Some(error) = error.error.downcast_ref::<std::io::Error>() {
        return Trouble::Gone(format!("the server's program takes no call: {error}"));
    }
    match error.error.downcast_ref::<StreamableHttpError<Failed>>() {
        Some(StreamableHttpError::Client(failed)) => of_http(failed),
        Some(StreamableHttpError::SessionExpired) => {
            Trouble::Gone("the server does not keep its session".to_owned())
        }
        _ => Trouble::Lost(error.error.to_string()),
    }
}

fn of_http(failed: &Failed) -> Trouble {
    let reason = failed.to_string();
    match failed {
        Failed::NotAllowed(_) => Trouble::Said(reason),
        Failed::Credentials(_) | Failed::Unreachable(_) => Trouble::Away { reason, after: None },
        Failed::Lost(_) | Failed::Unusable(_) => Trouble::Lost(reason),
        Failed::Forgotten(_) => Trouble::Gone(reason),
        Failed::Status { status, after, .. } => match *status {
            StatusCode::TOO_MANY_REQUESTS => Trouble::Away { reason, after: *after },
            // Whoever says when to come again has not begun; without that, a gateway may have lost the server over the call.
            StatusCode::SERVICE_UNAVAILABLE if after.is_some() => Trouble::Away { reason, after: *after },
            // A gateway between may have passed it on.
            status if status.is_server_error() => Trouble::Lost(reason),
            _ => Trouble::Said(reason),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(number: u16) -> Failed {
        let status = StatusCode::from_u16(number).unwrap();
        Failed::Status { status, after: Some(Duration::from_secs(7)), said: String::new() }
    }

    #[test]
    fn only_what_was_not_carried_out_is_away() {
        for failed in
            [Failed::Unreachable("x".into()), Failed::Credentials("x".into()), status(429), status(503)]
        {
            assert!(matches!(of_http(&failed), Trouble::Away { .. }), "{failed}");
        }
        for failed in
            [Failed::Lost("x".into()), Failed::Unusable("x".into()), status(500), status(502), status(504)]
        {
            assert!(matches!(of_http(&failed), Trouble::Lost(_)), "{failed}");
        }
        for failed in
            [Failed::NotAllowed("x".into()), status(307), status(400), status(401), status(403), status(413)]
        {
            assert!(matches!(of_http(&failed), Trouble::Said(_)), "{failed}");
        }
        assert!(matches!(of_http(&Failed::Forgotten("x".into())), Trouble::Gone(_)));
        assert!(matches!(of_http(&status(503)), Trouble::Away { after: Some(_), .. }));
        let unsaid = StatusCode::SERVICE_UNAVAILABLE;
        let unsaid = of_http(&Failed::Status { status: unsaid, after: None, said: String::new() });
        assert!(matches!(unsaid, Trouble::Lost(_)));
        assert!(matches!(unsaid.before_any_call(), Trouble::Away { .. }));
    }

    #[test]
    fn before_any_call_nothing_can_be_lost() {
        for trouble in [Trouble::Lost("x".into()), Trouble::Late(Duration::from_secs(1))] {
            assert!(matches!(trouble.before_any_call(), Trouble::Away { .. }));
        }
        assert!(matches!(Trouble::Gone("x".into()).before_any_call(), Trouble::Said(_)));
    }
}
