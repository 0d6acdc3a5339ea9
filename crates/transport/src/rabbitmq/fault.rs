//! What the broker's and the client library's errors mean to us.

use std::fmt;

use asya_envelope::Queue;
use lapin::{
    Channel, ErrorKind,
    protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError},
    types::ShortString,
};

use crate::TransportError;

/// An error of an operation on a channel, by what follows from it.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The queue or exchange does not exist.
    Missing(String),
    /// Access, vhost or arguments are refused: a person must change something.
    Denied(String),
    /// The broker refused this one operation and closed the channel.
    Refused(String),
    /// A delivery was held longer than the broker permits, so the broker closed the channel.
    ConsumerTimeout(String),
    /// The broker has no such operation, and closed the connection.
    Unsupported(String),
    /// Connection or channel are gone.
    Away(String),
}

impl Fault {
    /// As the caller of the transport sees it.
    pub(super) fn into_error(self, queue: Option<&Queue>) -> TransportError {
        match (self, queue) {
            (Self::Missing(_), Some(queue)) => TransportError::Unroutable { queue: queue.clone() },
            (Self::Refused(reason) | Self::Denied(reason), Some(queue)) => {
                TransportError::Refused { queue: queue.clone(), reason }
            }
            (Self::Unsupported(reason), _)
            | (Self::Denied(reason) | Self::Refused(reason) | Self::Missing(reason), None) => {
                TransportError::Misconfigured(reason)
            }
            (Self::ConsumerTimeout(reason) | Self::Away(reason), _) => TransportError::Unavailable(reason),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(text)
            | Self::Denied(text)
            | Self::Refused(text)
            | Self::ConsumerTimeout(text)
            | Self::Unsupported(text)
            | Self::Away(text) => f.write_str(text),
        }
    }
}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(error) => of_protocol(error),
            ErrorKind::ChannelsLimitReached => Self::Refused(error.to_string()),
            _ => Self::Away(error.to_string()),
        }
    }
}

fn of_protocol(error: &AMQPError) -> Fault {
    let text = error.get_message().to_string();
    match error.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Fault::Missing(text),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Fault::Denied(text),
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) if is_consumer_timeout(&text) => {
            Fault::ConsumerTimeout(format!(
                "consumer_timeout: a delivery was held longer than the broker permits (its setting consumer_timeout, \
                 30 minutes unless changed), so the broker closed the channel and delivers again; shorten \
                 ASYA_RUNTIME_TIMEOUT or raise consumer_timeout ({text})"
            ))
        }
        AMQPErrorKind::Soft(_) => Fault::Refused(text),
        AMQPErrorKind::Hard(AMQPHardError::NOTIMPLEMENTED) => Fault::Unsupported(text),
        AMQPErrorKind::Hard(_) => Fault::Away(text),
    }
}

/// The broker says only in words why it closed the channel.
fn is_consumer_timeout(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("acknowledg") && (text.contains("timed out") || text.contains("timeout"))
}

/// A name as the protocol takes it.
pub(super) fn short(name: &str) -> Result<ShortString, Fault> {
    ShortString::try_new(name).map_err(|error| Fault::Refused(format!("name {name:?}: {error}")))
}

/// Closes a channel that is no longer needed; if that fails it is closed already.
pub(super) async fn close(channel: &Channel) {
    if channel.status().connected() {
        let _ = channel.close(200, "OK".into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: AMQPSoftError, text: &str) -> Fault {
        Fault::from(lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into()))))
    }

    #[test]
    fn a_consumer_timeout_has_its_own_words() {
        let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms.";
        let fault = fault(AMQPSoftError::PRECONDITIONFAILED, text);
        assert!(
            matches!(&fault, Fault::ConsumerTimeout(words) if words.starts_with("consumer_timeout: ")),
            "{fault}"
        );
    }

    #[test]
    fn other_refusals_are_not_taken_for_a_consumer_timeout() {
        let text = "PRECONDITION_FAILED - unknown delivery tag 7";
        assert!(matches!(fault(AMQPSoftError::PRECONDITIONFAILED, text), Fault::Refused(_)));
        assert!(matches!(fault(AMQPSoftError::NOTFOUND, "no queue"), Fault::Missing(_)));
        assert!(matches!(fault(AMQPSoftError::ACCESSREFUSED, "no"), Fault::Denied(_)));
    }
}
