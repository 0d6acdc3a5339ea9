//! The environment of a handler on this machine: values of the manifest, and `.env` where a cluster has Secrets and
//! ConfigMaps.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use asya_resources::{EnvSource, EnvVar};

use crate::manifest::Manifest;

/// The manifest's directory, absolute.
pub(crate) fn directory(manifest: &Manifest) -> Result<PathBuf, Vec<String>> {
    std::path::absolute(manifest.directory()).map_err(|error| vec![error.to_string()])
}

/// The values that variables of a manifest have here.
///
/// # Errors
/// Every one that cannot be found, or why `.env` cannot be read.
pub(crate) fn of(manifest: &Manifest, variables: &[EnvVar]) -> Result<BTreeMap<String, String>, Vec<String>> {
    let file = directory(manifest)?.join(".env");
    let values = match std::fs::read_to_string(&file) {
        Ok(text) => dotenv(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(vec![format!("{}: {error}", file.display())]),
    };
    resolve(manifest.name(), variables, &file, &values)
}

/// Reads `NAME=value` lines: comments, `export`, and quotes as shells have them; no substitution.
fn dotenv(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        let quoted = |quote| value.strip_prefix(quote).and_then(|value: &str| value.strip_suffix(quote));
        let value = match (quoted('\''), quoted('"')) {
            (Some(literal), _) => literal.to_owned(),
            (None, Some(escaped)) => escaped.replace("\\n", "\n").replace("\\\"", "\""),
            (None, None) => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
        };
        values.insert(name.trim().to_owned(), value);
    }
    values
}

/// The values of all variables, later ones winning; or every one that cannot be found, as sentences. `$(NAME)` of a variable
/// before and `$$` are what they are on a cluster.
fn resolve(
    actor: &str,
    variables: &[EnvVar],
    file: &Path,
    values: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<String>> {
    let mut environment = BTreeMap::new();
    let mut missing = Vec::new();
    for variable in variables {
        let name = &variable.name;
        let Some(source) = &variable.value_from else {
            let value = expanded(variable.value.as_deref().unwrap_or_default(), &environment);
            environment.insert(name.clone(), value);
            continue;
        };
        match find(actor, name, source, values) {
            Ok(Some(value)) => drop(environment.insert(name.clone(), value)),
            Ok(None) => {}
            Err(from) => missing.push(format!(
                "actor {actor}: {name} comes from {from}: add a line {name}=… to {}",
                file.display()
            )),
        }
    }
    if missing.is_empty() { Ok(environment) } else { Err(missing) }
}

/// A value with those of other variables in it, as kubelets do it: `$(NAME)` is the value of a variable that is known, and
/// stays as it is otherwise; `$$` is a `$`.
fn expanded(text: &str, known: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let named = after.strip_prefix('(').and_then(|it| it.split_once(')'));
        rest = match named {
            Some((name, after)) if known.contains_key(name) => {
                out.push_str(&known[name]);
                after
            }
            _ => {
                out.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    out + rest
}

/// The value; none if it may be missing; or where it comes from on a cluster.
fn find(
    actor: &str,
    name: &str,
    source: &EnvSource,
    values: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let objects = [("Secret", &source.secret_key_ref), ("ConfigMap", &source.config_map_key_ref)];
    if let Some((kind, selector)) = objects.into_iter().find_map(|(kind, key)| Some((kind, key.as_ref()?))) {
        let value = values.get(name).or_else(|| values.get(&selector.key)).cloned();
        if value.is_none() && selector.optional != Some(true) {
            return Err(format!("key {:?} of the {kind} {:?}", selector.key, selector.name));
        }
        return Ok(value);
    }
    if let Some(field) = &source.field_ref {
        return match values.get(name).cloned().or_else(|| pod_field(actor, &field.field_path)) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("the pod's field {}", field.field_path)),
        };
    }
    // What a container may use is not known here, as on a cluster without limits.
    Ok(values.get(name).cloned())
}

fn pod_field(actor: &str, path: &str) -> Option<String> {
    let value = match path {
        "metadata.name" | "metadata.labels['asya.sh/actor']" => actor,
        "metadata.namespace" => "default",
        "spec.nodeName" => "localhost",
        "status.podIP" | "status.hostIP" => "127.0.0.1",
        _ => return None,
    };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use asya_resources::KeySelector;

    use super::*;

    fn secret(name: &str, key: &str, optional: bool) -> EnvVar {
        let selector = KeySelector { name: "llm".into(), key: key.into(), optional: Some(optional) };
        let source = EnvSource { secret_key_ref: Some(selector), ..EnvSource::default() };
        EnvVar { name: name.into(), value: None, value_from: Some(source) }
    }

    #[test]
    fn a_file_of_values_is_read_as_shells_would() {
        let values = dotenv("# no\nA=1\nexport B = 'x # y' \nC=\"l\\nm\"\nD=v # comment\n\nnonsense\nE=");
        let read: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("A", "1"), ("B", "x # y"), ("C", "l\nm"), ("D", "v"), ("E", "")]);
    }

    #[test]
    fn references_and_escapes_are_those_of_a_cluster() {
        let plain = |name: &str, value: &str| EnvVar::plain(name, value);
        let variables = [
            plain("A", "x"),
            plain("B", "$(A)-$(NO)-$$(A)-$$-$5-$(A"),
            plain("C", "$(B)"),
            plain("D", "$(E)"),
            plain("E", ""),
        ];
        let environment = resolve("ocr", &variables, Path::new(".env"), &BTreeMap::new()).unwrap();
        let values: Vec<_> = environment.into_values().collect();
        assert_eq!(values, ["x", "x-$(NO)-$(A)-$-$5-$(A", "x-$(NO)-$(A)-$-$5-$(A", "$(E)", ""]);
    }

    #[test]
    fn a_secret_is_found_by_the_variables_name_and_then_by_its_key() {
        let values = dotenv("TOKEN=a\nkey2=b");
        let variables =
            [secret("TOKEN", "key1", false), secret("OTHER", "key2", false), secret("NO", "no", true)];
        let environment = resolve("ocr", &variables, Path::new(".env"), &values).unwrap();
        assert_eq!(environment.into_values().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn every_missing_secret_is_named_with_the_line_to_add() {
        let variables = [secret("TOKEN", "key1", false), secret("OTHER", "key2", false)];
        let missing = resolve("ocr", &variables, Path::new("/x/.env"), &BTreeMap::new()).unwrap_err();
        assert_eq!(missing.len(), 2);
        assert_eq!(
            missing[0],
            r#"actor ocr: TOKEN comes from key "key1" of the Secret "llm": add a line TOKEN=… to /x/.env"#
        );
    }
}
