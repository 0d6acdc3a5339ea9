//! Sends envelopes when it is time: at the ticks of cron expressions, and on again after a delay.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | [`Plan`]: what is sent, and when; read from JSON |
//! | [`clock`] | [`Clock`]: sends the envelope of each tick once, whatever number of replicas run |
//! | [`delay`] | [`Delay`]: holds an envelope on its way |
//!
//! The envelope of a tick has the id `<name>-<tick>`. Two replicas agree by a record in the store who sends it; a crash
//! between the sending and its note sends it again, under the same id.

pub mod clock;
pub mod delay;
pub mod plan;

pub use clock::Clock;
pub use delay::Delay;
pub use plan::{Missed, Plan};
