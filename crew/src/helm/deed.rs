//! Exactly what is done to a release: what somebody approves, and by whose hash it is known again.

use serde::{Deserialize, Serialize};

use super::{
    arguments::{Verb, release_name},
    chart::Chart,
    release::{Release, Upon},
    values::Values,
};
use crate::kube::consent::{
    names,
    refused::{Refused, refuse},
};

/// What is done, and upon which revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Deed {
    pub(super) verb: Verb,
    pub(super) namespace: String,
    pub(super) release: String,
    /// The chart that is installed; none for what installs nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) chart: Option<Chart>,
    /// The values as they were given.
    #[serde(default)]
    pub(super) values: Values,
    /// Whether they stand alone; else they go over those that the release has.
    #[serde(default)]
    pub(super) reset_values: bool,
    /// The revision that is gone back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<u64>,
    /// The newest revision when it was looked at; none: there was no release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upon: Option<Upon>,
}

impl Deed {
    /// The release.
    pub(super) fn on(&self) -> Release<'_> {
        Release { namespace: &self.namespace, name: &self.release }
    }

    /// As people name it.
    pub(super) fn target(&self) -> String {
        format!("release {}/{}", self.namespace, self.release)
    }

    /// Whether it is one that this tool makes: it may have been written down elsewhere.
    pub(super) fn check(&self) -> Result<(), Refused> {
        names::namespace(self.namespace.clone())?;
        release_name(self.release.clone())?;
        self.values.check()?;
        self.chart.as_ref().map_or(Ok(()), Chart::check)?;
        let fits = match self.verb {
            Verb::Install => self.chart.is_some() && self.upon.is_none() && self.to.is_none(),
            Verb::Upgrade => self.chart.is_some() && self.upon.is_some() && self.to.is_none(),
            Verb::Rollback => self.chart.is_none() && self.upon.is_some() && self.to.is_some(),
            Verb::Uninstall => self.chart.is_none() && self.upon.is_some() && self.to.is_none(),
            _ => false,
        };
        if !fits {
            return refuse(format!("this is no change that {} makes", self.verb.name()));
        }
        Ok(())
    }

    /// One line for a person.
    pub(super) fn summary(&self) -> String {
        let Self { namespace, release, .. } = self;
        let chart = self.chart.as_ref();
        let chart = chart.map(|chart| format!("{} {} of {}", chart.name, chart.version, chart.repository));
        let chart = chart.unwrap_or_default();
        match self.verb {
            Verb::Upgrade => format!("upgrade release {namespace}/{release} to chart {chart}"),
            Verb::Rollback => {
                format!("roll release {namespace}/{release} back to revision {}", self.to.unwrap_or_default())
            }
            Verb::Uninstall => format!("uninstall release {namespace}/{release}"),
            _ => format!("install chart {chart} as release {namespace}/{release}"),
        }
    }
}
