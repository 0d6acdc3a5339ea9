//! Speed and memory, as ratios taken in one run: what the benchmarks share.
//!
//! A figure of one machine says little; each benchmark runs its variants in turn, several rounds, and prints the median
//! of the ratios between variants of the same round.

pub mod agents;
pub mod broker;
pub mod client;
pub mod load;
pub mod process;
pub mod world;

/// The median; of an even number of values the lower one of the two in the middle.
///
/// # Panics
/// Without values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// An environment variable as a number, or the default.
///
/// # Panics
/// When it is set to something else than a number.
pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
