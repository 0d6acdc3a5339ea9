//! Where payloads are kept: the seam, and which store an address means.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Reference, directory::Directory};

/// Longest name of an owner that is its own folder: file names are limited to 255 bytes.
const LONGEST_OWNER: usize = 120;

/// How long one object may take to be written or read.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// What keeps payloads. A payload is confirmed when `put` returns.
#[async_trait]
pub trait PayloadStore: Send + Sync {
    /// Keeps `payload` under `key`; what is there already has the same content, and its age begins anew.
    ///
    /// # Errors
    /// A sentence; a later try may help.
    async fn put(&self, key: &Key, payload: Bytes) -> Result<(), String>;

    /// What is kept under `key`; none if there is nothing. Of more than `size` bytes no more are read than show it.
    ///
    /// # Errors
    /// A sentence; a later try may help.
    async fn get(&self, key: &Key, size: usize) -> Result<Option<Bytes>, String>;

    /// Removes what was written before `before`.
    ///
    /// # Errors
    /// A sentence; what was removed until then stays so.
    async fn sweep(&self, before: SystemTime) -> Result<Swept, String>;

    /// Its address, for logs.
    fn address(&self) -> &str;
}

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Payloads that are left.
    pub kept: u64,
    /// Payloads that were removed.
    pub removed: u64,
    /// Bytes that they had.
    pub bytes: u64,
}

/// The key of a payload: a folder for its owner, and its digest. Nothing in an id leaves the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The folder.
    pub owner: String,
    /// The name in it.
    pub name: String,
}

impl Key {
    /// The key of what a reference refers to.
    pub fn of(reference: &Reference) -> Self {
        Self { owner: folder(&reference.owner), name: reference.sha256.clone() }
    }
}

/// An id as the name of a folder: everything but letters, digits, `-` and `_` is percent-encoded, and of a long one the
/// beginning and a digest are left.
fn folder(owner: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let name: String = owner
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect();
    if name.len() <= LONGEST_OWNER {
        return name;
    }
    format!("{}~{}", &name[..LONGEST_OWNER - 33], &hex(&Sha256::digest(owner))[..32])
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The store at `address`: `file:///directory`, `s3://bucket/prefix`, and `gs://` and `az://` likewise where they are
/// compiled in. Nothing is sent yet; the directory is made.
///
/// # Errors
/// A sentence: another kind of address, one that was not compiled in, a directory that cannot be made.
pub fn open(address: &str) -> Result<Arc<dyn PayloadStore>, String> {
    match address.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => directory(Path::new(path)),
        Some(("file", _)) => Err(format!("{address:?} must name an absolute path: file:///var/lib/asya")),
        #[cfg(feature = "objects")]
        Some(("s3" | "gs" | "az", _)) => Ok(Arc::new(crate::objects::Objects::open(address)?)),
        #[cfg(not(feature = "objects"))]
        Some(("s3" | "gs" | "az", _)) => {
            Err(format!("{address:?}: this program was built without object stores (feature objects)"))
        }
        _ => Err(format!("{address:?} must begin with file:///, s3://, gs:// or az://")),
    }
}

/// The store in an object store, below a prefix. Nothing is sent yet; a bucket that is not there is not made.
///
/// # Errors
/// A sentence.
#[cfg(feature = "objects")]
pub fn objects(place: &asya_objects::Place, prefix: &str) -> Result<Arc<dyn PayloadStore>, String> {
    Ok(Arc::new(crate::objects::Objects::at(place, prefix)?))
}

/// The store in a directory, which is made, readable by its owner only.
///
/// # Errors
/// A sentence.
pub fn directory(path: &Path) -> Result<Arc<dyn PayloadStore>, String> {
    Ok(Arc::new(Directory::open(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_folder_or_is_too_long_for_a_file() {
        assert_eq!(folder("job-7_A"), "job-7_A");
        assert_eq!(folder("../x"), "%2e%2e%2fx");
        assert!(folder(&"é".repeat(900)).len() <= LONGEST_OWNER);
        assert_ne!(folder(&"é".repeat(900)), folder(&"é".repeat(901)));
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_what_it_must_be() {
        for (address, part) in
            [("x", "must begin with"), ("ftp://x", "must begin with"), ("file://x/y", "absolute")]
        {
            let refusal = open(address).err().unwrap();
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}
