//! A gateway's `/api/v1`, as commands use it.
//!
//! | module | holds |
//! |---|---|
//! | [`place`] | [`GatewayArgs`], [`Place`]: which gateway is meant, and its token |
//! | [`connect`] | addresses, tokens, connections |
//! | [`client`] | [`Client`]: requests, with their answers |
//! | [`error`] | [`GatewayError`]: what went wrong, in sentences that say what to do |
//! | [`feed`] | [`Feed`]: a stream of events, over broken connections |
//! | [`follow`] | [`Follow`]: what happens to an envelope, to its end, over broken connections |
//! | [`wire`], [`chat`] | answers; about conversations and approvals |
//!
//! The invariant: **no request waits longer than its bound, and nothing that a gateway says reaches a terminal
//! unescaped.**

pub(crate) mod chat;
pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod follow;
pub(crate) mod place;
pub(crate) mod wire;

pub(crate) use client::Client;
pub(crate) use error::GatewayError;
pub(crate) use feed::{Fed, Feed};
pub(crate) use follow::{Follow, Told};
pub(crate) use place::{GatewayArgs, Place};
