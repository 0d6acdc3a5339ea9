//! The gateway: pipelines as tools that applications and models call, and the state of every envelope they made.
//!
//! | module | holds |
//! |---|---|
//! | [`tools`] | pipelines that can be called by name, as files declare them |
//! | [`service`] | the use cases, the same for every way in |
//! | [`actors`] | what actors there are |
//! | [`auth`] | who may do what |
//! | [`rest`] | HTTP |
//! | [`dashboard`] | the page |
//! | [`outbox`] | publishes what the store holds to be published |
//! | [`sweep`] | deadlines and retention |

pub mod actors;
pub mod auth;
pub mod dashboard;
pub mod outbox;
pub mod rest;
pub mod service;
pub mod sweep;
pub mod tools;
