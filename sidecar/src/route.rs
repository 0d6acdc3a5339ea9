//! From a handler's answer to the messages that follow from it. Pure: no clock, no network.
//!
//! Of an answer only `payload`, `route` and `headers` count; identity, deadline and unknown fields are the input's, and
//! platform headers are put back.

use std::collections::HashSet;

use asya_envelope::{Envelope, Headers, Raw, Route, glob::matches, headers, lineage::Lineage};
use asya_handler::Item;
use asya_payload::reference::HEADER;
use asya_telemetry::TraceContext;
use asya_transport::Outgoing;

use crate::{
    Child, EngineConfig, budget,
    claim::Leaving,
    failure::{END_IN_ROUTE, INVALID_ROUTE, LOOP, NOT_ADVANCED, ROUTE_NOT_ALLOWED, Refusal, TOO_LARGE},
};

/// Where a message goes, in the words of the metric `messages_sent_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Routing,
    HappyEnd,
    ErrorEnd,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::HappyEnd => "happy_end",
            Self::ErrorEnd => "error_end",
        }
    }
}

/// One message with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) kind: Kind,
    pub(crate) outgoing: Outgoing,
    /// A child of the fan-out, if somebody wants to know of them.
    pub(crate) child: Option<Box<Child>>,
}

/// Turns the answers to one envelope into messages.
pub(crate) struct Router<'a> {
    config: &'a EngineConfig,
    /// What the handler got.
    input: &'a Envelope,
    /// The same as it came, its payload by reference if that is how it came.
    came: &'a Envelope,
    attempt: u32,
    trace: Option<TraceContext>,
    lineage: Lineage,
    announcing: bool,
    /// Changes to platform headers that were undone so far.
    pub(crate) headers_restored: usize,
    /// Why the last report of a cost was not counted, if it was not.
    pub(crate) cost_ignored: Option<String>,
}

impl<'a> Router<'a> {
    /// `attempt` is the run whose answers are routed, 0 if no handler ran; `trace` what the messages carry on.
    pub(crate) fn new(
        config: &'a EngineConfig,
        input: &'a Envelope,
        attempt: u32,
        trace: Option<TraceContext>,
    ) -> Self {
        let lineage = Lineage::of(input);
        Self {
            config,
            input,
            came: input,
            attempt,
            trace,
            lineage,
            announcing: false,
            headers_restored: 0,
            cost_ignored: None,
        }
    }

    /// Messages for children say so.
    #[must_use]
    pub(crate) fn announcing(self, announcing: bool) -> Self {
        Self { announcing, ..self }
    }

    /// What goes to an end unhandled or failed goes as it came.
    #[must_use]
    pub(crate) fn came_as(mut self, came: &'a Envelope) -> Self {
        self.came = came;
        self
    }

    /// The `index`-th item (0-based) of an answer of `count` items; only item 0 of a fan-out needs the count.
    pub(crate) fn item(
        &mut self,
        item: impl Into<Leaving>,
        index: u64,
        count: Option<u64>,
    ) -> Result<Addressed, Refusal> {
        let Leaving { item: Item { payload, route, headers }, reference } = item.into();
        let mut next = Envelope { payload, ..self.input.clone() };
        next.route = match route {
            Some(route) => self.checked(route)?,
            None => self.input.route.advanced(),
        };
        if let Some(returned) = headers {
            let (merged, restored) = Headers::merged(&self.input.headers, returned);
            next.headers = merged;
            self.headers_restored += restored;
        }
        next.headers.remove(headers::RUNS);
        next.headers.remove(headers::APPROVED);
        if let Some(why) = budget::charge(&mut next)? {
            self.cost_ignored = Some(why);
        }
        next.headers.remove(HEADER);
        if let Some(reference) = &reference {
            reference.stand_in(&mut next);
        }
        self.lineage.assign(&mut next, index, count);
        budget::leaving(&next)?;
        let child = (self.announcing && index > 0).then(|| {
            Box::new(Child {
                id: next.id.clone(),
                parent: self.input.id.clone(),
                actors: next.route.actors.clone(),
                current: next.route.current,
            })
        });
        Ok(Addressed { child, ..self.addressed(next)? })
    }

    /// All items of a complete answer, item 0 last: it says how many there are, so it must not be seen first.
    pub(crate) fn items(&mut self, items: Vec<impl Into<Leaving>>) -> Result<Vec<Addressed>, Refusal> {
        let count = Some(items.len() as u64);
        let mut messages = Vec::with_capacity(items.len());
        for (index, item) in (0..).zip(items) {
            messages.push(self.item(item, index, count)?);
        }
        if !messages.is_empty() {
            messages.rotate_left(1);
        }
        Ok(messages)
    }

    /// The answer was empty: the input itself goes to the happy end, `current` unchanged.
    pub(crate) fn nothing(&self) -> Result<Addressed, Refusal> {
        let mut ended = self.came.clone();
        ended.headers.remove(headers::RUNS);
        self.sent_to(ended, Kind::HappyEnd)
    }

