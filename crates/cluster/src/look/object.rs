//! One object.

use asya_analysis::{Object, scrub::scrub};
use serde_json::Value;

use super::Error;
use crate::catalogue::encode;
use crate::{Api, Refusal, Served};

/// Longest texts within an object that is too large as a whole, in characters: one after the other is tried.
const TEXTS: [usize; 4] = [16_384, 2048, 256, 32];

/// The object of this name, without the values of a Secret. Its [`Object::shown`] has nothing that looks like one.
///
/// # Errors
/// [`Error::NoNamespace`], [`Error::NoObject`] and [`Error::Refused`].
pub async fn object(
    api: &Api,
    served: &Served,
    namespace: Option<&str>,
    name: &str,
) -> Result<Object, Error> {
    if served.namespaced && namespace.is_none() {
        return Err(Error::NoNamespace { kind: served.kind.clone() });
    }
    let place = namespace.filter(|_| served.namespaced);
    let path = format!("{}/{}", served.path(place), encode(name));
    let mut value: Value = api.json(&path).await.map_err(|refusal| match refusal {
        Refusal::NotFound { object: true } => not_found(served, place, name),
        refusal => Error::refused("get", &served.full_name(), place)(refusal),
    })?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), served.api_version().into());
        fields.insert("kind".to_owned(), served.kind.clone().into());
    }
    let malformed = |said: String| Error::refused("get", &served.full_name(), place)(Refusal::Failed(said));
    Object::new(value).map_err(|error| malformed(scrub(&error.to_string())))
}

/// That there is no such object.
#[must_use]
pub fn not_found(served: &Served, namespace: Option<&str>, name: &str) -> Error {
    let served = Box::new(served.clone());
    Error::NoObject { served, namespace: namespace.map(str::to_owned), name: name.to_owned() }
}

/// Shortens the texts of an object until `fits`, and says to how many characters: none if nothing was shortened.
///
/// # Errors
/// The object, shortened: it does not fit however short its texts are.
pub fn fitting(mut object: Value, fits: impl Fn(&Value) -> bool) -> Result<(Value, Option<usize>), Value> {
    if fits(&object) {
        return Ok((object, None));
    }
    for longest in TEXTS {
        shorten(&mut object, longest);
        if fits(&object) {
            return Ok((object, Some(longest)));
        }
    }
    Err(object)
}

fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(longest) {
                text.truncate(at);
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, longest)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, longest)),
        _ => {}
    }
}
