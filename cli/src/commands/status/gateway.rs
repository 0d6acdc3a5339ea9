//! What a gateway knows.

use serde_json::value::RawValue;

use crate::{
    args::Common,
    exit,
    gateway::{
        Client, GatewayError,
        client::{query, segment, verbatim},
        wire::{Counts, Envelope, Page, Status},
    },
    output::{Output, json_line, print, safe, short, table},
};

/// Failures that are shown.
const SHOWN: &str = "10";
/// Children that are shown, the newest.
const CHILDREN_SHOWN: &str = "20";

pub(super) async fn run(id: Option<String>, common: &Common, client: &Client) -> anyhow::Result<u8> {
    match id {
        Some(id) => one(&id, common, client).await,
        None => all(common, client).await,
    }
}

async fn all(common: &Common, client: &Client) -> anyhow::Result<u8> {
    let raw: Box<RawValue> = client.get("/api/v1/counts").await.map_err(GatewayError::told)?;
    let failures =
        format!("/api/v1/envelopes{}", query(&[("status", Some("failed")), ("limit", Some(SHOWN))]));
    let page: Page = client.get(&failures).await.map_err(GatewayError::told)?;
    if common.output == Output::Json {
        print(&verbatim(&raw));
        page.envelopes.iter().for_each(|envelope| print(&verbatim(envelope)));
        return Ok(exit::OK);
    }
    let Counts { pending, running, succeeded, failed } = serde_json::from_str(raw.get())?;
    print(&format!(
        "{succeeded} succeeded, {failed} failed, {} on the way ({})",
        pending + running,
        client.url()
    ));
    let mut rows = Vec::new();
    for raw in page.envelopes {
        let envelope: Envelope = serde_json::from_str(raw.get())?;
        let cell = |text: Option<String>| safe(&text.unwrap_or_default()).into_owned();
        let error = short(&envelope.error.unwrap_or_default(), 80);
        rows.push(vec![
            cell(Some(envelope.id)),
            cell(envelope.actor),
            cell(envelope.code),
            cell(Some(error)),
        ]);
    }
    if !rows.is_empty() {
        print(&format!("\n{}", table(&["FAILED", "ACTOR", "CODE", "MESSAGE"], &rows)));
    }
    Ok(exit::OK)
}

async fn one(id: &str, common: &Common, client: &Client) -> anyhow::Result<u8> {
    let path = format!("/api/v1/envelopes/{}", segment(id));
    let raw: Box<RawValue> = match client.get(&path).await {
        Err(error) if error.status() == Some(http::StatusCode::NOT_FOUND) => {
            anyhow::bail!(
                "{} does not know envelope {}: it was never sent there, or is no longer kept",
                client.url(),
                safe(id)
            )
        }
        raw => raw.map_err(GatewayError::told)?,
    };
    let envelope: Envelope = serde_json::from_str(raw.get())
        .map_err(|error| anyhow::anyhow!("the gateway's envelope cannot be read: {error}"))?;
    match common.output {
        Output::Json => print(&verbatim(&raw)),
        Output::Human => {
            print(&safe(&text(&envelope)));
            if envelope.children.sum() > 0 {
                print(&format!("\n{}", children(&envelope.id, client).await?));
            }
        }
    }
    Ok(if envelope.status == Status::Succeeded { exit::OK } else { exit::FAILED })
}

/// The newest children of an envelope.
async fn children(parent: &str, client: &Client) -> anyhow::Result<String> {
    let newest = query(&[("parent", Some(parent)), ("limit", Some(CHILDREN_SHOWN))]);
    let page: Page = client.get(&format!("/api/v1/envelopes{newest}")).await.map_err(GatewayError::told)?;
    let mut rows = Vec::new();
    for raw in page.envelopes {
        let child: Envelope = serde_json::from_str(raw.get())?;
        let cell = |text: &str| safe(text).into_owned();
        rows.push(vec![
            cell(&child.id),
            child.status.word().to_owned(),
            cell(child.actor.as_deref().unwrap_or_default()),
            cell(&short(child.error.as_deref().unwrap_or_default(), 80)),
        ]);
    }
    Ok(table(&["CHILD", "STATE", "ACTOR", "ERROR"], &rows))
}

fn text(envelope: &Envelope) -> String {
    let mut lines = vec![format!("{} {}, {:.0}%", envelope.id, envelope.status.word(), envelope.percent)];
    let mut line = |name: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            lines.push(format!("{:<10}{text}", format!("{name}:")));
        }
    };
    line("tool", envelope.tool.as_deref());
    line("parent", envelope.parent.as_deref());
    line("route", Some(&envelope.actors.join(" → ")));
    line("sent", Some(&envelope.created));
    line("changed", Some(&envelope.updated));
    if !envelope.status.is_final() {
        line("at", envelope.actor.as_deref());
        line("message", envelope.message.as_deref());
    }
    line("code", envelope.code.as_deref());
    let details = envelope.details().map(|(details, _)| details).unwrap_or_default();
    let sentence = Some(details.sentence()).filter(|sentence| !sentence.is_empty());
    line("error", sentence.as_deref().or(envelope.error.as_deref()));
    let children = envelope.children;
    if children.sum() > 0 {
        let Counts { pending, running, succeeded, failed } = children;
        let counts = format!("{succeeded} succeeded, {failed} failed, {} on the way", pending + running);
        line("children", Some(&counts));
    }
    match &envelope.result {
        // It is the error, which has been told.
        Some(_) if sentence.is_some() => {}
        Some(result) => line("result", Some(&json_line(result.get()))),
        None if envelope.status == Status::Succeeded && !envelope.contents => {
            line("result", Some("who asks may not see it"));
        }
        None => {}
    }
    if !envelope.hops.is_empty() {
        let rows: Vec<_> = envelope
            .hops
            .iter()
            .map(|hop| {
                let took = hop.duration_ms.map_or_else(String::new, |took| took.to_string());
                let attempts = if hop.attempts == 0 { String::new() } else { hop.attempts.to_string() };
                vec![hop.actor.clone(), hop.started_at.clone(), took, attempts, hop.status.clone()]
            })
            .collect();
        lines.push(format!("\n{}", table(&["ACTOR", "SINCE", "TOOK MS", "RUNS", "STATE"], &rows)));
    }
    lines.extend(details.traceback.map(|traceback| format!("\n{}", traceback.trim_end())));
    lines.join("\n")
}
