//! What scales a workload: written, taken away, and what KEDA says of it.

use asya_resources::ScaledObjectRef;

use super::{actor::Look, live::Kind, observe};
use crate::{
    keda::Scaling,
    status::{Observed, Verdict},
};

impl Look<'_> {
    /// Whether KEDA still holds the workload.
    pub(super) fn scaler_remains(&self) -> bool {
        let cache = &self.context.cache;
        cache
            .object(Kind::ScaledObject, self.key)
            .is_some_and(|live| live.controller() == Some(&self.actor.uid))
    }

    /// Applies what scales the workload.
    pub(super) async fn scale(&self, scaling: &Scaling, installed: bool, observed: &mut Observed<'_>) {
        observed.warnings.extend(scaling.warnings.iter().cloned());
        if let Some((reason, sentence)) = scaling.refused.first() {
            observed.scaler = Verdict::Bad(reason, sentence.clone());
            return;
        }
        if !installed {
            let sentence = "KEDA is not installed: its resources do not exist; the actor scales once they do";
            observed.scaler = Verdict::Bad("KedaNotInstalled", sentence.to_owned());
            return;
        }
        for object in &scaling.objects {
            if let Err(refusal) = self.context.applier.apply(object, Some(self.owner())).await {
                observed.scaler = Verdict::Bad(refusal.reason(), refusal.to_string());
                return;
            }
        }
        observed.scaled_object_ref =
            Some(ScaledObjectRef { name: self.key.1.clone(), namespace: self.key.0.clone() });
        let live = [Kind::ScaledObject, Kind::ScaledJob]
            .into_iter()
            .find_map(|kind| self.context.cache.object(kind, self.key));
        let ready = live.as_deref().and_then(|live| observe::condition(live, "Ready"));
        observed.scaler = match ready {
            Some(("False", reason, message)) => {
                Verdict::Bad("ScalerNotReady", format!("KEDA says: {message} ({reason})"))
            }
            _ => Verdict::Good("ScaledObjectCreated", String::new()),
        };
    }

    /// Deletes what scaled the workload. True until KEDA let go.
    pub(super) async fn unscale(&self, observed: &mut Observed<'_>) -> bool {
        let mut remains = false;
        for kind in [Kind::ScaledObject, Kind::ScaledJob] {
            match self.context.applier.delete(kind, self.key, self.owner()).await {
                Ok(gone) => remains |= !gone,
                Err(refusal) => observed.warnings.push(("ScalingRemains", refusal.to_string())),
            }
        }
        let authentication = (self.key.0.clone(), keda_authentication(&self.key.1));
        for kind in [Kind::TriggerAuthentication, Kind::ConfigMap] {
            if let Err(refusal) = self.context.applier.delete(kind, &authentication, self.owner()).await {
                observed.warnings.push(("ScalingRemains", refusal.to_string()));
            }
        }
        remains
    }
}

/// The TriggerAuthentication of an actor.
pub(super) fn keda_authentication(actor: &str) -> String {
    format!("{actor}-trigger-auth")
}
