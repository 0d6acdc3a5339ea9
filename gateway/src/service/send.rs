//! New envelopes.

use std::{sync::Arc, time::Duration};

use asya_envelope::{
    ActorName, Deadline, Envelope, Headers, Raw, Route,
    headers::{self, TRACEPARENT, TRACESTATE},
};
use asya_payload::reference::HEADER;
use asya_store::envelopes::{Creation, NewEnvelope, Publish, Tracked};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Error, Service, audited, own, payloads::same_content, unknown};
use crate::{
    auth::{Principal, Role},
    tools::{Tool, Wrong},
};

/// Longest id that a client may give, in bytes.
const MAX_ID: usize = 256;
/// Longest route that a client may give.
const MAX_ROUTE: usize = 256;

/// What a caller may add to a call.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Id of the envelope; made when there is none. Sending an id again changes nothing.
    pub id: Option<String>,
    /// Headers of the envelope. Names of the platform are dropped.
    pub headers: Headers,
    /// W3C trace context to be continued.
    pub traceparent: Option<String>,
    /// W3C trace context, vendors' part.
    pub tracestate: Option<String>,
}

/// An envelope that is sent without a tool.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Actors in order.
    pub route: Vec<String>,
    /// The data.
    pub payload: Raw,
    /// How long it may take; `None`: without limit.
    pub timeout: Option<Duration>,
    /// The rest.
    pub extras: Extras,
}

/// What an envelope that is sent again gets instead of what the first one had.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Actors in order.
    pub route: Option<Vec<String>>,
    /// Index of the actor to begin with.
    pub current: Option<usize>,
    /// The data.
    pub payload: Option<Raw>,
}

/// What a call answers.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Id of the envelope.
    pub id: String,
    /// Whether it is new, or had been sent before.
    pub creation: Creation,
}

/// Everything of a new envelope.
struct Make {
    route: Route,
    payload: Raw,
    headers: Headers,
    tool: Option<String>,
    timeout: Option<Duration>,
    resubmit_of: Option<String>,
    replays: Option<String>,
    id: Option<String>,
}

impl Service {
    /// Calls a tool: checks the arguments, stores the envelope, and leaves it to be published.
    ///
    /// # Errors
    /// Unknown tools, every wrong argument, an id that another envelope has ([`Error::Conflict`]), the role
    /// [`Role::Send`] missing, and those of the store.
    pub async fn call(
        &self,
        who: &Principal,
        tool: &str,
        arguments: Map<String, Value>,
        extras: Extras,
    ) -> Result<(Sent, Arc<Tool>), Error> {
        who.needs(Role::Send)?;
        let tool = self
            .tools()
            .get(tool)
            .cloned()
            .ok_or_else(|| Error::NotFound { what: "tool", name: tool.to_owned() })?;
        let payload = Raw::of(&tool.arguments(arguments).map_err(Error::Invalid)?);
        let make = Make {
            route: Route::new(tool.route.clone()),
            payload,
            headers: carried(&extras),
            tool: Some(tool.name.clone()),
            timeout: Some(tool.timeout),
            resubmit_of: None,
            replays: None,
            id: extras.id,
        };
        let sent = self.make(who, "call", make).await?;
        Ok((sent, tool))
    }

    /// Calls a tool and waits for the end of its envelope: for `limit`, else as long as the tool says, else not at all.
    /// Without an end by then, and when the store goes away meanwhile, there is the handle alone: the call is made.
    ///
    /// # Errors
    /// Those of [`Service::call`]; the role [`Role::Read`] missing where there is something to wait for.
    pub async fn call_and_wait(
        &self,
        who: &Principal,
        tool: &str,
        arguments: Map<String, Value>,
        extras: Extras,
        limit: Option<Duration>,
    ) -> Result<(Sent, Option<Tracked>), Error> {
        let wait = match limit {
            Some(limit) => Some(limit).filter(|limit| !limit.is_zero()),
            None => self.tools().get(tool).and_then(|tool| tool.wait),
        };
        if wait.is_some() {
            who.needs(Role::Read)?;
        }
        let (sent, _) = self.call(who, tool, arguments, extras).await?;
        let Some(limit) = wait else { return Ok((sent, None)) };
        let ended = self.wait(who, &sent.id, limit).await.unwrap_or_else(|error| {
            tracing::warn!(%error, id = sent.id, "a call is answered with its handle instead of its end");
            None
        });
        Ok((sent, ended))
    }

