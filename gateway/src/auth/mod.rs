//! Who may do what.
//!
//! | module | holds |
//! |---|---|
//! | [`principal`] | [`Principal`], [`Role`]: who acts and what they may |
//! | [`admission`] | [`Admission`]: who was let in, and for how long that is good |
//! | [`tokens`] | bearer tokens that an operator hands out |
//! | [`oidc`] | bearer tokens of an identity provider |
//! | [`callbacks`] | tokens of sidecars |
//! | [`verifier`], [`keys`], `ring` | signed tokens: claims, the issuer's keys, the arithmetic |
//! | [`layer`] | authentication around routers |
//! | [`refusal`] | [`Refusal`]: why nobody got in, and how that is said |
//! | [`rate`] | how often one principal or peer may ask |
//! | [`peer`] | [`Peer`]: where a request comes from |
//! | [`failures`] | how often one peer may come with wrong credentials |
//! | [`origin`] | which web pages may ask, and under which names |

pub mod admission;
pub mod callbacks;
pub mod failures;
pub mod keys;
pub mod layer;
pub mod oidc;
pub mod origin;
pub mod peer;
pub mod principal;
pub mod rate;
pub mod refusal;
mod ring;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod verifier;

pub use admission::{Admission, Ground};
pub use callbacks::Callbacks;
pub use failures::Failures;
pub use layer::Auth;
pub use oidc::Oidc;
pub use peer::Peer;
pub use principal::{Principal, Role, Roles};
pub use refusal::Refusal;
pub use tokens::{Tokens, TokensAt};
