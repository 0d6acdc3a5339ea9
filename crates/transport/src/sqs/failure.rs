//! What an answer of SQS means for us.

use std::error::Error;

use asya_envelope::Queue;
use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    types::BatchResultErrorEntry,
};

use crate::{TransportError, Unsettled};

/// Why a request, or one entry of a batch, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The queue does not exist.
    Missing,
    /// A queue of this name exists, with other attributes.
    Exists,
    /// The receipt is not valid any more: the message is someone else's, or gone.
    Expired(String),
    /// The credentials are missing, wrong or not permitted to do this.
    Denied(String),
    /// The batch as a whole is too long, its entries may not be.
    TooLong(String),
    /// This request is refused as it is, now and later.
    Refused(String),
    /// The message is larger than its queue takes.
    Over {
        /// In bytes, with its attributes.
        size: usize,
        /// In bytes.
        limit: usize,
    },
    /// The same request may succeed later.
    Again(String),
}

/// Before some codes, in some protocols.
const NAMESPACE: &str = "AWS.SimpleQueueService.";
/// Codes that tell one thing under several names: the query and the JSON protocol, and the servers that are compatible
/// to some degree.
const MISSING: [&str; 2] = ["QueueDoesNotExist", "NonExistentQueue"];
const EXISTS: [&str; 2] = ["QueueAlreadyExists", "QueueNameExists"];
const EXPIRED: [&str; 3] =
    ["ReceiptHandleIsInvalid", "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight"];
const DENIED: [&str; 16] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "KMS.AccessDeniedException",
    "KmsAccessDenied",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
const TOO_LONG: [&str; 1] = ["BatchRequestTooLong"];
const REFUSED: [&str; 5] = [
    "InvalidMessageContents",
    "InvalidAttributeValue",
    "InvalidParameterValue",
    "MissingParameter",
    "UnsupportedOperation",
];

impl Failure {
    /// Reads the failure of a whole request.
    pub(super) fn of<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or("no code");
                Self::coded(code, service.err().message().unwrap_or_default())
            }
            SdkError::TimeoutError(_) => Self::Again("no answer in time".to_owned()),
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                let reason = causes(error);
                if reason.contains("redential") { Self::Denied(reason) } else { Self::Again(reason) }
            }
            _ => Self::Again(causes(error)),
        }
    }

    /// Reads the failure of one entry of a batch.
    pub(super) fn of_entry(entry: &BatchResultErrorEntry) -> Self {
        let failure = Self::coded(entry.code(), entry.message().unwrap_or_default());
        match failure {
            // An unknown code: the service says whose fault it is.
            Self::Again(reason) if entry.sender_fault() && !throttled(entry.code()) => Self::Refused(reason),
            other => other,
        }
    }

    fn coded(code: &str, message: &str) -> Self {
        let code = code.strip_prefix(NAMESPACE).unwrap_or(code);
        let reason = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
        // A stale receipt comes under the code of any wrong parameter.
        let receipt = message.contains("eceipt") || message.contains("not available for visibility");
        if MISSING.contains(&code) {
            Self::Missing
        } else if EXISTS.contains(&code) {
            Self::Exists
        } else if EXPIRED.contains(&code) || (REFUSED.contains(&code) && receipt) {
            Self::Expired(reason)
        } else if DENIED.contains(&code) {
            Self::Denied(reason)
        } else if TOO_LONG.contains(&code) || message.contains("MessageTooLong") {
            Self::TooLong(reason)
        } else if REFUSED.contains(&code) {
            Self::Refused(reason)
        } else {
            Self::Again(reason)
        }
    }

    /// For the publisher of a message to `queue`.
    pub(super) fn publishing(self, queue: &Queue) -> TransportError {
        let queue = queue.clone();
        match self {
            Self::Missing => TransportError::Unroutable { queue },
            Self::Exists => TransportError::Unavailable(format!("queue {queue:?} exists already")),
            Self::Denied(reason) => denied(&reason),
            Self::Refused(reason) | Self::TooLong(reason) => TransportError::Refused { queue, reason },
            Self::Over { size, limit } => TransportError::TooLarge { queue, size, limit },
            Self::Expired(reason) | Self::Again(reason) => TransportError::Unavailable(reason),
        }
    }

    /// For the holder of a delivery whose successors are confirmed, and which could not be removed or hidden: the
    /// service delivers it again.
    pub(super) fn settling(self, queue: &Queue) -> Unsettled {
        Unsettled::Lost(self.publishing(queue).to_string())
    }
}

fn denied(reason: &str) -> TransportError {
    TransportError::Misconfigured(format!("sqs refuses the credentials: {reason}"))
}

fn throttled(code: &str) -> bool {
    code.contains("Throttl") || code == "OverLimit"
}

/// An error with what lies beneath it; the top message of the client says little by itself.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(code: &str, sender_fault: bool, message: &str) -> Failure {
        Failure::of_entry(
            &BatchResultErrorEntry::builder()
                .id("0")
                .code(code)
                .sender_fault(sender_fault)
                .message(message)
                .build()
                .unwrap(),
        )
    }

    #[test]
    fn a_missing_queue_is_known_by_each_of_its_codes() {
        for code in ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"] {
            assert_eq!(entry(code, true, ""), Failure::Missing, "{code}");
        }
    }

    #[test]
    fn a_stale_receipt_is_lost_and_a_wrong_body_is_refused() {
        let stale = "Value for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert!(matches!(entry("InvalidParameterValue", true, stale), Failure::Expired(_)));
        assert!(matches!(entry("InvalidMessageContents", true, ""), Failure::Refused(_)));
    }

    #[test]
    fn an_entry_is_tried_again_only_when_it_is_not_to_blame() {
        assert!(matches!(entry("InternalError", false, ""), Failure::Again(_)));
        assert!(matches!(entry("RequestThrottled", true, ""), Failure::Again(_)));
        assert!(matches!(entry("Whatever", true, ""), Failure::Refused(_)));
    }
}
