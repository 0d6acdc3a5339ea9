//! The actors that an envelope visits, and where it is.

use bytes::{BufMut, BytesMut};

use crate::Raw;

/// The route of an envelope: actor names in order, and the index of the one whose turn it is.
///
/// Unknown members, `metadata` among them, are kept as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Names of the actors, first to last. Never empty in an envelope that was parsed.
    pub actors: Vec<String>,
    /// 0-based index into `actors`; equal to its length when the route is finished.
    pub current: usize,
    /// Members other than `actors` and `current`, in their order.
    pub extra: Vec<(String, Raw)>,
}

impl Route {
    /// A route that begins at its first actor.
    pub fn new<I: IntoIterator<Item: Into<String>>>(actors: I) -> Self {
        Self { actors: actors.into_iter().map(Into::into).collect(), current: 0, extra: Vec::new() }
    }

    /// The actor whose turn it is; `None` when the route is finished.
    pub fn current_actor(&self) -> Option<&str> {
        self.actors.get(self.current).map(String::as_str)
    }

    /// The same route, one actor further; a finished route stays finished.
    #[must_use]
    pub fn advanced(&self) -> Self {
        let mut next = self.clone();
        next.current = (next.current + 1).min(next.actors.len());
        next
    }

    /// True when `self` keeps what `input` has already done: the same actors up to and including the one at
    /// `input.current`. Later actors may have been added, replaced or removed.
    pub fn keeps_history_of(&self, input: &Self) -> bool {
        let done = (input.current + 1).min(input.actors.len());
        self.actors.get(..done) == input.actors.get(..done)
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(b"{\"actors\":[");
        for (i, actor) in self.actors.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            crate::envelope::put_json_string(out, actor);
        }
        out.put_slice(b"],\"current\":");
        crate::envelope::put_json(out, &self.current);
        crate::envelope::put_members(out, &self.extra);
        out.put_u8(b'}');
    }

    /// The route as JSON.
    pub fn to_raw(&self) -> Raw {
        let mut out = BytesMut::with_capacity(64);
        self.encode(&mut out);
        Raw::parse(out.freeze()).expect("an encoded route is valid JSON")
    }
}
