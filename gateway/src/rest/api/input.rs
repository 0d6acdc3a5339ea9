//! Bodies, queries and ids, read strictly: unknown names and wrong types are refused with the name of the field.

use std::marker::PhantomData;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::Refusal;
use crate::{
    auth::Principal,
    rest::body::{Unread, whole},
    service::send::Extras,
};

/// Who asks, as authentication says it. A request that went through none is refused.
pub struct Who(pub Principal);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let who = parts.extensions.get::<Principal>().cloned();
        who.map(Self)
            .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", "who asks is not known"))
    }
}

/// The last segment of a path, or the one before a verb.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(Path(name)) if name.contains('\0') => {
                Err(Refusal::field("id", "an id has no control characters"))
            }
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Refusal::field("id", rejection.body_text())),
        }
    }
}

/// A query string. Every name is known and there once.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
            .map_err(|error| Refusal::field("", format!("the query cannot be read: {error}")))?;
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Refusal::field(name, "a value has no control characters"));
        }
        let pairs = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(
            pairs.iter().map(|(name, value)| (name.as_str(), Text(value))),
        );
        serde_path_to_error::deserialize(pairs).map(Self).map_err(|error| wrong(&error))
    }
}

/// A value of a query: text that is read as what is wanted.
struct Text<'a>(&'a str);

impl<'de, E: serde::de::Error> serde::de::IntoDeserializer<'de, E> for Text<'de> {
    type Deserializer = TextDeserializer<'de, E>;

    fn into_deserializer(self) -> Self::Deserializer {
        TextDeserializer(self.0, PhantomData)
    }
}

/// Reads [`Text`].
struct TextDeserializer<'a, E>(&'a str, PhantomData<E>);

impl<'de, E: serde::de::Error> Deserializer<'de> for TextDeserializer<'de, E> {
    type Error = E;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_i64<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_i64(self.0.parse().map_err(|_| E::custom(format!("{:?} is not a number", self.0)))?)
    }

    fn deserialize_u64<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        let number = self.0.parse().map_err(|_| E::custom(format!("{:?} is not a whole number", self.0)))?;
        visitor.visit_u64(number)
    }

    fn deserialize_bool<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_bool(
            self.0.parse().map_err(|_| E::custom(format!("{:?} is neither true nor false", self.0)))?,
        )
    }

    fn deserialize_enum<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_enum(serde::de::value::BorrowedStrDeserializer::new(self.0))
    }

    fn deserialize_newtype_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 u32 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let headers = request.headers().clone();
        let body = bytes(request, state).await?;
        typed(&headers)?;
        parse(&body).map(|Object(body)| Self(body))
    }
}

/// A JSON body of an actor, of whatever type its header says: no web page has its credentials.
pub struct Sent<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        parse(&bytes(request, state).await?).map(|Object(body)| Self(body))
    }
}

/// A JSON body that may be left out, with everything in it.
pub struct MaybeBody<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let headers = request.headers().clone();
        let body = bytes(request, state).await?;
        if body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            return Ok(Self(T::default()));
        }
        typed(&headers)?;
        let given: Option<Object<T>> = if body.is_empty() { None } else { parse(&body)? };
        Ok(Self(given.map_or_else(T::default, |Object(given)| given)))
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    whole(request, state).await.map_err(|error| match error {
        Unread::Large(_) => Refusal::new(error.status(), error.code(), error.to_string()),
        Unread::Broken(_) => Refusal::field("", error.to_string()),
    })
}

/// Refuses what a foreign web page could send without being asked for its origin.
fn typed(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let text = "a body needs the header Content-Type: application/json";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(&error))?;
    json.end().map_err(|error| Refusal::field("", error.to_string()))?;
    Ok(value)
}

fn wrong(error: &serde_path_to_error::Error<impl std::fmt::Display>) -> Refusal {
    let path = error.path().to_string().replace('[', ".").replace(']', "");
    let reason = error.inner().to_string();
    // Of a missing, unknown or repeated field the path is the object that it should be in.
    let named = ["missing field `", "unknown field `", "duplicate field `"].iter().find_map(|start| {
        let rest = reason.strip_prefix(start)?;
        rest.split_once('`').map(|(name, _)| name.to_owned())
    });
    let field = match (path.as_str(), named) {
        ("." | "?", None) => String::new(),
        (".", Some(name)) => name,
        (path, Some(name)) if path.rsplit('.').next() != Some(&name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    Refusal::field(field, reason)
}

/// An object. Derived readers of structures take a list of their fields too, which nobody means.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Object)
            }
        }
        value.deserialize_map(Members(PhantomData))
    }
}

/// Tells `null` from a field that is not there.
pub(super) fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(value).map(Some)
}

/// The trace that a request belongs to.
pub struct Trace(pub Extras);

impl<S: Sync> FromRequestParts<S> for Trace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let text =
            |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self(Extras {
            traceparent: text("traceparent"),
            tracestate: text("tracestate"),
            ..Extras::default()
        }))
    }
}
