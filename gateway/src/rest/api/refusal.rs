//! Refusals as problem+json (RFC 9457), and how they are described.

use std::collections::BTreeMap;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{Content, RefOr, ResponseBuilder, response::Response as Described},
};

use crate::{
    rest::problem::{PROBLEM, status},
    service::Error,
    tools::Wrong,
};

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Bad Request", "status": 400, "code": "invalid",
    "detail": "page: \"one\" is not of type \"integer\"",
    "errors": [{"field": "page", "reason": "\"one\" is not of type \"integer\""}]
}))]
pub struct Problem {
    /// Always `about:blank`: the kind is in `code`.
    pub r#type: &'static str,
    /// The status code in words.
    pub title: &'static str,
    /// The status code.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong, for a person.
    pub detail: String,
    /// What kind of refusal it is, for programs: `invalid`, `not_found`, `denied`, `conflict`, `too_large`,
    /// `unavailable`, …
    pub code: String,
    /// Everything that is wrong with the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its path, of arguments of a tool within these: `order.items.0`; empty for the body as a whole.
    pub field: String,
    /// What is wrong with it, and what it must be.
    pub reason: String,
}

/// A refusal as a response.
#[derive(Clone, Debug)]
pub struct Refusal(Problem);

impl Refusal {
    /// A refusal of what is no use case.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            errors: Vec::new(),
        })
    }

    /// What it says.
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    /// One field is wrong.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::invalid(field, reason).into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let Self(problem) = Self::new(status(&error), error.code(), error.to_string());
        let errors = match error {
            Error::Invalid(wrong) => {
                wrong.into_iter().map(|Wrong { field, reason, .. }| FieldError { field, reason }).collect()
            }
            _ => Vec::new(),
        };
        Self(Problem { errors, ..problem })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&problem).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, PROBLEM)], body).into_response()
    }
}

/// Refusals that every route knows.
pub struct Any;
/// Refusals of a route with an id.
pub struct Known;
/// Refusals of a route with a body.
pub struct Taking;
/// Refusals of a route with an id and a body.
pub struct KnownTaking;

const ANY: &[(u16, &str)] = &[
    (400, "The request is wrong as it stands: `errors` names every field"),
    (401, "Who asks is not known"),
    (403, "Who asks may not do this"),
    (429, "Too many requests at a time"),
    (503, "Store or broker cannot do it now; nothing was done"),
];
const UNKNOWN: &[(u16, &str)] = &[(404, "There is no such thing")];
const BODY: &[(u16, &str)] = &[
    (409, "It cannot be done in the state that the thing is in"),
    (413, "The body, or the envelope made from it, is too large"),
    (415, "The body is not `application/json`"),
];

fn described(refusals: &[&[(u16, &str)]]) -> BTreeMap<String, RefOr<Described>> {
    let content = Content::new(Some(utoipa::openapi::Ref::from_schema_name(Problem::name())));
    let one = |(status, text): &(u16, &str)| {
        let response = ResponseBuilder::new().description(*text).content(PROBLEM, content.clone());
        (status.to_string(), RefOr::T(response.build()))
    };
    refusals.iter().copied().flatten().map(one).collect()
}

/// The same, for routes that say it in a line of text unless they are asked for a problem.
fn described_plainly(refusals: &[&[(u16, &str)]]) -> BTreeMap<String, RefOr<Described>> {
    let mut responses = described(refusals);
    for response in responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.insert("text/plain".to_owned(), RefOr::T(Content::new(Some(String::schema()))));
        }
    }
    responses
}

/// Refusals that every route of the contract knows.
pub struct Plain;
/// Refusals of a route of the contract with an id.
pub struct PlainKnown;
/// Refusals of a route of the contract with a body.
pub struct PlainTaking;
/// Refusals of a route of the contract with an id and a body.
pub struct PlainKnownTaking;

/// Refusals of a body, whatever its type.
const ANY_BODY: &[(u16, &str)] = &[(413, "The body is too large: the text says how many bytes are taken")];

impl IntoResponses for Plain {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described_plainly(&[ANY])
    }
}

impl IntoResponses for PlainKnown {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described_plainly(&[ANY, UNKNOWN])
    }
}

impl IntoResponses for PlainTaking {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described_plainly(&[ANY, ANY_BODY])
    }
}

impl IntoResponses for PlainKnownTaking {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described_plainly(&[ANY, UNKNOWN, ANY_BODY])
    }
}

impl IntoResponses for Any {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described(&[ANY])
    }
}

impl IntoResponses for Known {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described(&[ANY, UNKNOWN])
    }
}

impl IntoResponses for Taking {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described(&[ANY, BODY])
    }
}

impl IntoResponses for KnownTaking {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        described(&[ANY, UNKNOWN, BODY])
    }
}

/// The schema of [`Problem`], for the description's components.
pub(super) fn schema() -> (String, RefOr<utoipa::openapi::Schema>) {
    (Problem::name().into_owned(), Problem::schema())
}
