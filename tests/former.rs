//! An actor as the Go operator left it: objects under its field manager, and a queue with its arguments.

use anyhow::{Context, Result};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use lapin::{
    ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};

use crate::{
    broker,
    cluster::{Actor, Cluster, resource},
};

/// Its objects.
const OBJECTS: &str = include_str!("manifests/go-operator/objects.yaml");
/// Its field manager: the name of its program.
const MANAGER: &str = "manager";

/// Applies an actor as a person did, and then makes what the Go operator made of it: finalizer, status, objects.
///
/// # Errors
/// The API server's.
pub async fn leave(cluster: &Cluster, actor: Actor) -> Result<()> {
    let mut actor = actor.json();
    actor["metadata"]["finalizers"] = json!(["asya.sh/finalizer"]);
    let stored = serde_json::to_value(cluster.apply(&actor).await?)?;
    let (name, uid) = (&stored["metadata"]["name"], &stored["metadata"]["uid"]);
    let (name, uid) = (name.as_str().context("a name")?, uid.as_str().context("an uid")?);
    let condition = |r#type: &str, reason: &str| {
        json!({"type": r#type, "status": "True", "reason": reason,
        "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"})
    };
    let status = json!({"status": {
        "status": "Running", "observedGeneration": stored["metadata"]["generation"],
        "readyReplicas": 2, "totalReplicas": 2, "replicas": 2, "desiredReplicas": 2,
        "readyReplicasSummary": "2/2", "readySummary": "3/3", "replicasSummary": "2/2",
        "lastScaleFormatted": "5m ago (up)", "lastScaleDirection": "up", "scalingMode": "KEDA", "transportStatus": "Ready",
        "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "namespace": cluster.namespace},
        "scaledObjectRef": {"name": name, "namespace": cluster.namespace},
        "conditions": [condition("TransportReady", "TransportValidated"),
            condition("WorkloadReady", "WorkloadCreated"), condition("ScalingReady", "ScaledObjectCreated")],
    }});
    let by = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    cluster.api("AsyncActor").patch_status(name, &by, &Patch::Merge(status)).await?;
    let url = crate::server("ASYA_TEST_RABBITMQ_URL").context("a broker")?;
    let address = url.rsplit('@').next().unwrap_or_default().trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5672"));
    let text = OBJECTS.replace("NAME", name).replace("UID", uid).replace("HOST", host).replace("PORT", port);
    for document in serde_saphyr::from_multiple::<Value>(&text)? {
        let kind = document["kind"].as_str().context("a kind")?;
        let api: Api<_> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource(kind));
        let by = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        api.create(&by, &serde_json::from_value::<kube::api::DynamicObject>(document)?).await?;
    }
    Ok(())
}

/// Makes the queue of an actor as the Go operator does, with dead-letter queue and its own routing key, and puts so many
/// messages on it.
///
/// # Errors
/// The broker's.
pub async fn queue(actor: &str, messages: u32) -> Result<()> {
    let url = crate::server("ASYA_TEST_RABBITMQ_URL").context("a broker")?;
    let (_connection, channel) = broker::connect(&url).await?;
    let name = format!("asya-{actor}");
    let dead = format!("{name}-dlq");
    let exchange = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("asya".into(), ExchangeKind::Topic, exchange, FieldTable::default()).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(dead.as_str().into(), durable, FieldTable::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.into()));
    channel.queue_declare(name.as_str().into(), durable, arguments).await?;
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(name.as_str().into(), "asya".into(), name.as_str().into(), bind, FieldTable::default())
        .await?;
    for number in 0..messages {
        let body = json!({"id": format!("former-{number}"), "route": {"actors": [actor], "current": 0}, "payload": number});
        let options = BasicPublishOptions::default();
        let properties = lapin::BasicProperties::default().with_delivery_mode(2);
        channel
            .basic_publish("".into(), name.as_str().into(), options, body.to_string().as_bytes(), properties)
            .await?
            .await?;
    }
    Ok(())
}
