//! The conditions, and when their times change.

use asya_resources::{AsyncActorStatus, Condition};

use super::{Observed, Verdict};

pub use asya_resources::conditions::*;

/// Sets all conditions. A condition that has nothing to say is absent, except the contract's three.
pub(super) fn set(status: &mut AsyncActorStatus, observed: &Observed<'_>) {
    let mut wanted = vec![(TRANSPORT, observed.transport.clone()), (WORKLOAD, workload(observed))];
    if observed.scaling {
        wanted.push((SCALING, observed.scaler.clone()));
    }
    if let Some(sentence) = &observed.stalled {
        wanted.push((STALLED, Verdict::Good("NoProgress", sentence.clone())));
    }
    if let Some(sentence) = &observed.update {
        wanted.push((UPDATE, Verdict::Good("PodsOutdated", sentence.clone())));
    }
    if let Some((reason, _)) = observed.warnings.first() {
        let sentences: Vec<&str> = observed.warnings.iter().map(|(_, sentence)| sentence.as_str()).collect();
        wanted.push((WARNING, Verdict::Good(reason, sentences.join("; "))));
    }
    if let Some((reason, sentence)) = &observed.deleting {
        wanted.push((DELETING, Verdict::Good(reason, sentence.clone())));
    }
    let conditions = wanted.into_iter().map(|(name, verdict)| condition(name, verdict, observed)).collect();
    status.conditions = conditions;
    let counted = |condition: &&Condition| SUMMARY.contains(&condition.r#type.as_str());
    let all = status.conditions.iter().filter(counted).count();
    let good = status.conditions.iter().filter(counted).filter(|condition| condition.is_true()).count();
    status.ready_summary = Some(format!("{good}/{all}"));
    let ready = if observed.transport.is_good() { "Ready" } else { "NotReady" };
    status.transport_status = Some(ready.to_owned());
}

/// The workload with the health of its pods: the worst trouble speaks.
fn workload(observed: &Observed<'_>) -> Verdict {
    if !observed.workload.is_good() {
        return observed.workload.clone();
    }
    match observed.pods.iter().filter_map(|pod| pod.trouble(observed.now)).min() {
        Some((_, sentence)) => Verdict::Bad("PodsNotHealthy", sentence),
        None => match &observed.refused {
            Some(words) => Verdict::Bad("PodsRefused", format!("pods cannot be made: {words}")),
            None => observed.workload.clone(),
        },
    }
}

fn condition(name: &str, verdict: Verdict, observed: &Observed<'_>) -> Condition {
    let (status, reason, message) = match verdict {
        Verdict::Good(reason, message) => ("True", reason, message),
        Verdict::Bad(reason, message) => ("False", reason, message),
        Verdict::Unknown(reason, message) => ("Unknown", reason, message),
    };
    let since = observed
        .previous
        .condition(name)
        .filter(|old| old.status == status)
        .map_or_else(|| super::counts::text(observed.now), |old| old.last_transition_time.clone());
    Condition {
        r#type: name.to_owned(),
        status: status.to_owned(),
        observed_generation: Some(observed.generation),
        last_transition_time: since,
        reason: reason.to_owned(),
        message,
    }
}
