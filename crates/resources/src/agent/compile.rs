//! Pure: an agent becomes one `AsyncActor`, and its entry for the gateway.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Agent, AgentPod, AgentScaling, Granted, LABEL, LogPrompts, Model, Objection, SecretKey, limits::seconds,
};
use crate::{
    API_VERSION, EnvSource, EnvVar, KeySelector, OWN_ACCOUNT, Severity, account_name, check,
    check::path_text, k8sgpt::Backend,
};

/// What answers in the agent's actor.
const HANDLER: &str = "asya_crew.agent";
/// Sessions that one replica is given before there is another one, where they are bounded over all replicas.
const SESSIONS_PER_REPLICA: u32 = 16;
/// Most sessions of a replica, where the replicas that it may have are too few for less.
const MOST_PER_REPLICA: u32 = 250;
/// Longest prompt that the agent actor takes, in bytes.
const LONGEST_PROMPT: usize = 64 * 1024;
/// Longest text that a process is told in one variable: the kernel takes 128 KiB, its name included.
const LONGEST: usize = 100 * 1024;
/// Seconds of one turn: a model's slowest answer, tried again within the call.
const PROCESSING: u64 = 600;
/// Seconds that a turn under way may go on when a pod stops; a turn that is cut off is only asked for again.
const GRACEFUL: u64 = 60;
/// Runs of one turn: with pauses of 2 s to a minute it outlasts a gateway that is restarted or a provider that is down for some
/// minutes.
const ATTEMPTS: u32 = 10;

/// What is known of the place where the actor is to run.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Image of asya-crew.
    pub image: &'a str,
    /// When it is pulled.
    pub pull_policy: Option<&'a str>,
    /// Whether KEDA is there to scale it, and to wake it from zero.
    pub keda: bool,
}

/// What an agent becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// An `AsyncActor`, without owner.
    pub actor: Value,
    /// What the gateway is told: the content of `<agent>.json`.
    pub entry: Value,
    /// The model that answers, as provider/name.
    pub model: String,
    /// Names of the tools that are granted.
    pub tools: Vec<String>,
    /// Actors of declared ones that are called after approval only; they may be called otherwise unless they refuse it.
    pub approved: Vec<String>,
    /// Keys of Secrets that its pods need.
    pub secrets: Vec<SecretKey>,
    /// The account that its pods run as.
    pub account: String,
    /// Whether the operator makes that: it names none.
    pub own_account: bool,
}

/// Compiles an agent in which [`check`](super::rules::check) finds nothing, and whose texts are in their place.
///
/// # Errors
/// Everything that stands in the way.
pub fn compile(agent: &Agent, around: &Around<'_>) -> Result<Compiled, Vec<Objection>> {
    let spec = &agent.spec;
    let tools = spec.tools.clone().unwrap_or_default();
    let granted = tools.granted();
    let mut objections = policy(agent);
    objections.extend(incomplete(agent));
    let told = json!(granted.iter().map(Granted::told).collect::<Vec<_>>()).to_string();
    let prompt = spec.prompt.as_deref().unwrap_or_default();
    let texts = [("spec.prompt", prompt, LONGEST_PROMPT), ("spec.tools", &told, LONGEST)];
    objections.extend(
        texts
            .into_iter()
            .filter(|(_, text, most)| text.len() > *most)
            .map(|(field, _, most)| Objection::TooLong { field, kib: most / 1024 }),
    );
    let Some(model) = spec.model.as_ref().filter(|_| objections.is_empty()) else { return Err(objections) };
    let env = environment(agent, model, prompt, &told);
    let actor = actor(agent, around, &granted, &env);
    let broken = check(&actor).into_iter().filter(|problem| problem.severity == Severity::Error);
    let broken: Vec<_> = broken
        .map(|it| Objection::InvalidSpec(format!("its actor's {}: {}", path_text(&it.path), it.message)))
        .collect();
    if !broken.is_empty() {
        return Err(broken);
    }
    Ok(Compiled {
        actor,
        entry: entry(agent, model, &granted),
        model: format!("{}/{}", model.provider.as_str(), model.name),
        tools: granted.iter().map(|tool| tool.name().to_owned()).collect(),
        approved: granted
            .iter()
            .filter(|tool| matches!(tool, Granted::Declared(_)) && tool.approval())
            .map(|tool| tool.actor().to_owned())
            .collect(),
        secrets: secrets(&env),
        account: account(agent),
        own_account: named_account(agent).is_none(),
    })
}

