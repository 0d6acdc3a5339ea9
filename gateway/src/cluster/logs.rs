//! `get-logs`.

use asya_cluster::{
    Api,
    look::{
        self,
        arguments::{Count, Name, Namespace},
        logs,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::service::Error;

/// Most that is answered of a log, in bytes, from its end.
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
            return Err(look::Error::NoNamespace { kind: "pod".to_owned() }.into());
        };
        let container = container.as_ref().map(|container| container.0.as_str());
        let wanted = logs::Wanted {
            namespace: &namespace,
            pod: &pod,
            container,
            previous,
            lines: tail_lines.map(|lines| lines.0),
            since: since_seconds.map(|seconds| seconds.0),
        };
        let logs::Log { text, cut } = wanted.read(api).await?;
        let shown = logs::end_of(&text, SHOWN);
        let mut answer = json!({
            "podName": pod, "namespace": namespace, "container": container,
            "previous": previous, "lines": shown.lines().count(), "log": shown,
        });
        if cut {
            answer["next"] =
                "the log is longer than is read: its last lines are missing; ask for fewer tailLines".into();
        } else if shown.len() < text.len() {
            answer["next"] =
                "the log is longer than is answered: this is its end; sinceSeconds shows a part".into();
        }
        Ok(answer)
    }
}
