//! The manifests of examples/ and tests/manifests, and the CRD, as tests of a cluster need them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::kubernetes::{Cluster, until};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Objects of a YAML file.
///
/// # Panics
/// Where it is none.
pub fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The generated CRD.
///
/// # Panics
/// Where it is no YAML.
pub fn crd() -> Value {
    documents(&Path::new(ROOT).join("crds/asya.sh_asyncactors.yaml")).remove(0)
}

/// The CRD under another group, so that a test can change it while others run.
pub fn crd_of(group: &str) -> Value {
    let mut crd = crd();
    crd["metadata"]["name"] = json!(format!("asyncactors.{group}"));
    crd["spec"]["group"] = json!(group);
    crd["spec"]["names"]["shortNames"] = json!([]);
    crd
}

/// YAML files of a folder of the repository, in order.
///
/// # Panics
/// Where the folder cannot be read.
pub fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(directory)).expect("the folder can be read");
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

/// Actors of a file, without the namespace that they name.
///
/// # Panics
/// Where it is no YAML.
pub fn actors(path: &Path) -> Vec<Value> {
    let mut actors = documents(path);
    actors.retain(|document| document["kind"] == "AsyncActor");
    for actor in &mut actors {
        actor["metadata"].as_object_mut().and_then(|metadata| metadata.remove("namespace"));
    }
    actors
}

/// An actor.
pub fn actor(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": { "name": name }, "spec": spec })
}

/// What the head of a file of tests/manifests expects the server to say.
///
/// # Panics
/// Where it says nothing.
pub fn expected(path: &Path) -> String {
    line(path, &["# both: ", "# server: "])
}

/// The rest of the first line of a file that starts so.
///
/// # Panics
/// Where there is none.
pub fn line(path: &Path, starts: &[&str]) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rest = text.lines().find_map(|line| starts.iter().find_map(|start| line.strip_prefix(start)));
    rest.unwrap_or_else(|| panic!("{} has no line {starts:?}", path.display())).to_owned()
}

/// A cluster whose server takes actors by the rules of the generated CRD; nothing, said loudly, when there is none.
///
/// # Errors
/// What the server says.
pub async fn with_crd() -> Result<Option<Cluster>> {
    let Some(cluster) = Cluster::connect().await? else { return Ok(None) };
    cluster.install(&crd()).await?;
    // The server answers for a new schema a moment after it says that it is established.
    let wrong = actor("wrong", json!({ "transport": "rabbitmq" }));
    until("the rules are in force", async || {
        let answer = cluster.try_create(&cluster.actors(), &wrong).await;
        Ok(answer.is_err_and(|error| format!("{error:#}").contains("nothing says what runs")).then_some(()))
    })
    .await?;
    Ok(Some(cluster))
}
