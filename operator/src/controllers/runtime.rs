//! The runtime's ConfigMaps, one reconciler per namespace.

use super::{
    actor::{Outcome, Stop},
    context::Context,
};

/// The runtime that is injected.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of its ConfigMap.
    pub name: String,
}

/// Looks at one namespace.
///
/// # Errors
/// What the API server said.
pub async fn reconcile(context: &Context, namespace: &str) -> Result<Outcome, Stop> {
    tracing::debug!(namespace, name = context.runtime.name, "runtime");
    Ok(Outcome::Done(None))
}
