//! Who asked, as a header of an envelope: a compact JWS (RFC 7515) that the gateway signs with Ed25519 (RFC 8037) and
//! actors verify. No I/O.
//!
//! | module | holds |
//! |---|---|
//! | [`claims`] | [`Claims`]: who asked, in which session, for which envelope |
//! | [`signer`] | [`Signer`]: the private key |
//! | [`keys`] | [`Keys`]: the public keys, and the check of a token |
//! | [`jwk`] | [`Jwk`]: a public key as JSON |
//! | [`invalid`] | [`Invalid`], [`BadKey`]: what is wrong with a token, or with a key |
//!
//! The invariant: **claims come out of [`Keys::verify`] only, and only for a token that one of the keys signed with
//! Ed25519.** There is no other algorithm to talk it into: what a token's own header says is compared, never followed.
//!
//! A token says who asked; it allows nothing. It is good for one root envelope and its children ([`Claims::covers`]), so
//! that a copy of it in another envelope is worth nothing.

pub mod claims;
pub mod invalid;
pub mod jwk;
pub mod keys;
pub mod signer;

pub use claims::Claims;
pub use invalid::{BadKey, Invalid};
pub use jwk::Jwk;
pub use keys::Keys;
pub use signer::Signer;

/// Whom tokens are for.
pub const AUDIENCE: &str = "asya";
/// How long a token is good, in seconds: longer than a turn takes, shorter than people change what they may.
pub const LIFETIME: i64 = 24 * 60 * 60;
/// How far clocks may differ, in seconds.
pub const LEEWAY: i64 = 60;
/// Longest token, in bytes: it travels with every hop, and a hundred names of groups fit.
pub const LONGEST: usize = 8 * 1024;
/// The one algorithm.
const ALGORITHM: &str = "EdDSA";

/// What stands before a token's first dot. Whatever else one says there (`crit`, `jwk`, `jku`) is refused.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    kid: String,
}
