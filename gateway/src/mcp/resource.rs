//! What can be read: envelopes and queues.

use asya_store::envelopes::Filter;
use rmcp::model::{ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::{Value, json};

use super::Server;
use crate::{
    auth::{Principal, Role},
    rest::wire::{Record, UpdateOut},
    service::Error,
};

/// What the address of an envelope begins with.
pub(super) const ENVELOPES: &str = "asya://envelopes/";
/// What the address of a queue begins with.
const QUEUES: &str = "asya://queues/";
const JSON: &str = "application/json";
/// Envelopes that are listed: the newest. Others are read by their id.
const LISTED: usize = 50;
/// Updates that are read with an envelope.
const UPDATES: usize = 1000;

pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(format!("{ENVELOPES}{{id}}"), "envelope")
            .with_title("Envelope")
            .with_description("State, result and history of one envelope")
            .with_mime_type(JSON),
        ResourceTemplate::new(format!("{QUEUES}{{actor}}"), "queue")
            .with_title("Queue")
            .with_description("How many messages wait for an actor")
            .with_mime_type(JSON),
    ]
}

/// The newest envelopes and all queues.
pub(super) async fn list(server: &Server, who: &Principal) -> Result<ListResourcesResult, Error> {
    let page = server.service.list(who, &Filter::default(), None, LISTED).await?;
    let mut all: Vec<_> = page
        .envelopes
        .into_iter()
        .map(|summary| {
            let tool = summary.tool.unwrap_or_else(|| summary.actors.join(" → "));
            Resource::new(format!("{ENVELOPES}{}", summary.id), summary.id)
                .with_description(format!("{tool}: {}", summary.status))
                .with_mime_type(JSON)
        })
        .collect();
    if let Some(source) = &server.actors {
        let mut actors = source.actors().await?;
        actors.dedup_by(|next, first| next.name == first.name);
        all.extend(actors.into_iter().map(|actor| {
            Resource::new(format!("{QUEUES}{}", actor.name), actor.name)
                .with_description(format!("queue {}", actor.queue))
                .with_mime_type(JSON)
        }));
    }
    Ok(ListResourcesResult::with_all_items(all))
}

/// Reads one.
pub(super) async fn read(server: &Server, who: &Principal, uri: &str) -> Result<ReadResourceResult, Error> {
    let value = if let Some(id) = uri.strip_prefix(ENVELOPES) {
        envelope(server, who, id).await?
    } else if let Some(name) = uri.strip_prefix(QUEUES) {
        queue(server, who, name).await?
    } else {
        return Err(Error::NotFound { what: "resource", name: uri.to_owned() });
    };
    let contents = ResourceContents::text(value.to_string(), uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The record of an envelope, and what has happened to it.
pub(super) async fn envelope(server: &Server, who: &Principal, id: &str) -> Result<Value, Error> {
    let record = Record::from(server.service.record(who, id).await?);
    let contents = who.roles.has(Role::Payload);
    let updates = server.service.updates(who, id, 0, UPDATES).await?;
    let updates: Vec<_> = updates.into_iter().map(|update| UpdateOut::new(update, contents)).collect();
    let mut value = json!(record);
    value["updates"] = json!(updates);
    Ok(value)
}

async fn queue(server: &Server, who: &Principal, name: &str) -> Result<Value, Error> {
    who.needs(Role::Read)?;
    let unknown = || Error::NotFound { what: "queue", name: name.to_owned() };
    let actors = match &server.actors {
        Some(source) => source.actors().await?,
        None => return Err(unknown()),
    };
    Ok(json!(actors.into_iter().find(|actor| actor.name == name).ok_or_else(unknown)?))
}