/// What it is granted by its own spec and may not have; also where the rest is not known yet.
pub fn policy(agent: &Agent) -> Vec<Objection> {
    let spec = &agent.spec;
    let Some(tools) = &spec.tools else { return Vec::new() };
    let approval = spec.approval.clone().unwrap_or_default();
    let mut found: Vec<_> = tools.objections().collect();
    for tool in tools.granted() {
        let (name, actor) = (tool.name().to_owned(), tool.actor());
        if tool.risk() > spec.risk_tier {
            found.push(Objection::TierExceeded { tool: name, risk: tool.risk(), tier: spec.risk_tier });
        } else if actor == agent.metadata.name || actor == approval.actor() {
            found.push(Objection::ActorTaken { tool: name, actor: actor.to_owned() });
        }
    }
    found
}

/// What its model lacks.
fn incomplete(agent: &Agent) -> Vec<Objection> {
    let Some(model) = &agent.spec.model else {
        return vec![Objection::DefinitionInvalid(
            "nothing says which model answers: set spec.model".to_owned(),
        )];
    };
    if let Some(instead) = model.provider.instead() {
        return vec![Objection::NotSpoken(model.provider, instead)];
    }
    if model.provider == Backend::CustomRest {
        let instead = "its protocol knows neither conversations nor tools: set another provider";
        return vec![Objection::NotSpoken(model.provider, instead)];
    }
    let mut found = Vec::new();
    if model.provider.needs_key() && agent.spec.api_key.is_none() {
        found.push(Objection::NoKey(model.provider));
    }
    if model.provider.needs_address() && model.base_url.is_none() {
        found.push(Objection::NoAddress(model.provider));
    }
    found
}

fn environment(agent: &Agent, model: &Model, prompt: &str, tools: &str) -> Vec<EnvVar> {
    let spec = &agent.spec;
    let mut env = Vec::new();
    let mut set = |name: &str, value: Option<String>| {
        env.extend(value.map(|value| EnvVar::plain(name, literal(&value))));
    };
    set("ASYA_LLM_BACKEND", Some(model.provider.as_str().to_owned()));
    set("ASYA_LLM_MODEL", Some(model.name.clone()));
    set("ASYA_LLM_BASE_URL", model.base_url.clone());
    set("ASYA_LLM_MAX_TOKENS", model.max_tokens.map(|number| number.to_string()));
    set("ASYA_LLM_TEMPERATURE", model.temperature.map(|number| number.to_string()));
    set("ASYA_AGENT_PROMPT", Some(prompt.to_owned()));
    set("ASYA_AGENT_TOOLS", Some(tools.to_owned()));
    set("ASYA_AGENT_APPROVAL", spec.approval.as_ref().map(|approval| approval.actor().to_owned()));
    set("ASYA_AGENT_MODELS", Some(model.alternatives.join(",")).filter(|names| !names.is_empty()));
    let budgets = spec.budgets.clone().unwrap_or_default();
    set("ASYA_AGENT_MAX_TURNS", budgets.turns.map(|number| number.to_string()));
    set("ASYA_AGENT_MAX_TOKENS", budgets.tokens.map(|number| number.to_string()));
    let observability = spec.observability.clone().unwrap_or_default();
    set("ASYA_AGENT_LOG_PROMPTS", (observability.log_prompts == LogPrompts::Full).then(|| "full".to_owned()));
    set("ASYA_AGENT_EMIT_TOKENS", (!observability.emit_tokens).then(|| "false".to_owned()));
    if let Some(SecretKey { name, key }) = spec.api_key.as_ref().map(|key| &key.secret_ref) {
        let selector = KeySelector { name: name.clone(), key: key.clone(), optional: None };
        let source = EnvSource { secret_key_ref: Some(selector), ..EnvSource::default() };
        env.push(EnvVar { name: "ASYA_LLM_API_KEY".to_owned(), value: None, value_from: Some(source) });
    }
    env.extend(spec.env.iter().cloned());
    env
}