    /// A whole envelope of a platform actor: identity and platform headers as they are.
    pub(crate) fn platform(&self, envelope: Envelope) -> Result<Addressed, Refusal> {
        match envelope.route.current_actor() {
            Some(actor) if self.config.is_end(actor) => return Err(end_in_route(actor)),
            None if self.config.ends_here() => {
                return Err(Refusal::new(END_IN_ROUTE, "an end actor must not send to an end"));
            }
            _ => {}
        }
        self.addressed(envelope)
    }

    /// An envelope as the error envelope wraps it: counted and traced like anything that is sent.
    pub(crate) fn stamped(&self, mut envelope: Envelope) -> Envelope {
        envelope.headers.remove(headers::RUNS);
        self.stamp(&mut envelope);
        envelope
    }

    /// The envelope whose answers are routed, as it came.
    pub(crate) fn came(&self) -> &Envelope {
        self.came
    }

    /// A handler's route, if it keeps to the rules.
    fn checked(&self, route: Route) -> Result<Route, Refusal> {
        let input = &self.input.route;
        if route.current > route.actors.len() {
            let reason = format!(
                "the handler returned route.current {} in a route of {} actors",
                route.current,
                route.actors.len()
            );
            return Err(Refusal::new(INVALID_ROUTE, reason));
        }
        if !route.keeps_history_of(input) {
            let reason = format!(
                "the handler changed actors that the envelope has already visited: {:?} became {:?}",
                past(input, input.current),
                past(&route, input.current)
            );
            return Err(Refusal::new(INVALID_ROUTE, reason));
        }
        if route.current == input.current {
            let reason = format!(
                "the handler returned the envelope without advancing route.current ({}): it would come back to \
                 {:?} for ever",
                route.current, self.config.actor
            );
            return Err(Refusal::new(NOT_ADVANCED, reason));
        }
        if route.actors == input.actors {
            return Ok(route);
        }
        if let Some(end) = route.actors.iter().find(|actor| self.config.is_end(actor)) {
            return Err(end_in_route(end));
        }
        let planned: HashSet<&String> = input.actors.iter().skip(input.current + 1).collect();
        let inserted = route.actors.iter().skip(input.current + 1).filter(|actor| !planned.contains(actor));
        for actor in inserted {
            if !self.config.allowed_routes.iter().any(|glob| matches(glob, actor)) {
                let reason = format!(
                    "the handler inserted actor {actor:?}, but may only insert {:?}",
                    self.config.allowed_routes
                );
                return Err(Refusal::new(ROUTE_NOT_ALLOWED, reason));
            }
        }
        Ok(route)
    }

    fn addressed(&self, envelope: Envelope) -> Result<Addressed, Refusal> {
        let kind = if envelope.route.current_actor().is_some() { Kind::Routing } else { Kind::HappyEnd };
        self.sent_to(envelope, kind)
    }

    fn sent_to(&self, mut envelope: Envelope, kind: Kind) -> Result<Addressed, Refusal> {
        let hops = self.stamp(&mut envelope);
        if kind == Kind::Routing && hops > self.config.max_hops {
            let reason = format!("published {hops} times, more than the limit of {}", self.config.max_hops);
            return Err(Refusal::new(LOOP, reason));
        }
        let actor = match kind {
            Kind::Routing => envelope.route.current_actor().unwrap_or(&self.config.happy_end),
            Kind::HappyEnd => &self.config.happy_end,
            Kind::ErrorEnd => &self.config.error_end,
        };
        let queue = self.config.naming.queue(actor);
        let body = envelope.encode();
        let limit = match kind {
            Kind::Routing => self.config.limits.publishable(),
            Kind::HappyEnd | Kind::ErrorEnd => self.config.limits.max_envelope,
        };
        if body.len() > limit {
            let reason = format!(
                "the result for {actor:?} is an envelope of {} bytes, over the limit of {limit} bytes",
                body.len()
            );
            return Err(Refusal::new(TOO_LARGE, reason));
        }
        Ok(Addressed { kind, outgoing: Outgoing { queue, body }, child: None })
    }

    /// Writes the headers that every publish updates; returns the number of hops.
    fn stamp(&self, envelope: &mut Envelope) -> u64 {
        let hops = envelope.headers.get_u64(headers::HOPS).unwrap_or(0).saturating_add(1);
        envelope.headers.set(headers::HOPS, Raw::of(&hops));
        envelope.headers.remove(headers::COST);
        if self.attempt > 0 {
            envelope.headers.set(headers::ATTEMPT, Raw::of(&self.attempt));
        }
        if let Some(trace) = self.trace {
            envelope.headers.set(headers::TRACEPARENT, Raw::of(&trace.to_string()));
        }
        hops
    }
}

fn past(route: &Route, current: usize) -> &[String] {
    &route.actors[..(current + 1).min(route.actors.len())]
}

pub(crate) fn end_in_route(end: &str) -> Refusal {
    Refusal::new(
        END_IN_ROUTE,
        format!(
            "actor {end:?} must not be inside a route: finished and failed envelopes go there by themselves"
        ),
    )
}

/// The trace that an envelope belongs to, if it carries one.
pub(crate) fn trace_of(envelope: &Envelope) -> Option<TraceContext> {
    TraceContext::parse(&envelope.headers.get_text(headers::TRACEPARENT)?)
}

#[cfg(test)]
mod tests;
