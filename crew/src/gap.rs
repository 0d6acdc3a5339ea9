//! The notice that a part of a fan-out will not come.
//!
//! A part that fails, or that ends early, never reaches the fan-in that waits for it. The end actor that receives it
//! tells that fan-in, so that the other parts are joined without it.

use std::collections::HashSet;

use asya_envelope::{Envelope, Raw, headers, lineage};
use serde::{Deserialize, Serialize};

/// Why a part is missing: the value of the header [`headers::GAP`], and with `id` and `index` an entry of
/// [`headers::GAPS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The id of the part.
    pub id: String,
    /// Its position in the fan-out, 0-based.
    pub index: u64,
    /// Stable code of the failure, or `ended_early`.
    pub code: String,
    /// The reason, for a person.
    pub message: String,
    /// The actor at which it ended.
    pub actor: String,
}

/// Code of a part whose handler returned nothing, so that it went to `happy-end` before the fan-in.
pub const ENDED_EARLY: &str = "ended_early";

/// The notice for the fan-in that waits for `ended`, if one does: `fan_ins` are the names of actors that join.
pub(crate) fn notice(ended: &Envelope, fan_ins: &HashSet<String>) -> Option<Envelope> {
    let part = lineage::parts_of(&ended.headers).pop()?;
    let ahead = ended.route.current + 1;
    let offset = ended.route.actors.get(ahead..)?.iter().position(|actor| fan_ins.contains(actor))?;
    let gap = reason(ended, part.index);
    let mut notice = ended.clone();
    notice.route.current = ahead + offset;
    notice.headers.set(headers::GAP, Raw::of(&gap));
    notice.payload = Raw::null();
    Some(notice)
}

fn reason(ended: &Envelope, index: u64) -> Gap {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Details {
        code: String,
        message: String,
        actor: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Payload {
        details: Details,
    }
    let found = serde_json::from_slice::<Payload>(ended.payload.as_bytes()).unwrap_or_default().details;
    let ended_at = ended.route.current_actor().unwrap_or_default();
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    Gap {
        id: ended.id.clone(),
        index,
        code: or(found.code, ENDED_EARLY),
        message: or(found.message, "the handler returned nothing, so this part ended before it was joined"),
        actor: or(found.actor, ended_at),
    }
}
