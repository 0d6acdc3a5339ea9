//! One look at one `K8sGPT`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use asya_analysis::custom::KIND;
use asya_resources::k8sgpt::{
    self, FINALIZER, Warning,
    warnings::{IMAGE_IGNORED, INCOMPLETE, NOT_DONE},
};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::events::Recorder,
};
use serde_json::{Value, json};

use super::{
    another,
    config::Config,
    desired::{Wanted, Watched, custom, model::Model, prompts, remedy, sinks, watch as watching},
    known::Known,
    metrics::Analyses,
    objects, remote, report,
    status::{self, Observed, Pass, Runs},
    subject,
    subject::{Subject, is_label},
    tally,
};
use crate::{
    actor::Stored,
    controllers::{
        apply::{Applier, timely},
        live::Kind,
        work::{Key, Queue},
    },
    metrics::Metrics,
    settings::Settings,
};

/// What every look shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What every operator is told.
    pub settings: Settings,
    /// What this process is told besides.
    pub config: Config,
    /// What is known of the cluster.
    pub known: Arc<Known>,
    /// Writes objects.
    pub applier: Arc<Applier>,
    /// What every operator counts.
    pub metrics: Arc<Metrics>,
    /// What is counted of analyses.
    pub analyses: Arc<Analyses>,
    /// What is to be looked at.
    pub queue: Arc<Queue<Key>>,
    /// Tells people.
    pub recorder: Recorder,
    /// What is asked of the cluster from time to time.
    pub world: RwLock<World>,
    /// Generations that were looked at, by uid.
    pub seen: Mutex<HashMap<String, i64>>,
}

/// What is asked of the cluster from time to time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The original operator, if it runs: a sentence.
    pub another: Option<String>,
    /// Whether KEDA is there to wake actors from zero.
    pub keda: bool,
}

/// How often the watcher's Lease and the Secrets are read: nobody tells of them.
const AGAIN: Duration = Duration::from_secs(60);
/// The same while something is missing.
const SOON: Duration = Duration::from_secs(10);
/// Annotations of the watcher's Lease.
const PASS: &str = "analysis.asya.sh";

impl Context {
    /// Whether this generation was not looked at before by this process.
    pub fn first_look_at(&self, subject: &Subject) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(subject.uid.clone(), subject.generation) != Some(subject.generation)
    }
}

/// Looks at a `K8sGPT`; when the next look is wanted.
///
/// # Errors
/// What the API server said.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(subject) = context.known.subject(key) else {
        objects::sweep(context).await?;
        return Ok(None);
    };
    let world = context.world.read().unwrap_or_else(PoisonError::into_inner).clone();
    let another = world.another.clone().or_else(|| another::writer(&subject));
    if subject.deleting {
        // The garbage collector takes what it owns, and the sweep the rest, once it is gone.
        if another.is_none() && subject.finalizer {
            release(context, &subject).await?;
        }
        return Ok(None);
    }
    let mut observed = Observed { another, ..Observed::default() };
    if observed.another.is_some() {
        report::status(context, &subject, status::status(&subject, &observed, Timestamp::now())).await?;
        return Ok(Some(AGAIN));
    }
    observed.warnings = warnings(&subject, &context.config);
    tell_of_image(context, &subject, &observed.warnings).await;
    observed.incomplete_sinks = sinks::read(&subject.spec).incomplete;
    let watched = match remote::watched(context, &subject).await? {
        Ok(watched) => watched,
        Err(refused) => {
            observed.refused = Some(refused);
            Watched::Nothing
        }
    };
    observed.problem = remote::database(context, &subject.namespace).await?;
    let custom_until = custom_until(context, &subject);
    let wanted = Wanted {
        subject: &subject,
        config: &context.config,
        watched: &watched,
        keda: world.keda,
        custom_until: custom_until.as_deref(),
    };
    let wanted = wanted.objects();
    if observed.problem.is_none()
        && let Err(refusal) = objects::apply(context, &subject, &wanted).await
    {
        observed.problem = Some((refusal.reason(), refusal.to_string()));
    }
    observed.actors = runners(context, &subject, &wanted);
    observed.pass = pass(context, &subject).await?;
    observed.counts =
        context.known.with_findings(&subject, |findings| tally::count(findings, subject.spec.explains()));
    let failed = observed.problem.is_some();
    let status = status::status(&subject, &observed, Timestamp::now());
    let settled = status.conditions.iter().all(|condition| condition.status != "Unknown");
    report::status(context, &subject, status).await?;
    if failed {
        context.analyses.failed(&subject.name);
    }
    Ok(Some(if settled && !failed { AGAIN } else { SOON }))
}

/// Everything that works in another way than the manifest says.
fn warnings(subject: &Subject, config: &Config) -> Vec<Warning> {
    let spec = &subject.spec;
    let mut found = k8sgpt::warnings(spec);
    let mut say = |field: String, message: String| found.push(Warning { reason: INCOMPLETE, field, message });
    if let Err(why) = watching::analyzers(spec) {
        say("spec.analyzers".to_owned(), why);
    }
    for (at, prompt) in spec.prompts.iter().enumerate() {
        if let Some(why) = prompts::problem(prompt) {
            say(format!("spec.prompts[{at}]"), why);
        }
    }
    for (at, custom) in spec.custom_analyzers.iter().enumerate() {
        let name = custom.name.as_deref().unwrap_or_default();
        if !name.is_empty() && !name.split('.').all(is_label) {
            let why = "does not run: its name must be one of DNS, as mine or mine.example.com".to_owned();
            say(format!("spec.customAnalyzers[{at}].name"), why);
        }
    }
    if remedy::asked(spec).is_some() && !config.remediation {
        let message = "nothing is proposed: set remediation.enabled of the chart asya-analysis, which brings the rights and \
                       the policy that it needs"
            .to_owned();
        let field = "spec.ai.autoRemediation".to_owned();
        found.push(Warning { reason: NOT_DONE, field, message });
    }
    if matches!(Model::of(spec), Model::Impossible(..)) {
        // The condition about the model says it already.
        found.retain(|warning| !(warning.reason == INCOMPLETE && warning.field.starts_with("spec.ai")));
    }
    found
}

