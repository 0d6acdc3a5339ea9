//! What tools share that change a cluster, each time with somebody's consent.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | [`Consent`](settings::Consent): where consent is asked for, and who people are |
//! | [`way`] | an envelope comes twice: with arguments, and with what was approved of them |
//! | [`rules`] | [`Rules`](rules::Rules): what may be changed at all |
//! | `review` | whether person and tool may |
//! | `powers`, `shown` | what of a change a person sees: how bad it can get, and a diff without secrets |
//! | `outcome` | what came of it, the same for model, person and audit log |
//! | `names` | names that become a part of a path |
//! | `refused` | what is not done, in a sentence |

pub(crate) mod names;
pub(crate) mod outcome;
pub(crate) mod powers;
pub(crate) mod refused;
pub(crate) mod review;
pub mod rules;
pub mod settings;
pub(crate) mod shown;
pub(crate) mod way;
