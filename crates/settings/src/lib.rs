//! What programs are told by flags and environment, read into types.
//!
//! | module | holds |
//! |---|---|
//! | [`reader`] | [`Reader`]: collects all that is wrong before any of it is reported |
//! | [`secret`] | [`Secret`]: in the environment, or a file that is read again |
//! | [`units`] | durations and sizes as people write them in manifests |

pub mod reader;
pub mod secret;
pub mod units;

pub use reader::{Errors, Reader, boolean, filled, list, number, positive_duration};
pub use secret::Secret;