/// How long the actor that asks analyzers stays although there are none any more.
fn custom_until(context: &Context, subject: &Subject) -> Option<String> {
    let key = (subject.namespace.clone(), subject.object(custom::PART));
    let actor = context.known.cache.object(Kind::AsyncActor, &key)?;
    let own = actor.controller() == Some(subject.uid.as_str()) && !actor.deleting();
    if !own || !custom::callable(&subject.spec).is_empty() {
        return None;
    }
    let open = context.known.with_findings(subject, |findings| tally::any(findings, &KIND.kind));
    let said = actor.metadata.annotations.as_ref().and_then(|it| it.get(custom::UNTIL));
    custom::until(said.map(String::as_str), open, Timestamp::now())
}

/// One Event about an image that is not used: when that is news.
async fn tell_of_image(context: &Context, subject: &Subject, warnings: &[Warning]) {
    let Some(image) = warnings.iter().find(|warning| warning.reason == IMAGE_IGNORED) else { return };
    let said = subject.status.condition(k8sgpt::status::WARNING);
    if said.is_none_or(|said| !said.message.contains(&image.message)) {
        report::tell(context, subject, IMAGE_IGNORED, &image.message).await;
    }
}

/// The original's finalizer would hold a deletion for ever where the original is gone.
async fn release(context: &Context, subject: &Subject) -> kube::Result<()> {
    let api: Api<Stored> =
        Api::namespaced_with(context.client.clone(), &subject.namespace, &subject::resource());
    let Some(stored) = timely(api.get_opt(&subject.name)).await? else { return Ok(()) };
    let finalizers = stored.metadata.finalizers.unwrap_or_default();
    let kept: Vec<_> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    if kept.len() == finalizers.len() {
        return Ok(());
    }
    // With the version, so that nobody else's change is lost.
    let patch =
        json!({"metadata": {"resourceVersion": stored.metadata.resource_version, "finalizers": kept}});
    context.metrics.wrote(k8sgpt::KIND, "patch");
    match timely(api.patch(&subject.name, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// How the actors are that are wanted.
fn runners(context: &Context, subject: &Subject, wanted: &[Value]) -> Vec<(String, Runs)> {
    let prefix = subject.object("");
    let actors = wanted.iter().filter(|object| object["kind"] == asya_resources::KIND);
    let names = actors.filter_map(|actor| actor["metadata"]["name"].as_str());
    let how = |name: &str| {
        let key = (subject.namespace.clone(), name.to_owned());
        context.known.cache.object(Kind::AsyncActor, &key).map_or(Runs::Unseen, |live| runs(&live.status))
    };
    names.map(|name| (name.strip_prefix(&prefix).unwrap_or(name).to_owned(), how(name))).collect()
}

/// What the conditions of an actor come to.
fn runs(status: &Value) -> Runs {
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let mut counted = conditions
        .iter()
        .filter(|it| asya_resources::conditions::SUMMARY.iter().any(|name| it["type"] == *name))
        .peekable();
    if counted.peek().is_none() {
        return Runs::Unseen;
    }
    let bad = counted.find(|condition| condition["status"] == "False");
    bad.map_or(Runs::Well, |bad| {
        let text = |field: &str| bad[field].as_str().unwrap_or_default();
        Runs::Badly(format!("{}: {}", text("reason"), text("message")))
    })
}

/// What the watcher says on its Lease.
async fn pass(context: &Context, subject: &Subject) -> kube::Result<Pass> {
    let api: Api<Lease> = Api::namespaced(context.client.clone(), &subject.namespace);
    let lease = timely(api.get_opt(&subject.object("watch"))).await?;
    let annotations = lease.and_then(|lease| lease.metadata.annotations).unwrap_or_default();
    let text =
        |name: &str| annotations.get(&format!("{PASS}/{name}")).filter(|text| !text.is_empty()).cloned();
    Ok(Pass {
        at: text("last-pass").and_then(|text| text.parse().ok()),
        server: text("server"),
        version: text("version"),
        unverified: text("unverified").and_then(|text| text.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_as_its_conditions_say() {
        let of = |conditions: Value| runs(&json!({"conditions": conditions}));
        assert_eq!(of(json!([])), Runs::Unseen);
        assert_eq!(runs(&Value::Null), Runs::Unseen);
        assert_eq!(of(json!([{"type": "UpdateAvailable", "status": "False"}])), Runs::Unseen);
        assert_eq!(of(json!([{"type": "TransportReady", "status": "True"}])), Runs::Well);
        let bad = json!([
            {"type": "TransportReady", "status": "True"},
            {"type": "WorkloadReady", "status": "False", "reason": "PodsFailing", "message": "no image"},
        ]);
        assert_eq!(of(bad), Runs::Badly("PodsFailing: no image".to_owned()));
    }
}
