//! What an envelope carries instead of its payload.
//!
//! The reference stands twice in the envelope: in the header [`HEADER`], which only the platform writes, and in the
//! payload, as `{"x-asya-payload": {…}}`, which a person and a reader of the Go system see. It counts only if both say
//! the same. So a handler that returns such a payload forges nothing, for it cannot write the header, and a header that
//! travels on beside a payload that somebody has replaced since (a sidecar of the Go system keeps all headers) does not
//! bring the old payload back.

use asya_envelope::{Envelope, Raw};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The header, and the only member of the payload that stands for another.
pub const HEADER: &str = "x-asya-payload";

/// Where a payload is: content, under the id of the envelope that it was checked in for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The id that it was checked in under. Only this envelope and its children may redeem it.
    pub owner: String,
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// How many bytes it has.
    pub size: u64,
    /// Until when the store keeps it at least.
    pub expires: Timestamp,
}

/// The payload that stands for another.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stub {
    #[serde(rename = "x-asya-payload")]
    reference: Reference,
}

/// Longest payload that can be a stub: an id of a kilobyte fits, and larger payloads need not be looked at.
const LONGEST_STUB: usize = 8 * 1024;

impl Reference {
    /// The reference that `envelope` carries; none if its payload is its own.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let header: Self = serde_json::from_slice(envelope.headers.get(HEADER)?.as_bytes()).ok()?;
        let stub = Self::in_stub(&envelope.payload)?;
        (stub == header).then_some(stub)
    }

    /// The reference in a payload that looks like a stub. Without the header it is somebody's word only.
    pub fn in_stub(payload: &Raw) -> Option<Self> {
        if payload.as_bytes().len() > LONGEST_STUB || !payload.as_str().starts_with('{') {
            return None;
        }
        serde_json::from_slice::<Stub>(payload.as_bytes()).ok().map(|stub| stub.reference)
    }

    /// The payload that stands for the one referred to.
    pub fn stub(&self) -> Raw {
        Raw::of(&Stub { reference: self.clone() })
    }

    /// Puts the reference in the place of the payload.
    pub fn stand_in(&self, envelope: &mut Envelope) {
        envelope.payload = self.stub();
        envelope.headers.set(HEADER, Raw::of(self));
    }

    /// True if envelope `id` may redeem it: the owner, or a child of it at any depth.
    pub fn belongs_to(&self, id: &str) -> bool {
        let Some(mut rest) = id.strip_prefix(self.owner.as_str()) else { return false };
        while !rest.is_empty() {
            let Some(tail) = rest.strip_prefix('-') else { return false };
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return false;
            }
            rest = &tail[digits..];
        }
        true
    }

    /// What is wrong with it whatever the store holds, if anything is.
    pub(crate) fn fault(&self, id: &str) -> Option<String> {
        if !self.belongs_to(id) {
            return Some(format!("it belongs to envelope {:?}, not to {id:?}", self.owner));
        }
        let hex = self.sha256.len() == 64
            && self.sha256.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        (!hex).then(|| "its digest is not 64 lower-case hexadecimal digits".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use asya_envelope::{Route, lineage::child_id};
    use proptest::prelude::*;

    use super::*;

    fn reference() -> Reference {
        Reference {
            owner: "job".to_owned(),
            sha256: "0".repeat(64),
            size: 7,
            expires: "2026-12-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn carrying() -> Envelope {
        let mut envelope = Envelope::new("job", Route::new(["a"]), Raw::null());
        reference().stand_in(&mut envelope);
        envelope
    }

    #[test]
    fn what_stands_in_is_found_again_after_the_queue() {
        let back = Envelope::parse(carrying().encode()).unwrap();
        assert_eq!(Reference::of(&back), Some(reference()));
    }

    #[test]
    fn a_payload_alone_is_no_reference() {
        let mut envelope = carrying();
        envelope.headers.remove(HEADER);
        assert_eq!(Reference::of(&envelope), None);
    }

    #[test]
    fn a_header_beside_another_payload_is_no_reference() {
        let other = Reference { owner: "job-1".to_owned(), ..reference() };
        for payload in [Raw::of(&1), Raw::null(), other.stub()] {
            let envelope = Envelope { payload, ..carrying() };
            assert_eq!(Reference::of(&envelope), None);
        }
    }

    #[test]
    fn a_payload_written_anew_with_other_spaces_still_is_one() {
        let spaced: serde_json::Value = serde_json::from_slice(carrying().payload.as_bytes()).unwrap();
        let text = serde_json::to_string_pretty(&spaced).unwrap();
        let envelope = Envelope { payload: Raw::parse(text.into()).unwrap(), ..carrying() };
        assert_eq!(Reference::of(&envelope), Some(reference()));
    }

    proptest! {
        /// Whatever id and whatever generation: a child may, its parent may not.
        #[test]
        fn children_of_any_depth_may_redeem_and_parents_may_not(
            owner in ".{1,20}", numbers in proptest::collection::vec(1_u64.., 1..5),
        ) {
            let child = numbers.iter().fold(owner.clone(), |id, number| child_id(&id, *number));
            let of = |owner: &str| Reference { owner: owner.to_owned(), ..reference() };
            prop_assert!(of(&owner).belongs_to(&child));
            prop_assert!(!of(&child).belongs_to(&owner));
        }

        /// What a queue brings is a reference or none, and never a panic; what is one says the same when it is written.
        #[test]
        fn any_header_and_payload_are_read(header in json_like(), payload in json_like()) {
            let mut envelope = Envelope::new("a", Route::new(["a"]), payload);
            envelope.headers.set(HEADER, header);
            if let Some(found) = Reference::of(&envelope) {
                found.fault("a");
                let mut again = Envelope::new("a", Route::new(["a"]), Raw::null());
                found.stand_in(&mut again);
                prop_assert_eq!(Reference::of(&again), Some(found));
            }
        }
    }

    /// JSON that is a reference, nearly one, or something else.
    fn json_like() -> impl Strategy<Value = Raw> {
        let raw = |text: String| Raw::parse(text.into()).unwrap_or_else(|_| Raw::null());
        prop_oneof![
            Just(Raw::of(&reference())),
            Just(reference().stub()),
            (any::<u64>(), "[0-9a-z]{0,66}")
                .prop_map(move |(size, sha256)| { Reference { size, sha256, ..reference() }.stub() }),
            "[\\[{\"a-z:0-9,}\\]]{0,20}".prop_map(raw),
        ]
    }

    #[test]
    fn only_the_owner_and_its_children_may_redeem_it() {
        let reference = reference();
        for id in ["job", "job-1", "job-1-22"] {
            assert!(reference.belongs_to(id), "{id}");
        }
        for id in ["jo", "job1", "job-", "job-x", "job-1x", "job-1-", "other", ""] {
            assert!(!reference.belongs_to(id), "{id}");
        }
    }
}
