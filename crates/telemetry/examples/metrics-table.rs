//! Prints docs/metrics.md.

fn main() {
    print!("{}", asya_telemetry::names::document());
}
