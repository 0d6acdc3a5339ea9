//! The pods of an actor and how their containers are.

use serde::Serialize;
use serde_json::Value;

/// One pod.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pod {
    pub(super) name: String,
    /// `Running`, `Pending`; `Terminating` while it is being deleted.
    pub(super) phase: String,
    pub(super) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// The scheduler's words while it has no node, or the kubelet's about why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) containers: Vec<Container>,
}

/// One container.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Container {
    pub(super) name: String,
    /// `running`, `waiting: CrashLoopBackOff`, `ended: Completed`.
    pub(super) state: String,
    pub(super) restarts: i64,
    /// How its last run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Ending>,
}

/// How a run of a container ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ending {
    pub(super) reason: String,
    pub(super) exit_code: i64,
    pub(super) at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

impl Pod {
    pub(super) fn of(object: &Value) -> Self {
        let status = &object["status"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let condition = |name: &str| conditions.iter().find(|condition| condition["type"] == name);
        let terminating = object["metadata"]["deletionTimestamp"].is_string();
        let unscheduled = condition("PodScheduled")
            .filter(|condition| condition["status"] == "False")
            .map(|c| &c["message"]);
        let reason = unscheduled.and_then(Value::as_str).or_else(|| status["reason"].as_str());
        let lists = ["initContainerStatuses", "containerStatuses"].into_iter();
        Self {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            phase: if terminating { "Terminating" } else { status["phase"].as_str().unwrap_or("Unknown") }
                .to_owned(),
            ready: condition("Ready").is_some_and(|condition| condition["status"] == "True"),
            node: object["spec"]["nodeName"].as_str().map(str::to_owned),
            reason: reason.map(str::to_owned),
            containers: lists
                .filter_map(|list| status[list].as_array())
                .flatten()
                .map(Container::of)
                .collect(),
        }
    }

    /// Whether it is not as it should be.
    pub(super) fn is_in_trouble(&self) -> bool {
        let restarting =
            |c: &Container| c.state.starts_with("waiting") && !c.state.contains("ContainerCreating");
        self.phase == "Failed" || self.reason.is_some() || self.containers.iter().any(restarting)
    }
}

impl Container {
    fn of(status: &Value) -> Self {
        let state = &status["state"];
        let words = if state["running"].is_object() {
            "running".to_owned()
        } else if let Some(reason) = state["waiting"]["reason"].as_str() {
            format!("waiting: {reason}")
        } else if state["terminated"].is_object() {
            format!("ended: {}", state["terminated"]["reason"].as_str().unwrap_or("no reason given"))
        } else {
            "waiting".to_owned()
        };
        let last = [&state["terminated"], &status["lastState"]["terminated"]];
        Self {
            name: status["name"].as_str().unwrap_or_default().to_owned(),
            state: words,
            restarts: status["restartCount"].as_i64().unwrap_or_default(),
            last: last.into_iter().find(|ended| ended.is_object()).map(Ending::of),
        }
    }
}

impl Ending {
    fn of(terminated: &Value) -> Self {
        let text = |name: &str| terminated[name].as_str().unwrap_or_default().to_owned();
        Self {
            reason: text("reason"),
            exit_code: terminated["exitCode"].as_i64().unwrap_or_default(),
            at: text("finishedAt"),
            message: text("message").trim().to_owned(),
        }
    }
}
