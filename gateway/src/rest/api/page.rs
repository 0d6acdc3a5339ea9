//! Pages: how long they are and where they begin.

use asya_store::envelopes::{Cursor, MAX_PAGE};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

/// Length of a page that nobody gave a length.
const DEFAULT_PAGE: usize = 100;

/// Length of a page.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "usize")]
pub(super) struct Limit(pub(super) usize);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_PAGE)
    }
}

impl TryFrom<usize> for Limit {
    type Error = String;

    fn try_from(limit: usize) -> Result<Self, String> {
        if (1..=MAX_PAGE).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("a page has 1 to {MAX_PAGE} entries"))
        }
    }
}

/// Where a page begins: what `next` of the page before says.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Place(pub(super) Cursor);

impl TryFrom<String> for Place {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let cursor = URL_SAFE_NO_PAD.decode(text).ok().and_then(|text| String::from_utf8(text).ok());
        let cursor = cursor.filter(|text| !text.contains('\0'));
        cursor
            .and_then(|text| Cursor::parse(&text).ok())
            .map(Self)
            .ok_or("this is not the `next` of an earlier page")
    }
}

/// What `next` says.
pub(super) fn encoded(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.to_string())
}

/// Number of the last update that is known already; 0: none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Seen(pub(super) i64);

impl TryFrom<u64> for Seen {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        i64::try_from(number).map(Self).map_err(|_| "no update has a number that large")
    }
}
