//! Broken situations as data: `tests/situations/*.yaml`, whose head says how to write one.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{bare::Bare, inbox::Note, process::root};

/// One thing that breaks a cluster, and what mends it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Situation {
    /// What it is.
    pub name: String,
    /// What is there before, and is well.
    #[serde(default)]
    given: Vec<Value>,
    /// The change that breaks it.
    breaks: Vec<Value>,
    /// What has to be found, and nothing else.
    finds: Vec<Expected>,
    /// The change that mends it; what is never mended is a false positive that must not be.
    #[serde(default)]
    heals: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    object: String,
    code: String,
    at: String,
}

/// What is expected of each object: code and place of each failure, in order.
pub type Findings = BTreeMap<String, Vec<(String, String)>>;

impl Situation {
    /// All of a file.
    ///
    /// # Errors
    /// A file that is none.
    pub fn all(file: &str) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(root().join("tests/situations").join(file))?;
        serde_saphyr::from_str(&text).with_context(|| format!("reading {file}"))
    }

    /// The one of this name, of whichever file.
    ///
    /// # Errors
    /// There is none, or a file is no list of situations.
    pub fn named(name: &str) -> Result<Self> {
        for entry in std::fs::read_dir(root().join("tests/situations"))? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            // Definitions, no situations.
            if file == "kinds.yaml" {
                continue;
            }
            if let Some(found) = Self::all(&file)?.into_iter().find(|situation| situation.name == name) {
                return Ok(found);
            }
        }
        anyhow::bail!("no situation is called {name:?}")
    }

    /// One that these steps make, and nothing mends.
    #[must_use]
    pub fn of(name: &str, given: Vec<Value>) -> Self {
        let (breaks, finds, heals) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.to_owned(), given, breaks, finds, heals }
    }

    /// The same in a namespace.
    ///
    /// # Errors
    /// None that are not in the file.
    pub fn within(&self, namespace: &str) -> Result<Staged> {
        let here = |steps: &[Value]| -> Result<Vec<Value>> {
            let text = serde_json::to_string(steps)?.replace("{ns}", namespace);
            Ok(serde_json::from_str(&text.replace("{960 KiB}", &"x".repeat(960 * 1024)))?)
        };
        let mut finds = Findings::new();
        for Expected { object, code, at } in &self.finds {
            let (kind, name) = object.split_once(' ').context("an object is `Kind name`")?;
            let place = if name.contains("{ns}") { String::new() } else { format!("{namespace}/") };
            let object = format!("{kind} {place}{}", name.replace("{ns}", namespace));
            finds.entry(object).or_default().push((code.clone(), at.replace("{ns}", namespace)));
        }
        finds.values_mut().for_each(|failures| failures.sort());
        let (given, breaks, heals) = (here(&self.given)?, here(&self.breaks)?, here(&self.heals)?);
        Ok(Staged { name: self.name.clone(), namespace: namespace.to_owned(), given, breaks, heals, finds })
    }
}

/// A change of a cluster. What follows from it may be seen before its answer is.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Before the first request.
    pub began: Instant,
    /// When the server had answered the last one.
    pub answered: Instant,
}

/// A situation in a namespace.
pub struct Staged {
    /// What it is.
    pub name: String,
    /// Where.
    pub namespace: String,
    given: Vec<Value>,
    breaks: Vec<Value>,
    heals: Vec<Value>,
    /// What has to be found.
    pub finds: Findings,
}

impl Staged {
    /// Makes the namespace and what is there before.
    ///
    /// # Errors
    /// The server's.
    pub async fn set(&self, bare: &Bare) -> Result<()> {
        bare.namespace(&self.namespace).await?;
        self.act(bare, &self.given).await.map(drop)
    }

    /// Breaks it.
    ///
    /// # Errors
    /// The server's.
    pub async fn break_it(&self, bare: &Bare) -> Result<Change> {
        self.act(bare, &self.breaks).await
    }

    /// Mends it.
    ///
    /// # Errors
    /// The server's.
    pub async fn heal(&self, bare: &Bare) -> Result<Change> {
        self.act(bare, &self.heals).await
    }

    /// Whether a note is what has to be told when it broke.
    #[must_use]
    pub fn opens(&self, object: &str, note: &Note) -> bool {
        let failures = {
            let mut failures = note.failures.clone();
            failures.sort();
            failures
        };
        note.object == object && note.change == "opened" && self.finds.get(object) == Some(&failures)
    }

    async fn act(&self, bare: &Bare, steps: &[Value]) -> Result<Change> {
        let began = Instant::now();
        for step in steps {
            self.step(bare, step).await.with_context(|| format!("{} in {}", self.name, self.namespace))?;
        }
        Ok(Change { began, answered: Instant::now() })
    }

