//! Agents on a real API server: what people ask for is done, by approval only, whatever dies in between.

mod diagnosis;
mod helm;
mod hostile;
mod installed;
mod kills;
mod moments;
mod operate;
mod socket;
mod terminal;
