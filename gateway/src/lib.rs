//! The gateway: pipelines as tools that applications and models call, and the state of every envelope they made.
//!
//! | module | holds |
//! |---|---|
//! | [`tools`] | pipelines that can be called by name, as files declare them |
//! | [`service`] | the use cases, the same for every way in |
//! | [`args`], [`settings`] | what the binary is told, as text and as types |
//! | [`app`], [`server`], [`run`] | all of it put together, served, started and stopped |
//! | [`metrics`] | what is counted |
//! | [`actors`] | what actors there are |
//! | [`agents`] | agents that people can talk with, as files declare them |
//! | [`cluster`] | a look into the cluster, for models |
//! | [`auth`] | who may do what |
//! | [`rest`] | HTTP |
//! | [`ws`] | WebSocket: conversations with agents |
//! | [`mcp`] | the Model Context Protocol, over HTTP and pipes |
//! | [`dashboard`] | the page |
//! | [`dead_queues`] | the brokers' own dead-letter queues |
//! | [`outbox`] | publishes what the store holds to be published |
//! | [`subjects`] | in whose name an agent acts, signed |
//! | [`sweep`] | deadlines and retention |

pub mod actors;
pub mod agents;
pub mod app;
pub mod args;
pub mod auth;
pub mod cluster;
pub mod dashboard;
pub mod dead_queues;
pub mod mcp;
pub mod metrics;
pub mod outbox;
pub mod rest;
pub mod run;
pub mod server;
pub mod service;
pub mod settings;
pub mod subjects;
pub mod sweep;
pub mod tools;
pub mod ws;
