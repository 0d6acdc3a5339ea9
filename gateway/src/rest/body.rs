//! Bodies, bounded; and those and ids of the contract's routes, refused in the form that the client reads.

use std::ops::Deref;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request},
    http::{StatusCode, request::Parts},
    response::Response,
};
use serde::de::DeserializeOwned;

use super::problem::Form;

/// The most bytes that a body may have.
#[derive(Clone, Copy, Debug)]
struct Limit(usize);

/// Routes whose bodies have at most `most` bytes, and are refused with that number.
pub fn bounded<S: Clone + Send + Sync + 'static>(router: Router<S>, most: usize) -> Router<S> {
    router.layer(DefaultBodyLimit::max(most)).layer(Extension(Limit(most)))
}

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is larger than may be.
    #[error("the body is too large{}", .0.map(|most| format!(": at most {most} bytes are taken")).unwrap_or_default())]
    Large(Option<usize>),
    /// It ended early.
    #[error("the body cannot be read: {0}")]
    Broken(String),
}

impl Unread {
    /// How that is answered.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Large(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The kind, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Large(_) => "too_large",
            Self::Broken(_) => "invalid",
        }
    }
}

/// A whole body.
///
/// # Errors
/// It is larger than its route takes, or ended early.
pub async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<bytes::Bytes, Unread> {
    let most = request.extensions().get().map(|Limit(most)| *most);
    bytes::Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Unread::Large(most),
        _ => Unread::Broken(rejection.body_text()),
    })
}

/// A body of the contract's routes, of whatever type its header says: clients of the Go system need not name one.
pub struct Bytes(bytes::Bytes);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let form = Form::asked(request.headers());
        let body = whole(request, state).await;
        body.map(Self).map_err(|error| form.reject(error.status(), error.code(), &error.to_string()))
    }
}

/// What a path of the contract's routes says.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let form = Form::asked(&parts.headers);
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(said)| Self(said))
            .map_err(|rejection| form.reject(StatusCode::BAD_REQUEST, "invalid", &rejection.body_text()))
    }
}
