//! What can be called, with its arguments' schema. Names and arguments are K8sGPT's.

use asya_cluster::{Api, look::arguments};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{about, analyze, events, list, logs, object};
use crate::{auth::Role, service::Error};

/// A tool of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// What is broken.
    Analyze,
    /// What is broken, as the actors of the analysis have found and explained it.
    ListFindings,
    /// Objects of a kind, as `kubectl get` shows them.
    ListResources,
    /// One object.
    GetResource,
    /// Events, the newest.
    ListEvents,
    /// The end of a container's log.
    GetLogs,
    /// The cluster's version.
    ClusterInfo,
    /// Namespaces.
    ListNamespaces,
    /// The analyzers that there are.
    ListFilters,
}

impl Tool {
    /// All of them, in the order of a list.
    pub const ALL: [Self; 9] = [
        Self::Analyze,
        Self::ListFindings,
        Self::ListResources,
        Self::GetResource,
        Self::ListEvents,
        Self::GetLogs,
        Self::ClusterInfo,
        Self::ListNamespaces,
        Self::ListFilters,
    ];

    /// The tool of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::ListFindings => "list-findings",
            Self::ListResources => "list-resources",
            Self::GetResource => "get-resource",
            Self::ListEvents => "list-events",
            Self::GetLogs => "get-logs",
            Self::ClusterInfo => "cluster-info",
            Self::ListNamespaces => "list-namespaces",
            Self::ListFilters => "list-filters",
        }
    }

    /// The role that it takes: findings are in the gateway's own database.
    pub const fn role(self) -> Role {
        match self {
            Self::ListFindings => Role::Read,
            _ => Role::Cluster,
        }
    }

    /// What it does, for a model.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Analyze => {
                "Looks for what is broken in the cluster now: objects with their failures, how severe each is, and where one can \
                 see it. What could not be read is told as not verified, never as missing."
            }
            Self::ListFindings => {
                "What is broken, as the continuous analysis has found it: since when, how severe, and what a model has \
                 explained about it. Asks the gateway's database, not the cluster."
            }
            Self::ListResources => {
                "Lists the objects of a kind, as kubectl get shows them. get-resource has the whole of one."
            }
            Self::GetResource => {
                "One object as the cluster has it. Values of Secrets, and what looks like a secret elsewhere, are ***."
            }
            Self::ListEvents => "The newest events, oldest first, of a namespace or of one object.",
            Self::GetLogs => "The end of the log of a pod's container. What looks like a secret is ***.",
            Self::ClusterInfo => "The version of the cluster.",
            Self::ListNamespaces => "The namespaces of the cluster.",
            Self::ListFilters => "The analyzers that there are, and which of them run when none is named.",
        }
    }

    /// JSON Schema of its arguments.
    pub fn schema(self) -> Map<String, Value> {
        let text = |about: &str| json!({"type": "string", "description": about});
        let number = |about: &str, most: u64| json!({"type": "integer", "minimum": 1, "maximum": most, "description": about});
        let namespace = text("Namespace; none: all");
        let kind = text("Kind, as pod, deployment, svc, asyncactors.asya.sh");
        let labels = text("Label selector, as app=web,tier!=test");
        let limit = number("Most objects; 100 when it is not given", 1000);
        let (properties, required) = match self {
            Self::Analyze => (
                json!({
                    "namespace": namespace,
                    "labelSelector": labels,
                    "filters": {"type": "array", "items": {"type": "string"},
                        "description": "Analyzers that run; none: those that list-filters names as active"},
                    "explain": {"type": "boolean", "description": "Taken, and without effect: see list-findings"},
                    "backend": text("Taken, and without effect"),
                    "language": text("Taken, and without effect"),
                    "maxConcurrency": number("Requests at once", 100),
                    "noCache": {"type": "boolean", "description": "Taken, and without effect"},
                    "anonymize": {"type": "boolean", "description": "Taken, and without effect"},
                    "withDoc": {"type": "boolean", "description": "Taken, and without effect"},
                }),
                vec![],
            ),
            Self::ListFindings => (
                json!({
                    "cluster": text("The cluster, as its watcher is called"),
                    "namespace": namespace,
                    "kind": text("Kind of the objects, as Pod or Deployment.apps"),
                    "severity": {"type": "string", "enum": ["info", "warning", "error", "critical"],
                        "description": "Those that are at least so severe"},
                    "limit": limit,
                    "after": text("`next` of the answer before"),
                }),
                vec![],
            ),
            Self::ListResources => (
                json!({"resourceType": kind, "namespace": namespace, "labelSelector": labels, "limit": limit}),
                vec!["resourceType"],
            ),
            Self::GetResource => (
                json!({"resourceType": kind, "name": text("Name"), "namespace": text("Namespace of the object")}),
                vec!["resourceType", "name"],
            ),
            Self::ListEvents => (
                json!({
                    "namespace": namespace,
                    "involvedObjectName": text("Name of the object they are about"),
                    "involvedObjectKind": text("Its kind"),
                    "limit": limit,
                }),
                vec![],
            ),
            Self::GetLogs => (
                json!({
                    "podName": text("Name of the pod"),
                    "namespace": text("Its namespace"),
                    "container": text("Container; needed where the pod has several"),
                    "previous": {"type": "boolean", "description": "Of the container before its last restart"},
                    "tailLines": number("Lines from its end; 100 when it is not given", 2000),
                    "sinceSeconds": number("Only lines that are younger", 2_147_483_647),
                }),
                vec!["podName", "namespace"],
            ),
            Self::ClusterInfo | Self::ListNamespaces | Self::ListFilters => (json!({}), vec![]),
        };
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties);
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        schema
    }
}

/// A tool with its arguments.
#[derive(Debug)]
pub(super) enum Asked {
    Analyze(Box<analyze::Wanted>),
    Resources(list::Wanted),
    Resource(object::Wanted),
    Events(events::Wanted),
    Logs(logs::Wanted),
    Info,
    Namespaces,
    Filters,
}

/// No arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Asked {
    /// Reads the arguments.
    pub(super) fn read(tool: Tool, given: Map<String, Value>) -> Result<Self, Error> {
        let nothing = |asked: Self, given| Ok(arguments::read::<Nothing>(given).map(|Nothing {}| asked)?);
        match tool {
            Tool::Analyze => Ok(Self::Analyze(Box::new(arguments::read(given)?))),
            Tool::ListResources => Ok(Self::Resources(arguments::read(given)?)),
            Tool::GetResource => Ok(Self::Resource(arguments::read(given)?)),
            Tool::ListEvents => Ok(Self::Events(arguments::read(given)?)),
            Tool::GetLogs => Ok(Self::Logs(arguments::read(given)?)),
            Tool::ClusterInfo => nothing(Self::Info, given),
            Tool::ListNamespaces => nothing(Self::Namespaces, given),
            Tool::ListFilters => nothing(Self::Filters, given),
            Tool::ListFindings => Err(Error::NotFound { what: "tool", name: tool.name().to_owned() }),
        }
    }

    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        match self {
            Self::Analyze(wanted) => wanted.answer(api).await,
            Self::Resources(wanted) => wanted.answer(api).await,
            Self::Resource(wanted) => wanted.answer(api).await,
            Self::Events(wanted) => wanted.answer(api).await,
            Self::Logs(wanted) => wanted.answer(api).await,
            Self::Info => about::info(api).await,
            Self::Namespaces => list::namespaces(api).await,
            Self::Filters => Ok(about::filters()),
        }
    }
}
