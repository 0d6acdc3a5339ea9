//! Agents on a real API server: what people ask for is done, by approval only, whatever dies in between.

mod hostile;
mod operate;
mod terminal;
