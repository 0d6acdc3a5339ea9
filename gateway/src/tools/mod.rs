//! Tools: pipelines that can be called by name, as files declare them.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the files as they are written |
//! | [`tool`] | [`Tool`]: one that was checked, and the arguments it takes |
//! | [`schema`] | parameters as JSON Schema |
//! | [`set`] | [`Tools`]: all of them, read again when files change |

pub mod config;
pub(crate) mod schema;
pub mod set;
#[cfg(test)]
mod tests;
pub mod tool;

pub use set::{ToolSet, Tools};
pub use tool::{Tool, Wrong};
