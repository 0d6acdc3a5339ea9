//! What a model asks for, read strictly: what it made up is told to it, and nothing becomes a part of a path unchecked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    change::{How, Wanted, Which},
    manifest::Manifest,
    names,
};
use crate::kube::consent::{
    names::namespace as namespace_name,
    refused::{Refused, refuse, shortened},
};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verb {
    Apply,
    Scale,
    RolloutRestart,
    RolloutUndo,
    Pause,
    Resume,
    Label,
    Annotate,
    Delete,
    Cordon,
    Uncordon,
    SetImage,
}

impl Verb {
    /// All of them, as they are called.
    pub(super) const ALL: [(&str, Self); 12] = [
        ("apply", Self::Apply),
        ("scale", Self::Scale),
        ("rollout-restart", Self::RolloutRestart),
        ("rollout-undo", Self::RolloutUndo),
        ("pause", Self::Pause),
        ("resume", Self::Resume),
        ("label", Self::Label),
        ("annotate", Self::Annotate),
        ("delete", Self::Delete),
        ("cordon", Self::Cordon),
        ("uncordon", Self::Uncordon),
        ("set-image", Self::SetImage),
    ];

    fn named(name: &str) -> Result<Self, Refused> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, verb)| verb).ok_or_else(|| {
            let known = Self::ALL.map(|(name, _)| name).join(", ");
            Refused(format!("{:?} is not done by this tool; verbs are {known}", shortened(name)))
        })
    }

    /// As it is called.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, verb)| *verb == self).map_or("", |(name, _)| name)
    }

    /// The arguments that it takes besides `verb` and `dry_run`.
    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Apply => &["manifest", "kind", "name", "namespace"],
            Self::Scale => &["kind", "name", "namespace", "replicas"],
            Self::Label => &["kind", "name", "namespace", "labels"],
            Self::Annotate => &["kind", "name", "namespace", "annotations"],
            Self::SetImage => &["kind", "name", "namespace", "container", "image"],
            Self::Cordon | Self::Uncordon => &["kind", "name"],
            Self::RolloutRestart | Self::RolloutUndo | Self::Pause | Self::Resume | Self::Delete => {
                &["kind", "name", "namespace"]
            }
        }
    }
}

/// The arguments of a call, as they come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    verb: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    replicas: Option<u32>,
    #[serde(default)]
    manifest: Option<Value>,
    /// None takes a label off.
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    container: Option<String>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    dry_run: Option<bool>,
}

/// Reads the arguments of a call. An argument that is `null` counts as not given.
///
/// # Errors
/// What is wrong, for the model.
pub(super) fn read(payload: &Value) -> Result<Wanted, Refused> {
    let Value::Object(given) = payload else { return refuse("the arguments must be an object") };
    let mut given = given.clone();
    given.retain(|_, value| !value.is_null());
    let names: Vec<String> = given.keys().cloned().collect();
    let arguments: Arguments =
        serde_json::from_value(Value::Object(given)).map_err(|error| Refused(error.to_string()))?;
    let verb = Verb::named(&arguments.verb)?;
    let foreign = names
        .iter()
        .find(|name| !["verb", "dry_run"].contains(&name.as_str()) && !verb.takes().contains(&name.as_str()));
    if let Some(foreign) = foreign {
        return refuse(format!("{} takes no {foreign}: one call makes one change", verb.name()));
    }
    let namespace = arguments.namespace.map(namespace_name).transpose()?;
    let name = arguments.name.map(names::object).transpose()?;
    let needed = |name: &str| Refused(format!("{} needs {name}", verb.name()));
    let dry_run = arguments.dry_run.unwrap_or_default();
    let how = match verb {
        Verb::Apply => {
            let manifest = Manifest::read(&arguments.manifest.ok_or_else(|| needed("manifest"))?)?;
            let kind = arguments.kind.as_deref();
            return manifest.wanted(kind, name.as_deref(), namespace.as_deref(), dry_run);
        }
        Verb::Scale => How::Replicas(arguments.replicas.ok_or_else(|| needed("replicas"))?),
        Verb::Label => How::Labels(marks(arguments.labels, "labels")?),
        Verb::Annotate => How::Annotations(marks(arguments.annotations, "annotations")?),
        Verb::SetImage => {
            let image = arguments.image.ok_or_else(|| needed("image"))?;
            How::Image { container: arguments.container, image: names::image(image)? }
        }
        Verb::Pause => How::Paused(true),
        Verb::Resume => How::Paused(false),
        Verb::Cordon => How::Cordoned(true),
        Verb::Uncordon => How::Cordoned(false),
        Verb::RolloutRestart => How::Restart,
        Verb::RolloutUndo => How::Undo,
        Verb::Delete => How::Delete,
    };
    let kind = match (arguments.kind, &how) {
        (None, How::Cordoned(_)) => "Node".to_owned(),
        (kind, _) => names::object(kind.ok_or_else(|| needed("kind"))?)?,
    };
    let name = name.ok_or_else(|| needed("name"))?;
    Ok(Wanted { verb, which: Which::Called(kind), namespace, name, how, dry_run })
}

fn marks(
    given: Option<BTreeMap<String, Option<String>>>,
    what: &str,
) -> Result<BTreeMap<String, Option<String>>, Refused> {
    let marks = given.filter(|marks| !marks.is_empty()).ok_or_else(|| {
        Refused(format!("{what} must be an object of names and texts; null as text takes one off"))
    })?;
    names::annotations(marks.keys())?;
    Ok(marks)
}
