//! What is wrong with a token, or with a key.

use crate::{AUDIENCE, LONGEST};

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is longer than any that is made.
    #[error("the subject's token is longer than {LONGEST} bytes")]
    TooLong,
    /// It is not the three parts of a compact JWS, or they do not hold what they should.
    #[error("the subject's token cannot be read: {0}")]
    Malformed(&'static str),
    /// It says that it is signed in another way; `none` is one.
    #[error("the subject's token is signed with {0:?}, and only EdDSA is taken")]
    Algorithm(String),
    /// It is signed with a key that is not among these. They may be old.
    #[error("the subject's token is signed with the key {0:?}, which is not known")]
    UnknownKey(String),
    /// The key it names did not sign this.
    #[error("the signature of the subject's token is not genuine")]
    Signature,
    /// It is for somebody else.
    #[error("the subject's token is for {0:?}, not for {AUDIENCE:?}")]
    Audience(String),
    /// Its time is over.
    #[error("the subject's token expired at {0} (seconds since 1970)")]
    Expired(i64),
    /// Its time has not come: a clock is wrong.
    #[error("the subject's token is from the future, made at {0} (seconds since 1970)")]
    Early(i64),
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A private key that is none.
    #[error("not an Ed25519 private key in PKCS#8, as PEM or DER: {0}")]
    Private(String),
    /// A public key that is none.
    #[error("not a set of Ed25519 public keys as JSON: {0}")]
    Public(String),
    /// The system gives no random numbers.
    #[error("no random numbers for a new key")]
    Random,
}
