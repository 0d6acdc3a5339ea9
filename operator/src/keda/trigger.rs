//! What counts the queue, and the credentials that it needs.
//!
//! Parameters are those of KEDA 2.18 to 2.21: rabbitmq, aws-sqs-queue and external-push.

use asya_resources::Kind as WorkloadKind;
use serde_json::{Value, json};

use super::{API_VERSION, PUSH_TRIGGER, QUEUE_TRIGGER, Scaling, metadata};
use crate::{
    actor::Actor,
    cluster::Keda,
    desired::Context,
    settings::{
        Kind, Push, Rabbitmq, Sqs, Transport,
        transports::{Credentials, address},
    },
};

/// Label `app.kubernetes.io/name` of the ConfigMap with a user's name; it is watched by it.
const NAME_LABEL: &str = "asya-trigger-auth";

/// Whether the built-in trigger counts messages in work beside those that wait. Without, the count goes to zero while
/// pods work, and KEDA ends them.
pub fn counts_unacknowledged(context: &Context<'_>) -> bool {
    match &context.transport.kind {
        Kind::Rabbitmq(rabbitmq) => rabbitmq.management_url.is_some(),
        Kind::Sqs(_) => true,
    }
}

/// Whether the operator's push scaler wakes this actor.
pub fn pushed(actor: &Actor, context: &Context<'_>) -> bool {
    wants_push(actor, context.settings.push.as_ref(), context.transport)
        && context.settings.push.is_some()
        && actor.spec.kind() != WorkloadKind::Job
        && context.cluster.keda.takes_push()
}

/// Whether an actor is to be woken by push, by its own word or by the operator's default.
pub fn wants_push(actor: &Actor, push: Option<&Push>, transport: &Transport) -> bool {
    // Each look at SQS is billed: only who asks gets it.
    let default = || {
        let sqs = matches!(transport.kind, Kind::Sqs(_));
        push.is_some_and(|push| push.default) && !sqs && actor.spec.kind() != WorkloadKind::Job
    };
    actor.spec.scaling.as_ref().and_then(|scaling| scaling.push).unwrap_or_else(default)
}

/// Whether nothing will tell KEDA of messages in hand, as the operator is configured. What the installed KEDA can do is
/// left out: pods must not change when it is upgraded.
pub fn counts_waiting_only(actor: &Actor, context: &Context<'_>) -> bool {
    let push = context.settings.push.as_ref();
    let scaled = actor.spec.scaling.as_ref().is_some_and(|scaling| scaling.enabled);
    scaled
        && actor.spec.kind() != WorkloadKind::Job
        && !counts_unacknowledged(context)
        && !(push.is_some() && wants_push(actor, push, context.transport))
}

/// All triggers of an actor; what they authenticate with is added to `scaling`. `None` when there can be none.
pub(super) fn all(actor: &Actor, context: &Context<'_>, scaling: &mut Scaling) -> Option<Vec<Value>> {
    let own = match &context.transport.kind {
        Kind::Rabbitmq(rabbitmq) => rabbitmq_trigger(actor, context, rabbitmq, scaling),
        Kind::Sqs(sqs) => sqs_trigger(actor, context, sqs, scaling)?,
    };
    let mut triggers = vec![own];
    if pushed(actor, context) {
        triggers.extend(push_trigger(context));
    } else if wants_push(actor, context.settings.push.as_ref(), context.transport) {
        scaling.warnings.push(("PushUnavailable", why_not_pushed(actor, context).to_owned()));
    }
    // The push scaler asks the sidecars for what they have in hand.
    if !counts_unacknowledged(context) && !pushed(actor, context) && actor.spec.kind() != WorkloadKind::Job {
        scaling.warnings.push((
            "ScaleInMayInterrupt",
            "only messages that wait are counted, so that pods may be ended while they work: set managementURL of \
             the transport, or turn the push scaler on"
                .to_owned(),
        ));
    }
    triggers.extend(actor.spec.scaling.iter().flat_map(|scaling| scaling.triggers.clone()));
    Some(triggers)
}

fn why_not_pushed(actor: &Actor, context: &Context<'_>) -> &'static str {
    if context.settings.push.is_none() {
        "scaling.push is set and the operator runs without its push scaler: set scaler.push.enabled in the chart"
    } else if actor.spec.kind() == WorkloadKind::Job {
        "scaling.push has no effect on a Job: KEDA's ScaledJob takes no push scaler"
    } else if context.cluster.keda == Keda::Unknown {
        "the push scaler needs KEDA 2.18 or newer, and which one is installed cannot be told; the actor is woken by \
         the built-in trigger"
    } else {
        "the push scaler needs KEDA 2.18 or newer; the actor is woken by the built-in trigger"
    }
}

fn trigger_name(actor: &Actor) -> String {
    format!("{}-trigger-auth", actor.name)
}

/// Messages that one replica, or one Job, is there for.
fn target(actor: &Actor) -> u32 {
    match actor.spec.kind() {
        WorkloadKind::Job => actor.spec.workload.job.clone().unwrap_or_default().messages,
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
            actor.spec.scaling.clone().unwrap_or_default().queue_length
        }
    }
}

