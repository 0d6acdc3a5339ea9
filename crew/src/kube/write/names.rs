//! Names that become part of a path or of an object: whatever could be read as something else is refused.

use super::deed::REVISION;
use crate::kube::consent::refused::{Refused, refuse, shortened};

/// Longest name of an object.
const MAX_NAME: usize = 253;
/// Annotations that no diff shows: a copy of the whole object, and what its controller counts.
const UNSEEN: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", REVISION];
/// Longest name of an image.
const MAX_IMAGE: usize = 1024;

/// The name of an object or of a kind: no part of a path can end in it.
pub(super) fn object(name: String) -> Result<String, Refused> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !first || name.len() > MAX_NAME || !name.bytes().all(fits) || name.contains("..") {
        return refuse(format!(
            "{:?} can be no name: 1 to {MAX_NAME} of a-z, 0-9, '-' and '.'",
            shortened(&name)
        ));
    }
    Ok(name)
}

/// The annotations of an object, of which none may be one that a diff leaves out.
pub(super) fn annotations<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Refused> {
    match names.find(|name| UNSEEN.contains(&name.as_str())) {
        Some(name) => refuse(format!("{name} is not for this tool to write: nobody would see what it says")),
        None => Ok(()),
    }
}

/// The name of an image.
pub(super) fn image(image: String) -> Result<String, Refused> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@/".contains(&byte);
    if image.is_empty() || image.len() > MAX_IMAGE || !image.bytes().all(fits) {
        return refuse(format!("{:?} can be no image", shortened(&image)));
    }
    Ok(image)
}

/// What stands in `apiVersion`: `v1`, `apps/v1`.
pub(super) fn version(version: String) -> Result<String, Refused> {
    if version.matches('/').count() > 1 {
        return refuse(format!("{:?} can be no apiVersion", shortened(&version)));
    }
    for part in version.split('/') {
        object(part.to_owned())?;
    }
    Ok(version)
}
