//! One look at one `Agent`.

use std::time::Duration;

use asya_resources::{
    Condition,
    agent::{About, Agent, Around, Compiled, Objection, compile, policy, status::READY},
};
use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::info;

use super::{
    registry::Verdict,
    report,
    run::{Context, Work},
    sources::{self, Moved},
    status::{self, Observed, Runs},
    subject::Subject,
};
use crate::controllers::{
    apply::{Owner, Written},
    live::Kind,
    refusal::Refusal,
    work::Key,
};

/// How often the ConfigMaps and Secrets that an agent names are read: nobody tells of them.
const AGAIN: Duration = Duration::from_secs(60);
/// The same while something is missing.
const SOON: Duration = Duration::from_secs(10);
/// How long gateways get to hear of an account before pods run as it: kubelets look at ConfigMaps once a minute.
const HEARD: Duration = Duration::from_secs(90);

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
        Ok(compiled) => {
            let actor = sources::actor(&context.client, key, &subject.uid).await?;
            let (account, client) = (&compiled.account, &context.client);
            let its =
                !compiled.own_account || sources::is_its(client, &key.0, account, actor.as_ref()).await?;
            if its {
                observed.moves = waits(context, key, account, actor.as_ref()).await?;
            }
            match run(context, &subject, &compiled, &mut observed).await? {
                Ok(()) if its => tell(context, key, &compiled, actor.as_ref(), &mut observed).await?,
                // What runs as somebody else's account must not act for the agent.
                Ok(()) => Verdict::Moving { entry: compiled.entry.to_string(), its },
                Err(refusal) => {
                    observed.refused = Some((refusal.reason(), refusal.to_string()));
                    untold(&refusal)
                }
            }
        }
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
    let moving = matches!(verdict, Verdict::Moving { .. });
    judge(context, key, verdict);
    let status = status::status(&subject, &observed, Timestamp::now());
    let settled = status.condition(READY).is_some_and(Condition::is_true) && !moving;
    report::status(context, &subject, status).await?;
    Ok(Some(if settled { AGAIN } else { SOON }))
}

/// Why its actor has to wait: it is to run as another account than before, and gateways may not have heard of that.
async fn waits(
    context: &Context,
    key: &Key,
    account: &str,
    actor: Option<&DynamicObject>,
) -> kube::Result<Option<String>> {
    if actor.is_none_or(|actor| sources::account(actor) == Some(account)) {
        return Ok(None);
    }
    let heard = match sources::told(&context.client, key).await? {
        // Nobody sends it anything.
        None => true,
        Some(told) if told.iter().any(|told| told == account) => {
            context.known.announced(key, account) >= HEARD
        }
        Some(_) => {
            context.known.withdrawn(key);
            false
        }
    };
    Ok((!heard).then(|| format!("gateways are told of the account {account} before pods run as it")))
}

/// Its entry, with the accounts of all of its pods: one that is not taken loses what it works on.
async fn tell(
    context: &Context,
    key: &Key,
    compiled: &Compiled,
    actor: Option<&DynamicObject>,
    observed: &mut Observed,
) -> kube::Result<Verdict> {
    let (client, account, entry) = (&context.client, &compiled.account, compiled.entry.to_string());
    let moving = |entry| Verdict::Moving { entry, its: true };
    if observed.moves.is_some() {
        return Ok(moving(entry));
    }
    if context.known.tells_account(key, account) {
        return Ok(Verdict::Entry(entry));
    }
    Ok(match sources::moved(client, key, actor, account).await? {
        Moved::Wholly => Verdict::Entry(entry),
        Moved::Starting => moving(entry),
        Moved::Behind(pod) => {
            let sentence =
                format!("the pod {pod} does not run as {account} yet: gateways still take its account, too");
            observed.moves = Some(sentence);
            moving(entry)
        }
    })
}

/// What is told of an agent whose actor could not be written: turns would go to somebody else's where that is one.
fn untold(refusal: &Refusal) -> Verdict {
    match refusal {
        Refusal::Foreign(_) => Verdict::Without,
        _ => Verdict::Keep,
    }
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

/// Applies its actor unless that has to wait, and sees how that is; or why it could not be written.
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
    if observed.moves.is_some() {
        observed.runs = runs(context, &subject.key());
        return Ok(Ok(()));
    }
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
