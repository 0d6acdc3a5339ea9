//! What the analysis of a cluster promises, on API servers of its own and through the actors as users run them.
//!
//! | module | shows |
//! |---|---|
//! | `situations` | what breaks is told once, soon, and with what shows it; and so is that it is well |
//! | `model_down` | without the model nothing is lost, and afterwards each is asked once |
//! | `failing` | what the API server does not say closes nothing |
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod failing;
mod model_down;
mod situations;
