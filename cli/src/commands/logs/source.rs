//! Which containers have a log.

use serde_json::Value;

/// Label of every pod of an actor.
pub(super) const ACTOR_LABEL: &str = "asya.sh/asya";

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) actor: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// Runs before this one.
    pub(super) restarts: i64,
    /// The pod's, so that a StatefulSet's next pod of the same name is another one.
    pub(super) uid: String,
}

impl Source {
    /// The containers of a pod that have a log, sidecars of either kind included; of one name, if that is wanted.
    pub(super) fn of(pod: &Value, container: Option<&str>) -> Vec<Self> {
        let metadata = &pod["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let statuses = ["initContainerStatuses", "containerStatuses"].into_iter();
        let statuses = statuses.filter_map(|list| pod["status"][list].as_array()).flatten();
        statuses
            .filter(|status| container.is_none_or(|wanted| status["name"] == wanted))
            .filter(|status| has_log(status))
            .map(|status| Self {
                actor: text(&metadata["labels"][ACTOR_LABEL]),
                namespace: text(&metadata["namespace"]),
                pod: text(&metadata["name"]),
                container: text(&status["name"]),
                restarts: status["restartCount"].as_i64().unwrap_or_default(),
                uid: text(&metadata["uid"]),
            })
            .collect()
    }

    /// Whether this run goes on.
    pub(super) fn runs_in(&self, pod: &Value) -> bool {
        let statuses = ["initContainerStatuses", "containerStatuses"].into_iter();
        let mut statuses = statuses.filter_map(|list| pod["status"][list].as_array()).flatten();
        pod["metadata"]["uid"] == self.uid.as_str()
            && statuses.any(|status| {
                status["name"] == self.container.as_str()
                    && status["restartCount"] == self.restarts
                    && status["state"]["running"].is_object()
            })
    }

    /// What its lines begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{}/{}", self.pod, self.container)
    }
}

/// A container that never started has none.
fn has_log(status: &Value) -> bool {
    let state = |which: &str, state: &str| status[which][state].is_object();
    state("state", "running") || state("state", "terminated") || state("lastState", "terminated")
}

/// The names of all containers of a pod, for a message.
pub(super) fn containers(pod: &Value) -> Vec<String> {
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| pod["spec"][list].as_array());
    lists.flatten().filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_that_run_or_ran_have_a_log() {
        let pod = json!({"metadata": {"name": "ocr-1", "namespace": "a", "uid": "u", "labels": {ACTOR_LABEL: "ocr"}}, "status": {
            "initContainerStatuses": [{"name": "asya-sidecar", "restartCount": 0, "state": {"running": {}}}],
            "containerStatuses": [
                {"name": "asya-runtime", "restartCount": 2, "state": {"waiting": {}}, "lastState": {"terminated": {}}},
                {"name": "late", "restartCount": 0, "state": {"waiting": {}}},
            ],
        }});
        let all = Source::of(&pod, None);
        let prefixes: Vec<_> = all.iter().map(Source::prefix).collect();
        assert_eq!(prefixes, ["ocr-1/asya-sidecar", "ocr-1/asya-runtime"]);
        assert_eq!((all[0].runs_in(&pod), all[1].runs_in(&pod)), (true, false));
        assert_eq!(Source::of(&pod, Some("asya-runtime")).len(), 1);
    }
}
