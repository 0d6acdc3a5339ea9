//! Custom resources, and whatever else has a status: conditions, phases, deletions that are stuck, controllers that fell
//! behind, and rules that a user wrote as data.
//!
//! ```yaml
//! - group: kafka.strimzi.io
//!   kind: KafkaTopic
//!   bad: [ReplicasShrunk]
//!   rules:
//!     - code: TopicTooNarrow
//!       severity: warning
//!       when:
//!         - {pointer: /status/replicas, is: {lessThanField: /spec/replicas}}
//!       text: "topic {name} has {/status/replicas} replicas of {/spec/replicas}"
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`spec`] | [`KindRules`]: the rules of a kind as data, and what is wrong with them |
//! | [`resource`] | [`ResourceAnalyzer`]: the analyzer of any kind, made from them |
//! | [`condition`] | conditions, and which answer is the good one |
//! | [`check`] | [`Check`]: one comparison |
//! | [`template`] | [`Template`]: the text of a rule |

pub mod check;
pub mod condition;
pub mod resource;
pub mod spec;
pub mod template;

pub use check::{Check, Comparison};
pub use resource::ResourceAnalyzer;
pub use spec::{InvalidRules, KindRules, Rule};
pub use template::Template;
