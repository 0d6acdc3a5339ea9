//! Tickets that a socket is opened with.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Refusal, input::Who, refusal::Any};
use crate::{
    auth::{Admission, Role},
    ws::{
        door::TICKET,
        tickets::{Ticket, Tickets},
    },
};

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewTicket {
    /// Its text.
    ticket: String,
    /// The subprotocol to offer beside that of the form that is wanted.
    #[schema(example = "asya.ticket.1767225600000.2vC0x5uIl7mM3T0wVn6fUe3kq0rYJd4bQ9aZsXcWpLg")]
    protocol: String,
    /// When it is good no more.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
}

/// Make a ticket for the socket `/ws/`, for clients that can send no header with it, as browsers: it lets in whoever asks
/// here, once, within 30 seconds, at any replica. Needs the role `chat` or `approve`.
#[utoipa::path(post, path = "/ws-tickets", operation_id = "makeTicket", tag = "sessions",
    responses((status = 201, description = "The ticket, which is told this once", body = NewTicket), Any))]
pub(super) async fn issue(
    State(api): State<Api>,
    Who(who): Who,
    admission: Option<Extension<Admission>>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<NewTicket>), Refusal> {
    let unknown = || Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", "who asks is not known");
    let Extension(admission) = admission.ok_or_else(unknown)?;
    if !who.roles.has(Role::Approve) {
        who.needs(Role::Chat)?;
    }
    let Ticket { text, end } = Tickets::of(&api.service).issue(&admission, Timestamp::now()).await?;
    let new = NewTicket { protocol: format!("{TICKET}{text}"), ticket: text, expires: end };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(new)))
}