    /// Sends an envelope to actors directly.
    ///
    /// # Errors
    /// A route that is wrong or not allowed, an id that another envelope has ([`Error::Conflict`]), the role
    /// [`Role::Send`] missing, and those of the store.
    pub async fn send(&self, who: &Principal, draft: Draft) -> Result<Sent, Error> {
        who.needs(Role::Send)?;
        self.allowed(&draft.route)?;
        let headers = carried(&draft.extras);
        let make = Make {
            route: Route::new(draft.route),
            payload: draft.payload,
            headers,
            tool: None,
            timeout: draft.timeout,
            resubmit_of: None,
            replays: None,
            id: draft.extras.id,
        };
        self.make(who, "send", make).await
    }

    /// Sends an envelope again, as a new one, edited or not.
    ///
    /// # Errors
    /// Unknown envelopes, those whose payload the gateway has not seen, somebody else's without [`Role::Admin`].
    pub async fn resubmit(&self, who: &Principal, id: &str, edits: Edits) -> Result<Sent, Error> {
        let old = self.store().get(id).await?.ok_or_else(|| unknown(id))?;
        own(who, old.summary.sender.as_deref())?;
        let payload = edits.payload.or(old.payload).ok_or_else(|| {
            Error::Conflict(
                "this envelope came from a fan-out, so its payload is not known here; give one".to_owned(),
            )
        })?;
        let edited = edits.route.is_some();
        let mut route = Route::new(edits.route.unwrap_or(old.summary.actors));
        if edited {
            self.allowed(&route.actors)?;
        }
        route.current = edits.current.unwrap_or(0);
        if let Some(metadata) = old.metadata {
            route.extra.push(("metadata".to_owned(), metadata));
        }
        let mut headers = match &old.headers {
            Some(raw) => asya_envelope::envelope::parse_headers(raw).unwrap_or_default(),
            None => Headers::default(),
        };
        let payload = self.redeemed(id, &headers, payload).await?;
        headers.remove(HEADER);
        let make = Make {
            route,
            payload,
            headers,
            tool: old.summary.tool,
            timeout: old.summary.timeout,
            resubmit_of: Some(id.to_owned()),
            replays: None,
            id: None,
        };
        self.make(who, "resubmit", make).await
    }

    /// Sends an error envelope's original on again, as a new envelope, and marks the letter in the same transaction.
    pub(super) async fn replay(
        &self,
        who: &Principal,
        letter: &str,
        original: Envelope,
        edits: Edits,
    ) -> Result<Sent, Error> {
        let mut route = original.route;
        if let Some(actors) = edits.route {
            self.allowed(&actors)?;
            route = Route::new(actors);
        }
        route.current = edits.current.unwrap_or(route.current);
        let payload = match edits.payload {
            Some(payload) => payload,
            None => self.redeemed(&original.id, &original.headers, original.payload).await?,
        };
        let kept = original.headers.iter().filter(|(name, _)| !headers::is_platform(name));
        let make = Make {
            route,
            payload,
            headers: Headers::from_pairs(kept.map(|(name, value)| (name.to_owned(), value.clone()))),
            tool: None,
            timeout: None,
            resubmit_of: Some(original.id),
            replays: Some(letter.to_owned()),
            id: None,
        };
        self.make(who, "replay", make).await
    }

