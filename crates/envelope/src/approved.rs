//! That an envelope may go on because somebody approved what it is about to do.

use serde::{Deserialize, Serialize};

use crate::{Envelope, Raw, headers};

/// The header [`headers::APPROVED`]: which operation was approved, and where in the route it is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// The operation's id.
    pub operation: String,
    /// The `route.current` at which the approval counts.
    pub hop: usize,
}

impl Approved {
    /// The approval that counts where the envelope is now; none if there is none, it cannot be read, or it is for another hop.
    pub fn here(envelope: &Envelope) -> Option<Self> {
        let value = envelope.headers.get(headers::APPROVED)?;
        let object = value.as_str().starts_with('{');
        let approved: Self = object.then(|| serde_json::from_slice(value.as_bytes()).ok())??;
        (approved.hop == envelope.route.current && !approved.operation.is_empty()).then_some(approved)
    }

    /// As the value of the header.
    pub fn to_raw(&self) -> Raw {
        Raw::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    #[test]
    fn it_counts_at_its_hop_and_as_it_is_written() {
        let mut envelope = Envelope::new("a", Route::new(["agent", "tool", "agent"]), Raw::null());
        envelope.route.current = 1;
        assert_eq!(Approved::here(&envelope), None);
        let approved = Approved { operation: "op-1".to_owned(), hop: 1 };
        envelope.headers.set(headers::APPROVED, approved.to_raw());
        assert_eq!(Approved::here(&envelope), Some(approved));
        for value in [
            r#"{"operation": "op-1", "hop": 2}"#,
            r#"{"operation": "op-1", "hop": 0}"#,
            r#"{"operation": "op-1", "hop": -1}"#,
            r#"{"operation": "op-1", "hop": "1"}"#,
            r#"{"operation": "op-1"}"#,
            r#"{"operation": "", "hop": 1}"#,
            r#"{"hop": 1}"#,
            r#"["op-1", 1]"#,
            "true",
            "null",
        ] {
            envelope.headers.set(headers::APPROVED, Raw::parse(value.into()).unwrap());
            assert_eq!(Approved::here(&envelope), None, "{value}");
        }
    }
}
