//! `get-logs`.

use asya_analysis::scrub::scrub;
use asya_cluster::{Api, Refusal, catalogue::encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    arguments::{Count, Name, Namespace},
    kinds,
    object::not_found,
    refused::refused,
};
use crate::service::Error;

/// Lines from the end of a log that nobody gave a number of.
const DEFAULT_LINES: u64 = 100;
/// Most lines.
const MAX_LINES: u64 = 2000;
/// Most that is read of a log, in bytes. The API server counts them from the first of the lines on.
const READ: u32 = 2 * 1024 * 1024;
/// Most that is answered of it, in bytes, from its end.
const SHOWN: usize = 128 * 1024;

/// Which log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wanted {
    pod_name: Name,
    namespace: Namespace,
    container: Option<Name>,
    #[serde(default)]
    previous: bool,
    tail_lines: Option<Count>,
    since_seconds: Option<Count>,
}

impl Wanted {
    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let Self { pod_name: Name(pod), namespace, container, previous, tail_lines, since_seconds } = self;
        let Namespace(Some(namespace)) = namespace else {
            return Err(Error::invalid(
                "namespace",
                "namespace: the pod is in one; list-resources says in which",
            ));
        };
        let pods = kinds::known("pod").ok_or_else(|| Error::invalid("", "there are no pods"))?;
        let lines = tail_lines.map_or(DEFAULT_LINES, |lines| lines.0.clamp(1, MAX_LINES));
        let mut path = format!(
            "{}/{}/log?tailLines={lines}&limitBytes={READ}",
            pods.path(Some(&namespace)),
            encode(&pod)
        );
        if let Some(Name(container)) = &container {
            path.push_str(&format!("&container={}", encode(container)));
        }
        if previous {
            path.push_str("&previous=true");
        }
        if let Some(Count(seconds)) = since_seconds {
            // The API server takes no larger one, nor zero.
            path.push_str(&format!("&sinceSeconds={}", seconds.clamp(1, i32::MAX.unsigned_abs().into())));
        }
        let text = api.text(&path).await.map_err(|refusal| match refusal {
            Refusal::NotFound { object: true } => not_found(&pods, Some(&namespace), &pod),
            // "a container name must be specified", "previous terminated container not found": it says which there are.
            Refusal::Wrong(said) => Error::invalid("container", scrub(&said)),
            refusal => refused(&refusal, "get", "pods/log", Some(&namespace)),
        })?;
        let log = scrub(&text);
        let shown = end_of(&log, SHOWN);
        let mut answer = json!({
            "podName": pod, "namespace": namespace, "container": container.map(|container| container.0),
            "previous": previous, "lines": shown.lines().count(), "log": shown,
        });
        if text.len() >= READ as usize {
            answer["next"] =
                "the log is longer than is read: its last lines are missing; ask for fewer tailLines".into();
        } else if shown.len() < log.len() {
            answer["next"] =
                "the log is longer than is answered: this is its end; sinceSeconds shows a part".into();
        }
        Ok(answer)
    }
}

/// The last lines of a text, of at most so many bytes.
fn end_of(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let from = (text.len() - most..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let end = &text[from..];
    end.split_once('\n').map_or(end, |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn the_end_of_a_text_is_whole_lines_unless_it_has_but_one() {
        assert_eq!(end_of("a\nb\n", 10), "a\nb\n");
        assert_eq!(end_of("aaaa\nbb\n", 5), "bb\n");
        assert_eq!(end_of("ääää", 3), "ä");
    }
}
