//! The actors of another source, with where the tools' routes lead from each.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use super::{Actor, Source, depths::successors};
use crate::{service::Error, tools::ToolSet};

/// A source that knows actors and not their routes, and the tools that do.
pub struct Routed {
    inner: Arc<dyn Source>,
    tools: watch::Receiver<Arc<ToolSet>>,
}

impl Routed {
    /// What `inner` knows, with the routes of `tools`.
    pub fn new(inner: Arc<dyn Source>, tools: watch::Receiver<Arc<ToolSet>>) -> Self {
        Self { inner, tools }
    }
}

impl Source for Routed {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        async {
            let mut actors = self.inner.actors().await?;
            let mut next = successors(&self.tools.borrow());
            for actor in &mut actors {
                let routed = next.remove(&actor.name).unwrap_or_default();
                let new: Vec<_> = routed.into_iter().filter(|name| !actor.next.contains(name)).collect();
                actor.next.extend(new);
            }
            Ok(actors)
        }
        .boxed()
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }
}
