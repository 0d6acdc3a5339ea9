//! What a model asks for, read strictly: what it made up is told to it, and nothing becomes an option or a part of a path.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::Values;
use crate::kube::consent::{
    names,
    refused::{Refused, refuse, shortened},
};

/// Longest name of a release, as helm has it.
const MAX_RELEASE: usize = 53;
/// Longest name or version of a chart.
const MAX_CHART: usize = 128;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verb {
    List,
    Status,
    Values,
    History,
    Template,
    Diff,
    Install,
    Upgrade,
    Rollback,
    Uninstall,
}

impl Verb {
    /// All of them, as they are called.
    pub(super) const ALL: [(&str, Self); 10] = [
        ("list", Self::List),
        ("status", Self::Status),
        ("values", Self::Values),
        ("history", Self::History),
        ("template", Self::Template),
        ("diff", Self::Diff),
        ("install", Self::Install),
        ("upgrade", Self::Upgrade),
        ("rollback", Self::Rollback),
        ("uninstall", Self::Uninstall),
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

    /// Whether it takes a chart with values.
    pub(super) const fn renders(self) -> bool {
        matches!(self, Self::Template | Self::Diff | Self::Install | Self::Upgrade)
    }

    /// The arguments that it takes besides `verb`, `namespace` and `dry_run`.
    const fn takes(self) -> &'static [&'static str] {
        match self {
            Self::List => &[],
            Self::Status | Self::Values | Self::History | Self::Uninstall => &["release"],
            Self::Rollback => &["release", "revision"],
            Self::Template | Self::Install => &["release", "chart", "repository", "version", "values"],
            Self::Diff | Self::Upgrade => {
                &["release", "chart", "repository", "version", "values", "reset_values"]
            }
        }
    }
}

/// A chart that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) repository: Option<String>,
    pub(super) name: String,
    /// None: the newest.
    pub(super) version: Option<String>,
}

/// What was asked for; nothing was looked up yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) verb: Verb,
    pub(super) namespace: String,
    /// Empty for `list`.
    pub(super) release: String,
    pub(super) chart: Option<Named>,
    pub(super) values: Values,
    /// Whether what was said before, in earlier upgrades, is forgotten.
    pub(super) reset_values: bool,
    pub(super) revision: Option<u64>,
    /// Only what it would change is asked for.
    pub(super) dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    verb: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    release: Option<String>,
    #[serde(default)]
    chart: Option<String>,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    values: Option<Value>,
    #[serde(default)]
    reset_values: Option<bool>,
    #[serde(default)]
    revision: Option<u64>,
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
    let takes = |name: &str| ["verb", "namespace", "dry_run"].contains(&name) || verb.takes().contains(&name);
    if let Some(foreign) = names.iter().find(|name| !takes(name)) {
        return refuse(format!("{} takes no {foreign}", verb.name()));
    }
    let needed = |name: &str| Refused(format!("{} needs {name}", verb.name()));
    let chart = match arguments.chart {
        Some(chart) => Some(named(chart, arguments.repository, arguments.version)?),
        None if verb.renders() => return Err(needed("chart")),
        None => None,
    };
    let namespace = match arguments.namespace {
        Some(namespace) => names::namespace(namespace)?,
        None if verb == Verb::Template => "default".to_owned(),
        None => return Err(needed("namespace")),
    };
    let release = match (arguments.release, &chart) {
        (Some(release), _) => release_name(release)?,
        (None, Some(chart)) if verb == Verb::Template => release_name(chart.name.clone())?,
        (None, _) if verb == Verb::List => String::new(),
        (None, _) => return Err(needed("release")),
    };
    if verb == Verb::Rollback && arguments.revision.is_none_or(|revision| revision == 0) {
        return refuse("rollback needs revision, from 1; history shows which there are");
    }
    Ok(Wanted {
        verb,
        namespace,
        release,
        chart,
        values: Values::read(arguments.values)?,
        reset_values: arguments.reset_values.unwrap_or_default(),
        revision: arguments.revision,
        dry_run: arguments.dry_run.unwrap_or_default(),
    })
}

/// A chart by its name, which may have that of its repository before it.
fn named(chart: String, repository: Option<String>, version: Option<String>) -> Result<Named, Refused> {
    if chart.contains("://") {
        return refuse(
            "a chart has a name, and comes from a repository that is allowed: no address is taken",
        );
    }
    let (before, name) = match chart.split_once('/') {
        Some((before, name)) => (Some(before.to_owned()), name.to_owned()),
        None => (None, chart),
    };
    let repository = match (before, repository) {
        (Some(before), Some(beside)) if before != beside => {
            return refuse(format!(
                "repository says {:?} and chart {:?}",
                shortened(&beside),
                shortened(&before)
            ));
        }
        (before, beside) => before.or(beside),
    };
    Ok(Named {
        repository: repository.map(|name| word("repository", name)).transpose()?,
        name: word("chart", name)?,
        version: version.map(|version| word("version", version)).transpose()?,
    })
}

/// The name of a release.
pub(super) fn release_name(name: String) -> Result<String, Refused> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = name.starts_with('-') || name.ends_with('-');
    if name.is_empty() || name.len() > MAX_RELEASE || edges || !name.bytes().all(fits) {
        return refuse(format!(
            "{:?} can be no release: 1 to {MAX_RELEASE} of a-z, 0-9 and '-'",
            shortened(&name)
        ));
    }
    Ok(name)
}

/// A word that is no option, no path and no range.
pub(super) fn word(what: &str, text: String) -> Result<String, Refused> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !first || text.len() > MAX_CHART || !text.bytes().all(fits) || text.contains("..") {
        return refuse(format!("{:?} can be no {what}", shortened(&text)));
    }
    Ok(text)
}
