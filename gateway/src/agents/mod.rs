//! Agents that people can talk with, as files of a directory declare them.
//!
//! | module | holds |
//! |---|---|
//! | [`agent`] | [`Agent`]: one of them, as its file is written |
//! | [`set`] | [`Agents`]: all of them, read again when files change |

pub mod agent;
pub mod set;

pub use agent::{Agent, Budget, Tool};
pub use set::{AgentSet, Agents};