fn rabbitmq_trigger(
    actor: &Actor,
    context: &Context<'_>,
    rabbitmq: &Rabbitmq,
    scaling: &mut Scaling,
) -> Value {
    let credentials = context.transport.credentials_for(actor);
    let user = match credentials {
        // What RabbitMQ itself starts with, for trials: there is no Secret.
        Credentials::None | Credentials::Sqs { .. } => {
            format!("{0}:{0}@", address::escaped(&rabbitmq.username))
        }
        Credentials::Rabbitmq { .. } => String::new(),
    };
    // The vhost is the last part of the path. KEDA drops that part whatever else names the vhost, so that an API that
    // is served below a path would be missed without it.
    let vhost = address::escaped(&rabbitmq.vhost);
    let (protocol, host) = match &rabbitmq.management_url {
        Some(url) => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
            ("http", format!("{scheme}://{user}{}/{vhost}", rest.trim_end_matches('/')))
        }
        None => {
            let scheme = if rabbitmq.tls { "amqps" } else { "amqp" };
            let host = address::bracketed(&rabbitmq.host);
            ("amqp", format!("{scheme}://{user}{host}:{}/{vhost}", rabbitmq.port))
        }
    };
    let mut trigger = json!({
        "type": "rabbitmq",
        "name": QUEUE_TRIGGER,
        "metadata": {
            "protocol": protocol,
            "host": host,
            "queueName": context.queue.as_str(),
            "mode": "QueueLength",
            "value": target(actor).to_string(),
            "activationValue": "0",
        },
    });
    if let Credentials::Rabbitmq { username, password, .. } = credentials {
        // The management API's own password only where the configuration, and not another Secret, is in force.
        let password = match (&rabbitmq.management_url, &rabbitmq.management_password, &username) {
            (Some(_), Some(own), None) => own.clone(),
            _ => password,
        };
        let name = trigger_name(actor);
        let mut targets = vec![json!({"parameter": "password", "name": password.name, "key": password.key})];
        let mut spec = json!({});
        match username {
            Some(key) => {
                targets.insert(0, json!({"parameter": "username", "name": key.name, "key": key.key}));
            }
            // KEDA takes a user's name from no place in the trigger itself: a ConfigMap says it, because existing
            // Secrets hold the password alone.
            None => {
                let mut metadata = metadata(actor, &name);
                metadata["labels"]["app.kubernetes.io/name"] = NAME_LABEL.into();
                scaling.objects.push(json!({
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": metadata,
                    "data": {"username": rabbitmq.username},
                }));
                spec["configMapTargetRef"] =
                    json!([{"parameter": "username", "name": name, "key": "username"}]);
            }
        }
        spec["secretTargetRef"] = Value::Array(targets);
        authenticate(actor, scaling, &mut trigger, &spec);
    }
    trigger
}

fn sqs_trigger(actor: &Actor, context: &Context<'_>, sqs: &Sqs, scaling: &mut Scaling) -> Option<Value> {
    let Some(account) = &sqs.account else {
        scaling.refused.push((
            "AccountMissing",
            format!(
                "the queue's address needs the AWS account: set accountId in the configuration of transport {}",
                context.transport.name
            ),
        ));
        return None;
    };
    let base = match &sqs.endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None if sqs.region.starts_with("cn-") => format!("https://sqs.{}.amazonaws.com.cn", sqs.region),
        None => format!("https://sqs.{}.amazonaws.com", sqs.region),
    };
    let mut metadata = json!({
        "queueURL": format!("{base}/{account}/{}", context.queue.as_str()),
        "queueLength": target(actor).to_string(),
        "activationQueueLength": "0",
        "awsRegion": sqs.region,
        "scaleOnInFlight": "true",
    });
    if let Some(endpoint) = &sqs.endpoint {
        metadata["awsEndpoint"] = endpoint.as_str().into();
    }
    let mut trigger = json!({"type": "aws-sqs-queue", "name": QUEUE_TRIGGER, "metadata": metadata});
    let spec = match context.transport.credentials_for(actor) {
        Credentials::Sqs { access_key_id, secret_access_key } => json!({"secretTargetRef": [
            {"parameter": "awsAccessKeyID", "name": access_key_id.name, "key": access_key_id.key},
            {"parameter": "awsSecretAccessKey", "name": secret_access_key.name, "key": secret_access_key.key},
        ]}),
        // KEDA takes the role of the pods' ServiceAccount where there is one, else its own identity.
        _ if sqs.actor_role.is_some() => {
            json!({"podIdentity": {"provider": "aws", "identityOwner": "workload"}})
        }
        _ => json!({"podIdentity": {"provider": "aws"}}),
    };
    authenticate(actor, scaling, &mut trigger, &spec);
    Some(trigger)
}

/// Adds a TriggerAuthentication and lets the trigger refer to it.
fn authenticate(actor: &Actor, scaling: &mut Scaling, trigger: &mut Value, spec: &Value) {
    let name = trigger_name(actor);
    scaling.objects.push(json!({
        "apiVersion": API_VERSION,
        "kind": "TriggerAuthentication",
        "metadata": metadata(actor, &name),
        "spec": spec,
    }));
    trigger["authenticationRef"] = json!({"name": name});
}

/// The operator's own scaler: which queue it watches it knows from the actor, never from the trigger.
fn push_trigger(context: &Context<'_>) -> Option<Value> {
    let push = context.settings.push.as_ref()?;
    let mut metadata = json!({"scalerAddress": push.address});
    if push.tls.is_some() {
        metadata["enableTLS"] = "true".into();
    }
    let mut trigger = json!({"type": "external-push", "name": PUSH_TRIGGER, "metadata": metadata});
    if let Some(name) = &push.authentication {
        trigger["authenticationRef"] = json!({"name": name, "kind": "ClusterTriggerAuthentication"});
    }
    Some(trigger)
}
