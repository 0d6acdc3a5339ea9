//! What several analyzers say in the same words.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event};

use crate::failure::{Failure, Severity};
use crate::object::{Object, ObjectRef};

/// A failure in the words of an event; `path` of `object` has `value`, which is what the event explains.
pub(crate) fn told_by(event: &Event, code: &str, object: &ObjectRef, path: &str, value: &str) -> Failure {
    let message = event.message.clone().unwrap_or_default();
    let source = ObjectRef::of::<Event>(
        event.metadata.namespace.as_deref(),
        event.metadata.name.as_deref().unwrap_or_default(),
    );
    Failure::new(code, Severity::Error, message.clone())
        .seen(object, path, value.to_owned())
        .seen(&source, ".message", message)
}

/// How a container ended, in words: `Error, exit code 3`.
pub(crate) fn ending(ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("unknown reason");
    match ended.signal {
        Some(signal) if signal != 0 => format!("{reason}, signal {signal}"),
        _ => format!("{reason}, exit code {}", ended.exit_code),
    }
}

/// `message`, or something else where there is none.
pub(crate) fn text_or(message: Option<&str>, otherwise: impl FnOnce() -> String) -> String {
    message.filter(|message| !message.is_empty()).map_or_else(otherwise, str::to_owned)
}

/// The reason and the message of a condition as the end of a sentence: ` (reason): message`, or as much as there is.
pub(crate) fn because(reason: Option<&str>, message: Option<&str>) -> String {
    let reason = reason.filter(|text| !text.is_empty()).map(|text| format!(" ({text})")).unwrap_or_default();
    let message = message.filter(|text| !text.is_empty()).map(|text| format!(": {}", steady(text)));
    let message = message.unwrap_or_default();
    format!("{reason}{message}")
}

/// The names of an object that a text about it contains: its own and its namespace's.
pub(crate) fn names(object: &Object) -> impl Iterator<Item = &str> {
    object.namespace().into_iter().chain([object.name()])
}

/// The letters and digits of which Kubernetes makes the ends of generated names.
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";

/// How many of them it takes.
const SUFFIX: usize = 5;

/// A message of a controller with `*` for the generated ends of names: each try to make a pod over quota is about another
/// pod, and the same failure all the same.
pub(crate) fn steady(message: &str) -> String {
    let name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    message
        .split_inclusive(|letter| !name(letter))
        .map(|word| {
            let bare = word.trim_end_matches(|letter| !name(letter));
            match bare.rsplit_once('-') {
                Some((start, end)) if end.len() == SUFFIX && end.chars().all(|c| GENERATED.contains(c)) => {
                    format!("{start}-*{}", &word[bare.len()..])
                }
                _ => word.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_end_of_a_name_does_not_make_another_message() {
        for (message, expected) in [
            (
                "pods \"web-7f8c9-x2x4z\" is forbidden: exceeded quota",
                "pods \"web-7f8c9-*\" is forbidden: exceeded quota",
            ),
            ("no request in Pod web-7f8c9-x2x4z", "no request in Pod web-7f8c9-*"),
            (
                "storage-class of the read-write-once kind in eu-west-1",
                "storage-class of the read-write-once kind in eu-west-1",
            ),
            ("pod db-0, a-b, -, --- and é-x2x4z", "pod db-0, a-b, -, --- and é-*"),
            ("", ""),
        ] {
            assert_eq!(steady(message), expected);
        }
    }
}
