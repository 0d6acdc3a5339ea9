//! Names that become part of a path: whatever could be read as something else is refused.

use super::refused::{Refused, refuse, shortened};

/// Longest name of a namespace.
const MAX_LABEL: usize = 63;

/// The name of a namespace.
pub(crate) fn namespace(name: String) -> Result<String, Refused> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = name.starts_with('-') || name.ends_with('-');
    if name.is_empty() || name.len() > MAX_LABEL || edges || !name.bytes().all(fits) {
        return refuse(format!("{:?} can be no namespace", shortened(&name)));
    }
    Ok(name)
}
