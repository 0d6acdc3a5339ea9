//! `logs`: the end of a container's log.

use asya_cluster::look::{Error, kinds, logs};
use serde_json::Value;

use super::Call;
use crate::kube::answer::{Text, last_lines};

impl Call<'_> {
    pub(super) async fn logs(&self) -> Result<Value, Error> {
        let arguments = &self.arguments;
        if let Some(kind) = &arguments.kind
            && kinds::known(&kind.0).is_none_or(|served| served.kind != "Pod")
        {
            let reason =
                "kind: only pods have logs; list pods with the selector of what runs them".to_owned();
            return Err(Error::Argument { field: "kind".to_owned(), reason });
        }
        let Some(namespace) = self.namespace() else {
            return Err(Error::NoNamespace { kind: "Pod".to_owned() });
        };
        let wanted = logs::Wanted {
            namespace,
            pod: arguments.name()?,
            container: arguments.container.as_ref().map(|container| container.0.as_str()),
            previous: arguments.previous,
            lines: arguments.tail.map(|lines| lines.0),
            since: None,
        };
        let logs::Log { text, cut } = wanted.read(&self.api).await?;
        let end = last_lines(&text);
        let mut shown = Text::default();
        shown.lines(if end.is_empty() { "(the log is empty)" } else { end });
        let next = if cut {
            "the log is longer than is read, and its last lines are missing: ask for fewer lines (tail)"
        } else {
            "this is the end of the log; what came before is not shown"
        };
        Ok(shown.answer(cut || end.len() < text.len(), next))
    }
}
