//! Who acts: one replica holds a Lease, the others stand by with warm caches.

pub use asya_cluster::lease::{Candidate, Term};

/// Name of the Lease, the Go operator's, so that the two never act at the same time.
pub const LEASE: &str = "asya-operator.asya.sh";