    async fn step(&self, bare: &Bare, step: &Value) -> Result<()> {
        let named = |field: &str| step[field].as_str().map(|path| self.reference(bare, path));
        let minutes = step["minutesAgo"].as_i64();
        if let Some(object) = named("delete") {
            bare.delete(&object?).await?;
        } else if let Some(object) = named("deleting") {
            let object = object?;
            bare.delete(&object).await?;
            bare.age(&object, "deletionTimestamp", minutes.context("minutesAgo")?).await?;
        } else if let Some(object) = named("patch") {
            bare.patch(&object?, &step["with"]).await?;
        } else if let Some(object) = named("status") {
            bare.status(&object?, &step["with"]).await?;
        } else if let Some(object) = named("store") {
            bare.rewrite(&object?, &step["with"]).await?;
        } else if let Some(object) = named("event") {
            self.event(bare, &object?, step).await?;
        } else {
            let mut object = bare.placed(step.clone(), &self.namespace)?;
            object.as_object_mut().context("an object")?.remove("minutesAgo");
            fill(&mut object);
            bare.apply(&object).await?;
            if let Some(minutes) = minutes {
                bare.age(&object, "creationTimestamp", minutes).await?;
            }
        }
        Ok(())
    }

    /// An object by `VERSION/KIND/NAME`.
    fn reference(&self, bare: &Bare, path: &str) -> Result<Value> {
        let mut parts = path.rsplitn(3, '/');
        let (name, kind, version) = (parts.next(), parts.next(), parts.next());
        let object = json!({"apiVersion": version.with_context(|| format!("{path} has no version"))?, "kind": kind,
            "metadata": {"name": name}});
        bare.placed(object, &self.namespace)
    }

    async fn event(&self, bare: &Bare, about: &Value, step: &Value) -> Result<()> {
        let found = bare.get(about).await?;
        let name =
            format!("{}.{:x}", found["metadata"]["name"].as_str().unwrap_or_default(), rand::random::<u64>());
        let mut involved = about["metadata"].clone();
        involved["apiVersion"] = about["apiVersion"].clone();
        involved["kind"] = about["kind"].clone();
        involved["uid"] = match &step["uid"] {
            Value::Null => found["metadata"]["uid"].clone(),
            other => other.clone(),
        };
        let later = SignedDuration::from_secs(step["secondsLater"].as_i64().unwrap_or_default());
        let at = Timestamp::now().checked_add(later)?;
        bare.create(&json!({"apiVersion": "v1", "kind": "Event", "involvedObject": involved,
            "metadata": {"name": name, "namespace": self.namespace},
            "type": step["type"].as_str().unwrap_or("Warning"), "reason": step["reason"], "message": step["message"],
            "lastTimestamp": format!("{at:.0}")}))
        .await
    }
}

/// The definitions of the kinds that Kubernetes itself does not have.
///
/// # Errors
/// A file that is none.
pub fn crds() -> Result<Vec<Value>> {
    let folder = root().join("tests/situations");
    let kinds: Vec<BTreeMap<String, String>> =
        serde_saphyr::from_str(&std::fs::read_to_string(folder.join("kinds.yaml"))?)?;
    let mut crds: Vec<Value> = kinds.iter().map(any_fields).collect();
    let keda = crate::server("ASYA_TEST_KEDA_CRDS").context("ASYA_TEST_KEDA_CRDS is set with the cluster")?;
    for name in ["scaledobjects", "triggerauthentications"] {
        let text = std::fs::read_to_string(format!("{keda}/keda.sh_{name}.yaml"))?;
        crds.push(serde_saphyr::from_str(&text)?);
    }
    Ok(crds)
}

fn any_fields(kind: &BTreeMap<String, String>) -> Value {
    let of = |field: &str| kind.get(field).cloned().unwrap_or_default();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", of("plural"), of("group")),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
        "spec": {"group": of("group"), "scope": of("scope"),
            "names": {"kind": of("kind"), "plural": of("plural"), "singular": of("kind").to_lowercase()},
            "versions": [{"name": of("version"), "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema}}]}})
}

/// What every manifest here has: pods that say under whose rights they run, and workloads with a template that has the
/// label `app` of their name.
fn fill(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    match object["kind"].as_str().unwrap_or_default() {
        "Pod" => fill_pod(&mut object["spec"]),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            let spec = &mut object["spec"];
            put(spec, "selector", json!({"matchLabels": {"app": name}}));
            let labels = spec["selector"]["matchLabels"].clone();
            put(&mut spec["template"], "metadata", json!({"labels": labels}));
            fill_pod(&mut spec["template"]["spec"]);
        }
        "Job" => fill_ending(&mut object["spec"]["template"]["spec"]),
        "CronJob" => fill_ending(&mut object["spec"]["jobTemplate"]["spec"]["template"]["spec"]),
        _ => {}
    }
}

fn fill_ending(spec: &mut Value) {
    put(spec, "restartPolicy", json!("Never"));
    fill_pod(spec);
}

fn fill_pod(spec: &mut Value) {
    put(spec, "containers", json!([{"name": "c", "image": "registry.example/app:1"}]));
    put(spec, "securityContext", json!({"runAsNonRoot": true}));
    put(spec, "automountServiceAccountToken", json!(false));
}

fn put(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}
