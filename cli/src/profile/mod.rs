//! Profiles: named places that commands work on, in one file of the user.
//!
//! | module | holds |
//! |---|---|
//! | [`file`] | [`File`]: reading the file, and changing which profile is current |
//! | [`chosen`] | [`Chosen`]: the profile that a command line means |
//!
//! The invariant: **what stands in a profile goes to the places of that profile only**: its token is never shown to a
//! gateway that the command line names.

mod chosen;
mod file;

pub(crate) use chosen::{explicit, find};
pub(crate) use file::{File, Profile};
