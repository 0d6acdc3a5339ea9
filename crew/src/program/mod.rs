//! The program `asya-crew`: one of the actors, with the sidecar's engine around it in the same process.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | what it is told, as text |
//! | [`work`] | the same of actors that are no end actors |
//! | [`settings`] | the same as types; which actor it is |
//! | [`run`] | from settings to a running actor |

pub mod args;
pub mod run;
pub mod settings;
pub mod work;