/// A text that Kubernetes leaves as it is: it would put the value of another variable, the key of the provider even, in the
/// place of `$(NAME)`, which a prompt may hold.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn actor(agent: &Agent, around: &Around<'_>, granted: &[Granted<'_>], env: &[EnvVar]) -> Value {
    let (name, spec) = (&agent.metadata.name, &agent.spec);
    let pod = spec.pod.clone().unwrap_or_default();
    let scaling = spec.scaling.clone().unwrap_or_default();
    let (sessions, most) = replicas(agent, &scaling);
    let mut workload = json!({
        "kind": "Deployment",
        // The only container is the one that asks the broker, too: its account is what the broker knows it by.
        "shareCloudIdentity": true,
        "template": pod.template(&account(agent), around.image, around.pull_policy),
    });
    let mut actor = json!({
        "transport": spec.transport,
        "handler": HANDLER,
        "embedded": true,
        "env": env,
        "retry": { "attempts": ATTEMPTS, "initialDelay": "2s", "maxDelay": "1m", "multiplier": 2.0, "jitter": 0.2 },
        "timeout": { "processing": PROCESSING, "gracefulShutdown": GRACEFUL },
        "routes": { "allow": allowed(agent, granted) },
    });
    if let Some(sessions) = sessions {
        actor["concurrency"] = json!(sessions);
    }
    if around.keda {
        actor["scaling"] = json!({
            "enabled": true,
            "minReplicas": scaling.min_replicas.min(most),
            "maxReplicas": most,
            "queueLength": scaling.queue_length,
        });
    } else {
        workload["replicas"] = json!(scaling.min_replicas.clamp(1, most));
    }
    actor["workload"] = workload;
    let mut metadata = json!({ "name": name, "labels": { LABEL: name } });
    if named_account(agent).is_none() {
        metadata["annotations"] = json!({ OWN_ACCOUNT: "true" });
    }
    if let Some(namespace) = &agent.metadata.namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({ "apiVersion": API_VERSION, "kind": crate::KIND, "metadata": metadata, "spec": actor })
}

/// The account that it names.
fn named_account(agent: &Agent) -> Option<&str> {
    agent.spec.pod.as_ref().and_then(AgentPod::account)
}

/// The account that its pods run as. `default` is that of others in the namespace, too, and gateways let act for an agent
/// whatever has its account.
fn account(agent: &Agent) -> String {
    named_account(agent).map_or_else(|| account_name(&agent.metadata.name), str::to_owned)
}

/// Where its envelopes may go: to the tools that it is granted, back to itself, and to who asks for approval where it has to
/// send them there.
fn allowed(agent: &Agent, granted: &[Granted<'_>]) -> BTreeSet<String> {
    let mut actors: BTreeSet<_> = granted.iter().map(|tool| tool.actor().to_owned()).collect();
    actors.insert(agent.metadata.name.clone());
    if granted.iter().any(Granted::approval) {
        actors.insert(agent.spec.approval.clone().unwrap_or_default().actor().to_owned());
    }
    actors
}

/// Sessions that one replica works on at the same time, if they are bounded, and the most replicas: no more sessions than
/// are asked for over all of them, and as many as that where the replicas can take them.
fn replicas(agent: &Agent, scaling: &AgentScaling) -> (Option<u32>, u32) {
    let Some(sessions) = agent.spec.concurrency.as_ref().and_then(|it| it.max_parallel_sessions) else {
        return (None, scaling.max_replicas);
    };
    let spread = sessions / scaling.max_replicas.max(1);
    let each = sessions.min(spread.clamp(SESSIONS_PER_REPLICA, MOST_PER_REPLICA));
    (Some(each), scaling.max_replicas.min(sessions / each))
}

fn entry(agent: &Agent, model: &Model, granted: &[Granted<'_>]) -> Value {
    let spec = &agent.spec;
    let budgets = spec.budgets.clone().unwrap_or_default();
    let mut budget = json!({});
    let numbers = [
        ("turns", budgets.turns.map(u64::from)),
        ("tokens", budgets.tokens.map(u64::from)),
        ("route", budgets.route.map(u64::from)),
        ("depth", budgets.depth.map(u64::from)),
        ("wallClock", seconds(budgets.wall_clock.as_deref())),
    ];
    for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
        budget[name] = json!(number);
    }
    let mut models = vec![&model.name];
    models.extend(model.alternatives.iter().filter(|name| **name != model.name));
    let mut entry = json!({
        "name": agent.metadata.name,
        "description": spec.description,
        "models": models,
        "budget": budget,
        "tools": granted.iter().map(Granted::entry).collect::<Vec<_>>(),
        // Of gateways before the list was there, which take this one, and asya-NAME besides.
        "account": account(agent),
        "accounts": [account(agent)],
    });
    if let Some(approval) = &spec.approval {
        let mut limits = json!({ "fourEyes": approval.four_eyes });
        if let Some(timeout) = seconds(approval.timeout.as_deref()) {
            limits["timeout"] = json!(timeout);
        }
        entry["approval"] = limits;
    }
    entry
}

/// Keys of Secrets without which its pods do not start.
fn secrets(env: &[EnvVar]) -> Vec<SecretKey> {
    let sources = env.iter().filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
    let needed = sources.filter(|selector| selector.optional != Some(true));
    let keys: BTreeSet<_> =
        needed.map(|it| SecretKey { name: it.name.clone(), key: it.key.clone() }).collect();
    keys.into_iter().collect()
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
