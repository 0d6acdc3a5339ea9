//! The archive of a chart: fetched from where it may come from, and known by the digest of its bytes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Helm,
    arguments::{Named, word},
    program::Room,
    repository::{self, Repository},
};
use crate::{
    actor::ActError,
    kube::consent::refused::{Refused, Stop, refuse},
};

/// How long a repository may take.
const FETCH: Duration = Duration::from_secs(60);
/// Largest archive, in bytes: as much as fits into a release is far less.
const LARGEST: u64 = 20 * 1024 * 1024;

/// A chart, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Chart {
    /// The name of its repository in the settings.
    pub(super) repository: String,
    pub(super) name: String,
    pub(super) version: String,
    /// `sha256:` and the digest of its archive.
    pub(super) digest: String,
}

/// A chart that is here.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) chart: Chart,
    pub(super) file: PathBuf,
}

impl Chart {
    /// What would be asked for to get it again.
    pub(super) fn named(&self) -> Named {
        let Self { repository, name, version, .. } = self;
        Named { repository: Some(repository.clone()), name: name.clone(), version: Some(version.clone()) }
    }

    /// Whether its names are names: it may have been written down elsewhere.
    pub(super) fn check(&self) -> Result<(), Refused> {
        word("repository", self.repository.clone())?;
        word("chart", self.name.clone())?;
        word("version", self.version.clone()).map(drop)
    }
}

impl Helm {
    /// Fetches a chart, if it may be used.
    pub(super) async fn fetch(&self, named: &Named, room: &Room) -> Result<Archive, Stop> {
        let Named { repository, name, version } = named;
        let repository = repository::of(&self.settings.repositories, repository.as_deref(), name)?;
        let place = room.file("charts");
        std::fs::create_dir_all(&place)
            .map_err(|source| ActError::File { path: place.display().to_string(), source })?;
        let run = self.program.run(room, &pull(repository, name, version.as_deref(), &place), FETCH).await;
        run.map_err(|failed| failed.stop(&format!("fetching {}/{name}", repository.name), &[]))?;
        let file = only(&place)?;
        let digest = digest(&file)?;
        let told = self.program.run(room, &words(&["show", "chart", &file.to_string_lossy()]), FETCH).await;
        let told = told.map_err(|failed| failed.stop("reading the chart", &[]))?;
        let about: Value =
            serde_saphyr::from_str(&told).map_err(|_| Refused("its Chart.yaml cannot be read".to_owned()))?;
        let text = |field: &str| about[field].as_str().unwrap_or_default().to_owned();
        if text("name") != *name {
            return refuse(format!("what {} has as {name} is another chart", repository.name))?;
        }
        let version = word("version", text("version"))?;
        let chart = Chart { repository: repository.name.clone(), name: name.clone(), version, digest };
        Ok(Archive { chart, file })
    }
}

/// An argument list of these words.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn pull(repository: &Repository, name: &str, version: Option<&str>, place: &Path) -> Vec<String> {
    let url = repository.url.trim_end_matches('/');
    let mut arguments = if url.starts_with("oci://") {
        words(&["pull", &format!("{url}/{name}")])
    } else {
        words(&["pull", name, &format!("--repo={url}")])
    };
    arguments.push(format!("--destination={}", place.display()));
    arguments.extend(version.map(|version| format!("--version={version}")));
    arguments
}

/// The one archive in a folder.
fn only(place: &Path) -> Result<PathBuf, Stop> {
    let away = |source| ActError::File { path: place.display().to_string(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place).map_err(away)? {
        let entry = entry.map_err(away)?;
        if entry.metadata().map_err(away)?.len() > LARGEST {
            return refuse(format!("the archive of the chart has more than {LARGEST} bytes"))?;
        }
        found.push(entry.path());
    }
    match found.as_slice() {
        [file] => Ok(file.clone()),
        _ => refuse("the repository gave no archive")?,
    }
}

fn digest(file: &Path) -> Result<String, Stop> {
    let bytes =
        std::fs::read(file).map_err(|source| ActError::File { path: file.display().to_string(), source })?;
    let digits = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(format!("sha256:{digits}"))
}
