//! An actor in Rust that returns what it gets, for the benchmarks.
