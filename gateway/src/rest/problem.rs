//! Refusals. Clients of the Go system read plain text; whoever asks for it gets `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::service::Error;

/// The media type.
pub const PROBLEM: &str = "application/problem+json";

/// How a client wants to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line of text.
    Text,
    /// [`PROBLEM`].
    Problem,
}

impl Form {
    /// What the `Accept` header asks for.
    pub fn asked(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let asks = accepts.filter_map(|value| value.to_str().ok()).any(|value| value.contains(PROBLEM));
        if asks { Self::Problem } else { Self::Text }
    }

    /// The form for a path: those that the Go system does not have know one only.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        if path.starts_with("/api/") || path.starts_with("/internal/") {
            Self::Problem
        } else {
            Self::asked(headers)
        }
    }

    /// A refusal in this form.
    pub fn refuse(self, error: &Error) -> Response {
        let status = status(error);
        let text = match error {
            // The sentence that clients of the Go system compare with.
            Error::NotFound { what: "Envelope", .. } => "Envelope not found".to_owned(),
            error => error.to_string(),
        };
        self.say(status, error.code(), &text, error)
    }

    /// A refusal of what did not even become a request.
    pub fn reject(self, status: StatusCode, code: &str, text: &str) -> Response {
        self.say(status, code, text, &Error::Invalid(Vec::new()))
    }

    fn say(self, status: StatusCode, code: &str, text: &str, error: &Error) -> Response {
        if self == Self::Text {
            let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            return (status, kind, format!("{text}\n")).into_response();
        }
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": text,
            "code": code,
        });
        if let Error::Invalid(wrong) = error
            && !wrong.is_empty()
        {
            let fields = wrong.iter().map(|wrong| json!({"field": wrong.field, "reason": wrong.reason}));
            body["errors"] = fields.collect();
        }
        (status, [(header::CONTENT_TYPE, PROBLEM)], body.to_string()).into_response()
    }
}

/// Answers a path that leads nowhere. Below `/envelopes/` it is one of the wrong shape, which the contract has as 400.
pub async fn no_such_route(uri: Uri, headers: HeaderMap) -> Response {
    let form = Form::of(uri.path(), &headers);
    if uri.path().starts_with("/envelopes/") {
        let text = "the path must be /envelopes/ID, or that and /stream, /active, /progress or /final";
        return form.reject(StatusCode::BAD_REQUEST, "invalid", text);
    }
    form.reject(StatusCode::NOT_FOUND, "not_found", "there is no such route")
}

/// Answers a method that a route does not have. The routes that there are stand in the header `Allow`, which axum sets.
pub async fn no_such_method(uri: Uri, headers: HeaderMap) -> Response {
    let text = "this route has other methods: see the Allow header";
    Form::of(uri.path(), &headers).reject(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text)
}

/// The status code of a refusal.
pub fn status(error: &Error) -> StatusCode {
    match error {
        Error::NotFound { .. } => StatusCode::NOT_FOUND,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::Denied { .. } | Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
