//! A deed, and what it changes now: made the same way before it is proposed and before it is done.

use std::path::PathBuf;

use asya_cluster::{Api, Catalogue, Patience, review::Person};
use asya_session::Review;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Helm,
    arguments::Verb,
    chart::{Archive, words},
    deed::Deed,
    objects::{self, Objects},
    program::{LOOK, Room},
    release::json,
    shown::Shown,
    values::Secrets,
};
use crate::{
    actor::ActError,
    kube::consent::{
        refused::{Refused, Stop, refuse},
        review,
        shown::shown,
    },
};

/// The kind that a chart brings in a folder of its own, and that only an install puts in place.
const DEFINITION: &str = "CustomResourceDefinition";

/// What a deed changes, and what helm needs to do it.
pub(super) struct Picture {
    pub(super) shown: Shown,
    pub(super) review: Review,
    is: Objects,
    catalogue: Catalogue,
    /// The chart that is here.
    archive: Option<PathBuf>,
    /// The values that it gets, those of the release with them, and what of them nobody is to see.
    values: Option<PathBuf>,
    secrets: Secrets,
}

/// What helm would install, in its own words.
#[derive(Deserialize)]
struct Rendered {
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    hooks: Option<Vec<Hook>>,
}

#[derive(Deserialize)]
struct Hook {
    manifest: String,
}

impl Rendered {
    fn text(self) -> String {
        let hooks = self.hooks.into_iter().flatten().map(|hook| hook.manifest);
        [self.manifest].into_iter().chain(hooks).collect::<Vec<_>>().join("\n---\n")
    }
}

impl Helm {
    /// What a deed changes. Nothing of the cluster is read by the chart: lookups find nothing.
    pub(super) async fn picture(
        &self,
        deed: &Deed,
        archive: Option<Archive>,
        person: &Person,
        cluster: &Client,
        room: &Room,
    ) -> Result<Picture, Stop> {
        let rules = &self.settings.rules;
        let catalogue = catalogue(cluster).await?;
        let read = |manifest: &str| objects::read(manifest, &deed.namespace, &catalogue, rules);
        let mut secrets = Secrets::default();
        let (mut was, mut held) = (Objects::new(), Value::Null);
        if let Some(upon) = &deed.upon {
            was = read(&self.manifest_of(deed.on(), upon.revision, room).await?)?;
            held = self.values_of(deed.on(), upon.revision, room).await?;
            secrets.add(&held);
        }
        let (mut file, mut values) = (None, None);
        let is = match (archive, deed.to) {
            (Some(archive), _) => {
                let all = deed.values.over(if deed.reset_values { &Value::Null } else { &held });
                secrets.add(&all);
                let (archive, kept) = (archive.file, room.keep(&all)?);
                let manifest = match deed.verb {
                    Verb::Install => {
                        self.template(deed, &archive, &kept, &secrets.all, cluster, room).await?
                    }
                    _ => self.dry_run(deed, &archive, &kept, "client", &secrets.all, room).await?,
                };
                (file, values) = (Some(archive), Some(kept));
                read(&manifest)?
            }
            (None, Some(to)) => {
                secrets.add(&self.values_of(deed.on(), to, room).await?);
                read(&self.manifest_of(deed.on(), to, room).await?)?
            }
            (None, None) => Objects::new(),
        };
        let rights = objects::rights(&was, &is, &deed.namespace);
        let review = review::both(cluster, person, &rights).await?;
        let shown = Shown::of(deed, &was, &is, &secrets.sure)?;
        Ok(Picture { shown, review, is, catalogue, archive: file, values, secrets })
    }

    /// A chart that nothing is installed of yet, as it would be: with the version and the groups of this cluster.
    async fn template(
        &self,
        deed: &Deed,
        archive: &std::path::Path,
        values: &std::path::Path,
        secrets: &[String],
        cluster: &Client,
        room: &Room,
    ) -> Result<String, Stop> {
        let away = |error: kube::Error| ActError::Cluster {
            doing: "discovery".to_owned(),
            reason: error.to_string(),
        };
        let version = cluster.apiserver_version().await.map_err(away)?.git_version;
        let groups = cluster.list_api_groups().await.map_err(away)?.groups;
        let mut arguments = with_chart(deed, "template", archive, values);
        arguments.extend(words(&["--include-crds", &format!("--kube-version={version}")]));
        for served in groups.iter().flat_map(|group| &group.versions) {
            arguments.push(format!("--api-versions={}", served.group_version));
        }
        let run = self.program.run(room, &arguments, LOOK).await;
        run.map_err(|failed| failed.stop("rendering the chart", secrets))
    }

