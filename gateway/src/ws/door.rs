//! Who is let in, and which form is spoken.
//!
//! A browser can send no header with a socket: it offers a ticket as a subprotocol. Which web pages may ask is judged for
//! all routes alike ([`crate::rest::guard`]).

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header::SEC_WEBSOCKET_PROTOCOL},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Ws,
    line::{FRAME, Line},
    reference::Reference,
    talk::Talk,
    tickets::Tickets,
    v1::V1,
};
use crate::{
    auth::{Admission, Peer, Refusal, Role},
    rest::{
        api::{self, chat::messages::First, input::Query},
        guard::{Seat, Stopping},
        problem::Form,
    },
};

/// What the subprotocol of a ticket begins with.
pub const TICKET: &str = "asya.ticket.";
/// Everything, with the shapes of `/api/v1`.
pub const ASYA_V1: &str = "asya.v1";
/// The reference's messages, which are spoken too where no subprotocol is offered.
pub const ASYA_V0: &str = "asya.v0";
/// What is read of a connection at once, in bytes; a larger message takes more for as long as it is read.
const READ: usize = 8 * 1024;

/// Lets people through, with their [`Admission`] and without their ticket.
pub(super) async fn enter(State(ws): State<Arc<Ws>>, mut request: Request, next: Next) -> Response {
    let Some(offers) = Offers::of(request.headers()) else {
        let text = format!("offer the subprotocol {ASYA_V1}, or {ASYA_V0}: none of those is spoken here");
        let form = Form::of(request.uri().path(), request.headers());
        return form.reject(StatusCode::BAD_REQUEST, "invalid", &text);
    };
    let peer = Peer::of(request.extensions());
    match ws.admit(peer, request.headers(), offers.ticket.as_deref()).await {
        Ok(admission) => {
            request.extensions_mut().insert(admission);
            offers.put(request.headers_mut());
            next.run(request).await
        }
        Err(refusal) => ws.auth.refuse(&request, &refusal),
    }
}

impl Ws {
    async fn admit(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        ticket: Option<&str>,
    ) -> Result<Admission, Refusal> {
        if self.auth.open && !self.guard.origins.loopback {
            return Err(Refusal::Forbidden(
                "this gateway asks nobody who they are, and others than this machine could come: name who may come, or \
                 listen to this machine only"
                    .to_owned(),
            ));
        }
        match ticket {
            Some(ticket) if !self.auth.open => {
                let tickets = Tickets::of(&self.service);
                let redeemed = tickets.redeem(ticket, Timestamp::now());
                let admission = self.auth.failures.judge(peer, ticket, redeemed).await?;
                if !self.auth.is_good(&admission) {
                    return Err(Refusal::Wrong(
                        "what the ticket was made on is not good any more".to_owned(),
                    ));
                }
                self.auth.pace(&admission.principal)?;
                Ok(admission)
            }
            // Where nothing is asked, nothing that is given is wrong.
            _ => self.auth.admit(peer, headers).await,
        }
    }
}

/// The subprotocols that a client offers.
struct Offers {
    ticket: Option<String>,
    /// Those that are none, with commas between them.
    forms: String,
}

impl Offers {
    /// What stands in the headers; `None`: something, and none of the forms that are spoken here.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|list| list.to_str().ok());
        let offers = lists.flat_map(|list| list.split(',')).map(str::trim).filter(|offer| !offer.is_empty());
        let (tickets, forms): (Vec<&str>, Vec<&str>) = offers.partition(|offer| offer.starts_with(TICKET));
        let spoken = [ASYA_V1, ASYA_V0].iter().any(|form| forms.contains(form));
        let nothing = tickets.is_empty() && forms.is_empty();
        let ticket = tickets.first().and_then(|offer| offer.strip_prefix(TICKET)).map(str::to_owned);
        (spoken || nothing).then(|| Self { ticket, forms: forms.join(", ") })
    }

    /// Puts them back without the ticket.
    fn put(self, headers: &mut HeaderMap) {
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Ok(forms) = HeaderValue::try_from(self.forms)
            && !forms.is_empty()
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, forms);
        }
    }
}

/// Where a conversation in the reference's form begins, or goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// With this agent; needless where there is one only.
    agent: Option<String>,
    /// In this session.
    session: Option<String>,
    /// From this entry on.
    #[serde(default)]
    from: First,
}

/// Opens the socket.
pub(super) async fn open(
    State(ws): State<Arc<Ws>>,
    Extension(admission): Extension<Admission>,
    place: Result<Query<Place>, api::Refusal>,
    stopping: Option<Extension<Stopping>>,
    seat: Option<Extension<Seat>>,
    (uri, headers): (Uri, HeaderMap),
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let opened = async {
        let upgrade = upgrade.map_err(|rejection| {
            api::Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", rejection.body_text())
        })?;
        let Query(place) = place?;
        let upgrade = upgrade
            .protocols([ASYA_V1, ASYA_V0])
            .max_message_size(FRAME)
            .max_frame_size(FRAME)
            .read_buffer_size(READ)
            .write_buffer_size(0);
        let who = &admission.principal;
        let own = ws.guard.seats.take(&who.name).ok_or_else(|| {
            let text = format!("{} has {} sockets already", who.name, ws.guard.seats.most());
            api::Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", text)
        })?;
        let mut talk = Talk::new(ws.service.clone(), Arc::clone(&ws.auth), who.clone());
        let versioned = upgrade.selected_protocol().is_some_and(|form| form == ASYA_V1);
        let line = |talk, auth| Line {
            talk,
            auth,
            admission: admission.clone(),
            pace: ws.pace,
            stop: stopping.map(|Extension(Stopping(stop))| stop).unwrap_or_default(),
            metrics: Arc::clone(&ws.guard.metrics),
        };
        if versioned {
            if uri.query().is_some_and(|query| !query.is_empty()) {
                let text = format!("{ASYA_V1} says everything by messages, and nothing by the address");
                return Err(api::Refusal::field("", text));
            }
            if !who.roles.has(Role::Approve) {
                who.needs(Role::Chat)?;
            }
            let line = line(talk, Arc::clone(&ws.auth));
            return Ok::<_, api::Refusal>(upgrade.on_upgrade(async move |socket| {
                line.run(socket, V1).await;
                drop((seat, own));
            }));
        }
        who.needs(Role::Chat)?;
        let Place { agent, session, from } = place;
        let mut answered = false;
        if let Some(session) = session {
            answered = talk.answered(&session, from.0).await?;
            talk.follow(&session, from.0).await?;
        }
        let line = line(talk, Arc::clone(&ws.auth));
        Ok(upgrade.on_upgrade(async move |socket| {
            line.run(socket, Reference::new(agent, answered)).await;
            drop((seat, own));
        }))
    };
    opened.await.unwrap_or_else(|refusal: api::Refusal| {
        let problem = refusal.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Form::of(uri.path(), &headers).reject(status, &problem.code, &problem.detail)
    })
}
