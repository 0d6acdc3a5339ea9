//! The file of profiles.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::exit::misconfigured;

/// The file below the user's directory of configuration.
const NAME: &str = "asya/config.yaml";
/// Names another file.
const ENVIRONMENT: &str = "ASYA_CONFIG";

/// Places that commands work on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Profile {
    /// Address of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<String>,
    /// File with the token for it; relative to the file of profiles, `~/` is the home directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<String>,
    /// Address of the broker, as of `--transport`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transport: Option<String>,
    /// Context of the kubeconfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<String>,
    /// Namespace on the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
}

/// What stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    current: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// The file, read.
#[derive(Debug)]
pub(crate) struct File {
    /// Where it is, or would be.
    pub(crate) path: PathBuf,
    /// The profile of commands that name none.
    pub(crate) current: Option<String>,
    /// Profiles by name.
    pub(crate) profiles: BTreeMap<String, Profile>,
}

impl File {
    /// Reads the file: `$ASYA_CONFIG`, else `asya/config.yaml` in `$XDG_CONFIG_HOME` or `~/.config`. A file that is not
    /// there holds nothing.
    ///
    /// # Errors
    /// What is wrong with it, as a wrong environment.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = set(ENVIRONMENT) {
            return Self::at(path, true);
        }
        let base = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        match base.or_else(|| set("HOME").map(|home| home.join(".config"))) {
            Some(base) => Self::at(base.join(NAME), false),
            None => Ok(Self { path: NAME.into(), current: None, profiles: BTreeMap::new() }),
        }
    }

    fn at(path: PathBuf, needed: bool) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !needed => String::new(),
            Err(error) => {
                let hint = if needed { format!("; {ENVIRONMENT} names it") } else { String::new() };
                return Err(misconfigured(format!("profiles {}: {error}{hint}", path.display())));
            }
        };
        let Written { current, profiles } =
            parse(&text).map_err(|error| misconfigured(format!("profiles {}: {error}", path.display())))?;
        Ok(Self { path, current, profiles })
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// There is none; says which there are.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&Profile> {
        self.profiles.get(name).ok_or_else(|| {
            let there: Vec<_> = self.profiles.keys().map(String::as_str).collect();
            let there = if there.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", there.join(", "))
            };
            misconfigured(format!("no profile {name:?} in {}: {there}", self.path.display()))
        })
    }

    /// Makes this profile the current one; everything else in the file stays as it is, comments included.
    ///
    /// # Errors
    /// There is no such profile, or the file cannot be written.
    pub(crate) fn make_current(&self, name: &str) -> anyhow::Result<()> {
        self.get(name)?;
        let text =
            fs::read_to_string(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        let changed = with_current(&text, name);
        let written = parse(&changed).ok().and_then(|written| written.current);
        if written.as_deref() != Some(name) {
            anyhow::bail!(
                "{} has `current` in a form that is not changed here: write `current: {name}` yourself",
                self.path.display()
            );
        }
        // Through links, so that a file that is kept elsewhere stays there; whole or not at all.
        let place = fs::canonicalize(&self.path)?;
        let mut new = tempfile::NamedTempFile::new_in(place.parent().unwrap_or(Path::new(".")))?;
        new.write_all(changed.as_bytes())?;
        new.as_file().set_permissions(fs::metadata(&place)?.permissions())?;
        new.persist(&place).with_context(|| format!("writing {}", place.display()))?;
        Ok(())
    }
}

fn parse(text: &str) -> Result<Written, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Written::default());
    }
    let written: Written = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    if let Some(current) = &written.current
        && !written.profiles.contains_key(current)
    {
        return Err(format!("current: {current:?} is none of the profiles"));
    }
    Ok(written)
}

fn with_current(text: &str, name: &str) -> String {
    let line = format!("current: {}", serde_json::Value::from(name));
    let mut found = false;
    let mut lines: Vec<String> = text
        .lines()
        .map(|old| {
            if old.starts_with("current:") {
                found = true;
                line.clone()
            } else {
                old.to_owned()
            }
        })
        .collect();
    if !found {
        lines.insert(0, line);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# mine\ncurrent: a # now\nprofiles:\n  a: {gateway: \"https://a\"}\n  b: {transport: sqs://x}\n";

    #[test]
    fn another_profile_becomes_current_and_the_rest_stays() {
        let changed = with_current(TEXT, "b");
        assert_eq!(changed, TEXT.replace("current: a # now", "current: \"b\""));
        assert_eq!(parse(&changed).unwrap().current.as_deref(), Some("b"));
        let added = with_current("profiles: {a: {}}\n", "a");
        assert_eq!(parse(&added).unwrap().current.as_deref(), Some("a"));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said() {
        for (text, part) in [
            ("profiles: {a: {gatway: x}}", "gatway"),
            ("current: c\nprofiles: {a: {}}", "none of the profiles"),
            ("profiles: [", ""),
            ("profile: {}", "profile"),
            ("profiles: {a: {token: secret}}", "token"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(parse("# nothing\n\n").unwrap().profiles.is_empty());
    }
}