    /// What helm would do, as the client or the server of a cluster sees it.
    async fn dry_run(
        &self,
        deed: &Deed,
        archive: &std::path::Path,
        values: &std::path::Path,
        how: &str,
        secrets: &[String],
        room: &Room,
    ) -> Result<String, Stop> {
        let mut arguments = with_chart(deed, deed.verb.name(), archive, values);
        arguments.extend(words(&[&format!("--dry-run={how}"), "--output=json"]));
        if deed.verb == Verb::Upgrade {
            arguments.push("--reset-values".to_owned());
        }
        let run = self.program.run(room, &arguments, LOOK).await;
        let said = run.map_err(|failed| failed.stop("rendering the chart", secrets))?;
        json::<Rendered>(&said).map(Rendered::text)
    }

    /// Whether a chart renders the same with the cluster at hand, as it does when it is installed.
    pub(super) async fn holds(&self, picture: &Picture, deed: &Deed, room: &Room) -> Result<(), Stop> {
        let Picture { is, catalogue, archive: Some(archive), values: Some(values), secrets, .. } = picture
        else {
            return Ok(());
        };
        let manifest = self.dry_run(deed, archive, values, "server", &secrets.all, room).await?;
        let server = objects::read(&manifest, &deed.namespace, catalogue, &self.settings.rules)?;
        let differs = |key: &objects::Key| match (is.get(key), server.get(key)) {
            (Some(client), Some(server)) => shown(client) != shown(server),
            (Some(_), None) => key.kind != DEFINITION,
            (None, _) => true,
        };
        if let Some(key) = is.keys().chain(server.keys()).find(|key| differs(key)) {
            return refuse(format!(
                "the chart makes another {key} of what it finds in the cluster, or makes it up anew each time, so it would not \
                 be what was shown"
            ))?;
        }
        Ok(())
    }
}

impl Picture {
    /// The arguments that do it, under the id of the operation.
    pub(super) fn arguments(&self, deed: &Deed, operation: &str) -> Result<Vec<String>, Refused> {
        let verb = deed.verb.name();
        match (deed.verb, &self.archive, &self.values) {
            (Verb::Install | Verb::Upgrade, Some(archive), Some(values)) => {
                let mut arguments = with_chart(deed, verb, archive, values);
                arguments.push(format!("--description={}", described(operation)));
                arguments.push(format!("--labels={}", label(operation)));
                if deed.verb == Verb::Upgrade {
                    arguments.push("--reset-values".to_owned());
                }
                Ok(arguments)
            }
            (Verb::Rollback, ..) => {
                let to = deed.to.unwrap_or_default().to_string();
                Ok(words(&[verb, &deed.release, &to, &format!("--namespace={}", deed.namespace)]))
            }
            (Verb::Uninstall, ..) => {
                Ok(words(&[verb, &deed.release, &format!("--namespace={}", deed.namespace)]))
            }
            _ => Err(Refused(format!("{verb} changes nothing"))),
        }
    }

    /// What nobody is to see of what helm says.
    pub(super) fn secrets(&self) -> &[String] {
        &self.secrets.all
    }
}

/// What a revision says that an operation made.
pub(super) fn described(operation: &str) -> String {
    format!("asya operation {operation}")
}

/// The label of what an operation made, from the moment on that it is begun.
pub(super) fn label(operation: &str) -> String {
    format!("asya-operation={operation}")
}

fn with_chart(
    deed: &Deed,
    command: &str,
    archive: &std::path::Path,
    values: &std::path::Path,
) -> Vec<String> {
    words(&[
        command,
        &deed.release,
        &archive.to_string_lossy(),
        &format!("--namespace={}", deed.namespace),
        &format!("--values={}", values.display()),
    ])
}

/// What the cluster serves.
async fn catalogue(cluster: &Client) -> Result<Catalogue, Stop> {
    let api = Api::new(cluster.clone(), Patience::default());
    Catalogue::read(&api).await.map_err(|refusal| {
        ActError::Cluster { doing: "discovery".to_owned(), reason: refusal.to_string() }.into()
    })
}
