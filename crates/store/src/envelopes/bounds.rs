//! How long things may be. Keys of PostgreSQL's indexes end at 2,700 bytes: with these, every index entry fits.

use crate::StoreError;

/// Longest id, in bytes.
pub const MAX_ID: usize = 512;
/// Names and codes that are longer are cut to this, in bytes.
pub const MAX_NAME: usize = 255;
/// Messages and errors that are longer are cut to this, in bytes: what is long belongs into results and records.
pub const MAX_TEXT: usize = 16 * 1024;

pub(crate) fn check_id<'a>(ids: impl IntoIterator<Item = &'a String>) -> Result<(), StoreError> {
    for id in ids {
        if id.is_empty() || id.len() > MAX_ID {
            return Err(StoreError::Refused(format!(
                "an id has 1 to {MAX_ID} bytes, and this one has {}",
                id.len()
            )));
        }
    }
    Ok(())
}

pub(crate) fn name(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NAME)]
}

pub(crate) fn text(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
