//! Who may do what.
//!
//! | module | holds |
//! |---|---|
//! | [`principal`] | [`Principal`], [`Role`]: who acts and what they may |

pub mod principal;

pub use principal::{Principal, Role, Roles};
