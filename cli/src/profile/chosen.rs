//! The profile that a command line means.

use std::path::{Path, PathBuf};

use super::{File, Profile};

/// A profile, and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// Its name.
    pub(crate) name: String,
    /// What stands in it.
    pub(crate) profile: Profile,
    /// The directory of its file, which relative paths begin at.
    directory: PathBuf,
}

impl Chosen {
    /// The file with its token.
    pub(crate) fn token_file(&self) -> Option<PathBuf> {
        let text = self.profile.token_file.as_ref()?;
        if let Some(rest) = text.strip_prefix("~/")
            && let Some(home) = std::env::var_os("HOME")
        {
            return Some(Path::new(&home).join(rest));
        }
        Some(self.directory.join(text))
    }
}

/// The profile of this name; without a name the current one, if there is one.
///
/// # Errors
/// The file is wrong, or has no such profile.
pub(crate) fn find(name: Option<&str>) -> anyhow::Result<Option<Chosen>> {
    let file = File::read()?;
    let Some(name) = name.or(file.current.as_deref()) else { return Ok(None) };
    let profile = file.get(name)?.clone();
    let directory = file.path.parent().map(Path::to_owned).unwrap_or_default();
    Ok(Some(Chosen { name: name.to_owned(), profile, directory }))
}

/// The profile that was asked for by name; without one none is.
///
/// # Errors
/// As [`find`].
pub(crate) fn explicit(name: Option<&str>) -> anyhow::Result<Option<Chosen>> {
    if name.is_some() { find(name) } else { Ok(None) }
}
