//! What helm knows of a release.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Helm,
    chart::words,
    program::{Failed, LOOK, Room},
};
use crate::kube::consent::refused::{Refused, Stop};

/// What helm says of a release that there is not.
const NOT_FOUND: &str = "release: not found";
/// What its status is when nothing is wrong.
pub(super) const DEPLOYED: &str = "deployed";

/// One revision of a release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Revision {
    pub(super) revision: u64,
    pub(super) updated: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) chart: String,
    #[serde(default)]
    pub(super) app_version: String,
    #[serde(default)]
    pub(super) description: String,
}

/// A revision that something was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Upon {
    pub(super) revision: u64,
    /// Tells it from one of a release that was installed anew.
    pub(super) updated: String,
    pub(super) status: String,
}

/// A release by namespace and name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Revision {
    pub(super) fn upon(&self) -> Upon {
        let Self { revision, updated, status, .. } = self;
        Upon { revision: *revision, updated: updated.clone(), status: status.clone() }
    }

    /// Whether it was in force once, or is.
    pub(super) fn worked(&self) -> bool {
        ["deployed", "superseded"].contains(&self.status.as_str())
    }

    /// Whether something is under way in it, or was interrupted.
    pub(super) fn is_pending(&self) -> bool {
        self.status.starts_with("pending") || self.status == "uninstalling"
    }
}

impl Release<'_> {
    fn arguments(self, command: &[&str], more: &[String]) -> Vec<String> {
        let mut arguments = words(command);
        arguments.push(self.name.to_owned());
        arguments.push(format!("--namespace={}", self.namespace));
        arguments.extend_from_slice(more);
        arguments
    }
}

impl Helm {
    /// The newest revisions of a release, in order; none: there is no such release.
    pub(super) async fn history(&self, release: Release<'_>, room: &Room) -> Result<Vec<Revision>, Stop> {
        let arguments = release.arguments(&["history"], &words(&["--max=256", "--output=json"]));
        let said = match self.program.run(room, &arguments, LOOK).await {
            Err(Failed::Said(said)) if said.contains(NOT_FOUND) => return Ok(Vec::new()),
            said => said.map_err(|failed| failed.stop("looking at the release", &[]))?,
        };
        let mut history: Vec<Revision> = json(&said)?;
        history.sort_by_key(|revision| revision.revision);
        Ok(history)
    }

    /// The values that were given for a revision.
    pub(super) async fn values_of(
        &self,
        release: Release<'_>,
        revision: u64,
        room: &Room,
    ) -> Result<Value, Stop> {
        let more = [format!("--revision={revision}"), "--output=json".to_owned()];
        let said = self.program.run(room, &release.arguments(&["get", "values"], &more), LOOK).await;
        json(&said.map_err(|failed| failed.stop("reading the values of the release", &[]))?)
    }

    /// The manifest of a revision, its hooks with it.
    pub(super) async fn manifest_of(
        &self,
        release: Release<'_>,
        revision: u64,
        room: &Room,
    ) -> Result<String, Stop> {
        let more = [format!("--revision={revision}")];
        let mut text = String::new();
        for part in ["manifest", "hooks"] {
            let said = self.program.run(room, &release.arguments(&["get", part], &more), LOOK).await;
            text.push_str(&said.map_err(|failed| failed.stop("reading the manifest of the release", &[]))?);
            text.push_str("\n---\n");
        }
        Ok(text)
    }

    /// What the chart's author wrote for whoever installed it.
    pub(super) async fn notes_of(&self, release: Release<'_>, room: &Room) -> Result<String, Stop> {
        let said = self.program.run(room, &release.arguments(&["get", "notes"], &[]), LOOK).await;
        let said = said.map_err(|failed| failed.stop("reading the notes of the release", &[]))?;
        Ok(said.trim_start().trim_start_matches("NOTES:").trim().to_owned())
    }

    /// Whether the newest revision of a release, or one before it, was made by this operation: helm keeps labels from one
    /// to the next.
    pub(super) async fn is_labelled(
        &self,
        release: Release<'_>,
        label: &str,
        room: &Room,
    ) -> Result<bool, Stop> {
        let mut arguments = words(&["list", "--output=json", "--pending", "--failed", "--deployed"]);
        arguments.push(format!("--namespace={}", release.namespace));
        arguments.push(format!("--filter=^{}$", release.name));
        arguments.push(format!("--selector={label}"));
        let said = self.program.run(room, &arguments, LOOK).await;
        let found: Vec<Value> = json(&said.map_err(|failed| failed.stop("looking at the release", &[]))?)?;
        Ok(!found.is_empty())
    }
}

/// What helm says as JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(said: &str) -> Result<T, Stop> {
    serde_json::from_str(said)
        .map_err(|error| Refused(format!("what helm says cannot be read: {error}")).into())
}
