//! Every metric's name, labels and meaning, in one table. docs/metrics.md is generated from it.

use std::fmt::Write as _;

use crate::{analysis, gateway, operator};

/// Prefix of all metrics of an actor, unless `ASYA_METRICS_NAMESPACE` says otherwise.
pub const DEFAULT_NAMESPACE: &str = "asya_actor";

/// One metric.
#[derive(Debug)]
pub struct Name {
    /// Name without the namespace; counters end in `_total`.
    pub name: &'static str,
    /// What is counted or measured.
    pub kind: Kind,
    /// Labels in order.
    pub labels: &'static [&'static str],
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// True for metrics that the Go system does not have.
    pub new: bool,
}

/// The kinds of metrics in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

impl Name {
    /// The name as it is registered: the encoder adds `_total` to counters.
    pub fn registered(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

macro_rules! metrics {
    ($($(#[new $new:tt])? $constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: $crate::names::Name = $crate::names::Name {
                name: $name,
                kind: $crate::names::Kind::$kind,
                labels: &[$($label),*],
                help: $help,
                new: $crate::names::metrics!(@new $($new)?),
            };
        )+
        /// All metrics, in the order of the documentation.
        pub const ALL: &[$crate::names::Name] = &[$($constant),+];
    };
    (@new) => { false };
    (@new $any:tt) => { true };
}
pub(crate) use metrics;

metrics! {
    MESSAGES_RECEIVED: Counter "messages_received_total" ["queue", "transport"]
        "Messages taken from the actor's queue, redeliveries included";
    MESSAGES_PROCESSED: Counter "messages_processed_total" ["queue", "status"]
        "Messages settled as they should be: success, empty_response, end_consumed, dropped, cancelled";
    MESSAGES_SENT: Counter "messages_sent_total" ["destination_queue", "message_type"]
        "Messages confirmed on another queue: routing, happy_end, error_end";
    MESSAGES_FAILED: Counter "messages_failed_total" ["queue", "reason"]
        "Messages that went to the error end or the dead-letter queue";
    PROCESSING_DURATION: Histogram "processing_duration_seconds" ["queue"]
        "Time from taking a message to settling it";
    RUNTIME_DURATION: Histogram "runtime_execution_duration_seconds" ["queue"]
        "Time one run of the handler took";
    RECEIVE_DURATION: Histogram "queue_receive_duration_seconds" ["queue", "transport"]
        "Time spent waiting for a message";
    SEND_DURATION: Histogram "queue_send_duration_seconds" ["destination_queue", "transport"]
        "Time until the messages of one delivery were confirmed";
    ENVELOPE_SIZE: Histogram "envelope_size_bytes" ["direction"]
        "Size of messages: received, sent";
    ACTIVE_MESSAGES: Gauge "active_messages" []
        "Messages in hand";
    RUNTIME_ERRORS: Counter "runtime_errors_total" ["queue", "error_type"]
        "Failed runs of the handler by code";
    #[new x] MESSAGES_RETRIED: Counter "messages_retried_total" ["queue", "reason"]
        "Messages put back to be tried again later";
    #[new x] MESSAGES_DEAD_LETTERED: Counter "messages_dead_lettered_total" ["queue"]
        "Messages whose untouched body went to the dead-letter queue";
    #[new x] MESSAGES_JOINED: Counter "messages_joined_total" ["queue"]
        "Redelivered copies that joined a run which was still going on or just finished";
    #[new x] HEADERS_RESTORED: Counter "headers_restored_total" ["queue"]
        "Changes to platform headers by handlers that were undone";
    #[new x] CREDIT: Gauge "credit" ["queue"]
        "Messages that may be in hand at once";
    #[new x] RUNTIME_READY: Gauge "runtime_ready" ["queue"]
        "1 when the handler can take requests";
    #[new x] TRANSPORT_UP: Gauge "transport_up" ["queue", "transport"]
        "1 when messages can be received and sent";
    #[new x] REPORTS_DROPPED: Counter "reports_dropped_total" ["queue"]
        "Progress reports thrown away because the receiver was busy or away, or told to come later";
    #[new x] FINAL_REPORTS_FAILED: Counter "final_reports_failed_total" ["queue"]
        "Final reports of end actors that the gateway did not take";
    #[new x] PAYLOADS: Counter "payloads_total" ["queue", "direction"]
        "Large payloads put into the payload store and read from it: checked_in, fetched";
    #[new x] PAYLOAD_BYTES: Counter "payload_bytes_total" ["queue", "direction"]
        "Their bytes: checked_in, fetched";
    #[new x] PAYLOAD_FAILURES: Counter "payload_failures_total" ["queue", "direction", "reason"]
        "Tries to put one in or to read one that failed: missing, invalid, too_large, unavailable";
    #[new x] DEADLINES_FAILED: Counter "deadlines_failed_total" ["queue"]
        "Deadlines of fan-in and park that passed and could not be acted on; each is tried again later";
    #[new x] EXPLANATIONS: Counter "explanations_total" ["queue", "provider", "result"]
        "Explanations by explain: cached, answered, empty, stale, given_up, or the code of the model's error";
    #[new x] NOTIFICATIONS: Counter "notifications_total" ["queue", "sink", "result"]
        "Messages by notify: sent, retried, dead";
    #[new x] AGENT_TURNS: Counter "agent_turns_total" ["queue", "result"]
        "Turns of models by agents: calls, answered, summary, empty, the bound that ended them (turns, tokens, envelope, repeats), or the code of the model's error";
    #[new x] AGENT_TOKENS: Counter "agent_tokens_total" ["queue", "model", "direction"]
        "Tokens of their answered turns: input, output";
}

/// Buckets of durations of handlers, in seconds.
pub const RUNTIME_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Buckets of waits for a message, in seconds.
pub const RECEIVE_BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets of publishes, in seconds.
pub const SEND_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Buckets of message sizes, in bytes.
pub const SIZE_BUCKETS: [f64; 8] = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The page docs/metrics.md.
pub fn document() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Generated by `cargo run -p asya-telemetry --example metrics-table`; do not edit.\n\n\
         Served on `ASYA_METRICS_ADDR` under `/metrics`. All names carry the prefix `ASYA_METRICS_NAMESPACE` \
         (default `asya_actor`) and `_`. The label `queue` is the actor's name; `destination_queue` is the full name \
         of a queue. Metrics marked *new* do not exist in the Go system.\n\n",
    );
    table(&mut page, ALL);
    page.push_str(
        "\n## The operator's\n\n\
         Served by `asya-operator` on `--metrics-bind-address` under `/metrics`. All names carry the prefix \
         `asya_operator_`.\n\n",
    );
    table(&mut page, operator::ALL);
    page.push_str(
        "\n## Those of analyses\n\n\
         Served by `asya-operator analysis` beside the operator's. All names carry the prefix `k8sgpt_`.\n\n",
    );
    table(&mut page, analysis::ALL);
    page.push_str(
        "\n## The gateway's\n\n\
         Served by `asya-gateway` under `/metrics`, on `ASYA_GATEWAY_METRICS_ADDR` or, to who may read, on its own \
         address. All names carry the prefix `asya_gateway_`.\n\n",
    );
    table(&mut page, gateway::ALL);
    page
}

fn table(page: &mut String, metrics: &[Name]) {
    page.push_str("| metric | kind | labels | meaning | |\n|---|---|---|---|---|\n");
    for metric in metrics {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let new = if metric.new { "*new*" } else { "" };
        let labels = labels.join(", ");
        writeln!(page, "| `{}` | {kind} | {labels} | {} | {new} |", metric.name, metric.help)
            .expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_only_counters_end_in_total() {
        for metric in ALL.iter().chain(operator::ALL).chain(gateway::ALL) {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        }
    }

    #[test]
    fn the_documented_table_is_the_one_in_the_code() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let written = std::fs::read_to_string(page).unwrap();
        assert!(written == document(), "docs/metrics.md is out of date: run `make generate`");
    }
}
