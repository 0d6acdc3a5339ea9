//! The behaviour that every transport shows, stated once.
//!
//! | module | holds |
//! |---|---|
//! | [`harness`] | [`Harness`], [`Client`], [`Traits`]: what a test program says about its transport |
//! | [`report`] | [`check`]: runs [`CASES`] and prints one table, transport x case |
//! | the others | the cases, by what they are about |
//!
//! A test program (`tests/conformance`) implements [`Harness`] and calls
//! [`check`]. Several harnesses of one program, for example two versions of a server, share one table:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use asya_transport::conformance::{self, Harness};
//! # fn rabbitmq_3() -> Arc<dyn Harness> { unreachable!() }
//! # fn rabbitmq_4() -> Arc<dyn Harness> { unreachable!() }
//! fn rabbitmq_conforms() {
//!     conformance::check(vec![rabbitmq_3(), rabbitmq_4()]);
//! }
//! ```
//!
//! `ASYA_CONFORMANCE=part_of_a_name` runs only the cases whose name contains it.
//!
//! The invariant: **a case fails only when a promise of the seam is broken**, so it waits for conditions with a limit
//! and asks of each transport only what its [`Traits`] say.

mod arriving;
mod credit;
mod dead;
mod delays;
pub mod harness;
mod kit;
mod load;
pub mod report;
mod restarts;
mod routing;
mod settling;

use std::sync::Arc;

use futures::future::LocalBoxFuture;

pub use harness::{Client, Harness, Traits};
pub use report::{Verdict, check};

/// One promise and the function that tries to break it.
pub struct Case {
    /// The promise, as a fact.
    pub name: &'static str,
    /// Tries it on one transport.
    pub run: fn(Arc<dyn Harness>) -> LocalBoxFuture<'static, anyhow::Result<Verdict>>,
}

macro_rules! cases {
    ($($module:ident::$name:ident,)+) => {
        &[$(Case { name: stringify!($name), run: |harness| Box::pin($module::$name(harness)) }),+]
    };
}

/// Every case, in the order of the table.
pub const CASES: &[Case] = cases![
    arriving::published_message_is_delivered_with_its_bytes,
    arriving::order_of_readiness,
    arriving::cancel_of_next_loses_nothing,
    arriving::two_consumers_share_a_queue_without_duplicates,
    arriving::consuming_a_missing_queue_waits_and_health_says_so,
    settling::dropped_delivery_is_requeued,
    settling::released_delivery_comes_back,
    settling::settle_is_exactly_once,
    settling::deliveries_count_up,
    settling::forward_publishes_before_it_removes,
    settling::lease_extends_while_a_handler_runs,
    delays::delay_waits,
    delays::a_delayed_message_does_not_hold_up_others,
    delays::retry_waits_and_carries_attempts,
    credit::credit_is_never_exceeded,
    credit::credit_can_grow_and_shrink,
    routing::publish_to_a_missing_queue_is_unroutable,
    routing::one_in_ten_unroutable_is_matched_exactly,
    routing::forward_to_a_missing_queue_keeps_the_delivery,
    routing::too_large_is_refused_clearly,
    routing::ensure_and_delete_can_be_repeated,
    dead::dead_letters_can_be_listed_replayed_dropped,
    restarts::unsettled_deliveries_come_back_after_a_client_restart,
    restarts::a_settle_after_the_connection_is_gone_is_lost,
    restarts::nothing_is_lost_across_a_restart_of_the_client,
    load::many_messages_many_consumers,
];
