//! One look at one `Agent`.

use std::{sync::Arc, time::Duration};

use asya_resources::{
    Condition,
    agent::{About, Agent, Around, Compiled, Objection, compile, policy, status::READY},
};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::info;

use super::{
    registry::Verdict,
    report,
    run::{Context, Work},
    sources,
    status::{self, Observed, Runs},
    subject::Subject,
};
use crate::controllers::{
    apply::{Owner, Written},
    live::{Kind, Live},
    refusal::Refusal,
    work::Key,
};

/// How often the ConfigMaps and Secrets that an agent names are read: nobody tells of them.
const AGAIN: Duration = Duration::from_secs(60);
/// The same while something is missing.
const SOON: Duration = Duration::from_secs(10);

/// Looks at an agent; when the next look is wanted.
///
/// # Errors
/// What the API server said.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    // The owner reference takes the actor of one that is gone.
    let Some(subject) = context.known.subject(key) else { return Ok(None) };
    if subject.deleting {
        judge(context, key, Verdict::Without);
        return Ok(None);
    }
    let mut observed = Observed::default();
    let verdict = match prepare(context, &subject, &mut observed).await? {
        Ok(compiled) => match run(context, &subject, &compiled, &mut observed).await? {
            Ok(()) => tell(context, &subject, &compiled).await?,
            Err(refusal) => {
                observed.refused = Some((refusal.reason(), refusal.to_string()));
                untold(&refusal)
            }
        },
        Err(objections) => {
            let forbidden = objections.iter().any(|objection| objection.about() == About::Policy);
            observed.objections = objections;
            if forbidden {
                stop(context, &subject).await?;
                Verdict::Without
            } else {
                observed.runs = runs(context, key);
                Verdict::Keep
            }
        }
    };
    let moving = matches!(verdict, Verdict::Moving(_));
    judge(context, key, verdict);
    let status = status::status(&subject, &observed, Timestamp::now());
    let settled = status.condition(READY).is_some_and(Condition::is_true) && !moving;
    report::status(context, &subject, status).await?;
    Ok(Some(if settled { AGAIN } else { SOON }))
}

/// Its entry. The account that is made for it is told once all of its pods run as that: those of an earlier one would be
/// refused, and what they work on with them; and one of its name that is somebody else's must not act for it.
async fn tell(context: &Context, subject: &Subject, compiled: &Compiled) -> kube::Result<Verdict> {
    let (key, entry) = (subject.key(), compiled.entry.to_string());
    let told = match (&compiled.own_account, actor(context, subject)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(account), Some(actor)) => {
            context.known.tells_account(&key, account)
                || sources::runs_as(&context.client, &actor, account).await?
        }
    };
    Ok(if told { Verdict::Entry(entry) } else { Verdict::Moving(entry) })
}

/// What is told of an agent whose actor could not be written: turns would go to somebody else's where that is one.
fn untold(refusal: &Refusal) -> Verdict {
    match refusal {
        Refusal::Foreign(_) => Verdict::Without,
        _ => Verdict::Keep,
    }
}

/// Its actor, as far as that is known.
fn actor(context: &Context, subject: &Subject) -> Option<Arc<Live>> {
    let actor = context.known.cache.object(Kind::AsyncActor, &subject.key())?;
    (actor.controller() == Some(&subject.uid)).then_some(actor)
}

/// Keeps what its entry has to be, and has gateways told if that is news.
fn judge(context: &Context, key: &Key, verdict: Verdict) {
    if context.known.judge(key, verdict) {
        context.queue.now(Work::Registry(key.0.clone()));
    }
}

/// Everything that the agent says, in its place, and compiled; or what stands in the way.
async fn prepare(
    context: &Context,
    subject: &Subject,
    observed: &mut Observed,
) -> kube::Result<Result<Compiled, Vec<Objection>>> {
    let agent = match &subject.agent {
        Ok(agent) => agent,
        Err(sentence) => return Ok(Err(vec![Objection::InvalidSpec(sentence.clone())])),
    };
    let text = match agent.spec.source() {
        None => None,
        Some(source) => match sources::text(&context.client, &subject.namespace, source).await? {
            Ok(text) => Some(text),
            // A tier that was lowered counts at once.
            Err(objection) => return Ok(Err([vec![objection], policy(agent)].concat())),
        },
    };
    observed.definition = text.as_deref().map(digest);
    Ok(agent
        .resolved(text.as_deref())
        .map_err(|objection| vec![objection])
        .and_then(|agent| made(context, &agent)))
}

fn made(context: &Context, agent: &Agent) -> Result<Compiled, Vec<Objection>> {
    let around = Around {
        image: &context.config.image,
        pull_policy: context.config.pull_policy.as_deref(),
        keda: context.actors.exists(Kind::ScaledObject),
    };
    compile(agent, &around)
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Applies its actor, and sees how that is; or why it could not be written.
async fn run(
    context: &Context,
    subject: &Subject,
    compiled: &Compiled,
    observed: &mut Observed,
) -> kube::Result<Result<(), Refusal>> {
    observed.model = Some(compiled.model.clone());
    observed.tools.clone_from(&compiled.tools);
    observed.unguarded = sources::unguarded(&context.client, &subject.namespace, &compiled.approved).await?;
    observed.secrets = sources::secrets(&context.client, &subject.namespace, &compiled.secrets).await?;
    let mut actor = compiled.actor.clone();
    actor["metadata"]["ownerReferences"] = Value::Array(vec![subject.owner_reference()]);
    match context.applier.apply(&actor, Some(owner(subject))).await {
        Ok(written) => {
            if written == Written::Applied {
                info!(namespace = subject.namespace, agent = subject.name, "applied its actor");
            }
            observed.runs = runs(context, &subject.key());
            Ok(Ok(()))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Takes away the actor of an agent that may not run. Its queue goes if it is empty, as with any actor.
async fn stop(context: &Context, subject: &Subject) -> anyhow::Result<()> {
    context.applier.delete(Kind::AsyncActor, &subject.key(), owner(subject)).await?;
    Ok(())
}

fn owner(subject: &Subject) -> Owner<'_> {
    Owner { name: &subject.name, uid: &subject.uid }
}

/// How its actor is.
fn runs(context: &Context, key: &Key) -> Runs {
    context.known.cache.object(Kind::AsyncActor, key).map_or(Runs::Unseen, |live| Runs::of(&live.status))
}