    /// Whether envelopes may be sent along this route directly.
    fn allowed(&self, actors: &[String]) -> Result<(), Error> {
        if actors.is_empty() || actors.len() > MAX_ROUTE {
            return Err(Error::invalid("route", format!("a route has 1 to {MAX_ROUTE} actors")));
        }
        let mut wrong = Vec::new();
        for (at, actor) in actors.iter().enumerate() {
            let reason = match ActorName::parse(actor) {
                Err(error) => error.to_string(),
                Ok(_) if self.rules.routes.iter().any(|glob| asya_envelope::glob::matches(glob, actor)) => {
                    continue;
                }
                Ok(_) => format!("this gateway does not send to actor {actor:?} directly"),
            };
            wrong.push(Wrong { field: format!("route.{at}"), reason, missing: false });
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
    }

    async fn make(&self, who: &Principal, action: &str, make: Make) -> Result<Sent, Error> {
        let now = Timestamp::now();
        let Some(actor) = make.route.current_actor().map(str::to_owned) else {
            let reason = format!(
                "the route has {} actors: it cannot begin at {}",
                make.route.actors.len(),
                make.route.current
            );
            return Err(Error::invalid("current", reason));
        };
        let id = match make.id {
            Some(id) if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) => {
                return Err(Error::invalid(
                    "id",
                    format!("an id has 1 to {MAX_ID} bytes and no control characters"),
                ));
            }
            Some(id) => id,
            None => Uuid::now_v7().to_string(),
        };
        let deadline = make.timeout.and_then(|timeout| now.checked_add(timeout).ok());
        let mut envelope = Envelope::new(id, make.route, make.payload);
        envelope.headers = make.headers;
        envelope.deadline = deadline.map(Deadline::at);
        let envelope = self.checked_in(envelope).await?;
        let body = envelope.encode();
        let limit = self.rules.limits.publishable();
        if body.len() > limit {
            return Err(Error::TooLarge { what: "the envelope", size: body.len(), limit });
        }
        let Envelope { id, route, headers, payload, .. } = envelope;
        let new = NewEnvelope {
            id,
            metadata: route.extra.into_iter().find(|(name, _)| name == "metadata").map(|(_, raw)| raw),
            actors: route.actors,
            headers: (!headers.is_empty()).then(|| headers.to_raw()),
            payload,
            tool: make.tool,
            sender: Some(who.name.clone()),
            namespace: self.rules.namespace.clone(),
            timeout: make.timeout,
            deadline,
            resubmit_of: make.resubmit_of,
            replays: make.replays,
            publish: Publish { actor, body },
        };
        let detail = json!({"tool": new.tool, "route": new.actors, "of": new.resubmit_of});
        let by = audited(who, action, Some(&new.id), Some(&detail));
        let creation = self.store().create_by(&new, Some(by), now).await?;
        match creation {
            Creation::Exists if !self.store().get(&new.id).await?.is_some_and(|old| repeats(&new, &old)) => {
                return Err(Error::Conflict(format!(
                    "envelope {:?} exists with another route, tool, sender or payload",
                    new.id
                )));
            }
            Creation::Created | Creation::Exists => {}
        }
        Ok(Sent { id: new.id, creation })
    }
}

/// Whether `new` is what `old` was when it was sent. Actors add to a route and take nothing away from it, so the first
/// route is in order within the one that there is now.
fn repeats(new: &NewEnvelope, old: &Tracked) -> bool {
    let mut now = old.summary.actors.iter();
    let value = |raw: &Raw| serde_json::from_str::<Value>(raw.as_str()).ok();
    new.actors.iter().all(|actor| now.any(|other| other == actor))
        && new.tool == old.summary.tool
        && new.sender == old.summary.sender
        && old
            .payload
            .as_ref()
            .is_some_and(|old| same_content(old, &new.payload) || value(old) == value(&new.payload))
}

/// The headers that an envelope gets from a caller: its own without the platform's, and the trace.
fn carried(extras: &Extras) -> Headers {
    let own = extras.headers.iter().filter(|(name, _)| !headers::is_platform(name));
    let own = own.map(|(name, value)| (name.to_owned(), value.clone()));
    let trace = [(TRACEPARENT, &extras.traceparent), (TRACESTATE, &extras.tracestate)];
    let trace =
        trace.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Raw::of(value.as_ref()?))));
    Headers::from_pairs(own.chain(trace))
}
