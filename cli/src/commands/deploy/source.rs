//! The handler's file: read, looked at, and what to call in it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{exit::misconfigured, up::runtime::interpreter};

/// Most that the values of a ConfigMap may hold together: Kubernetes' own bound.
const CONFIG_MAP_BYTES: usize = 1024 * 1024;
/// How long Python may take to read one file.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a handler is mostly called, in order of preference.
const USUAL: [&str; 3] = ["handle", "handler", "process"];
/// Reads a file from standard input without running it, and says what is in it.
const INSPECT: &str = include_str!("inspect.py.txt");

/// A handler's file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its name, which is the key in the ConfigMap.
    pub(super) file: String,
    /// The name without `.py`: what Python imports.
    pub(super) module: String,
    pub(super) text: String,
}

/// What is in the file.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Inspected {
    /// Python's version; empty when none looked at it.
    #[serde(default)]
    version: String,
    error: Option<Wrong>,
    /// Functions of the module, in order.
    #[serde(default)]
    functions: Vec<String>,
    /// Other names of the module: a handler may be one.
    #[serde(default)]
    names: Vec<String>,
    /// Imported modules that do not come with Python.
    #[serde(default)]
    pub(super) foreign: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Wrong {
    line: u64,
    message: String,
}

impl Inspected {
    /// The same, without any judgement of Python's.
    pub(super) fn unchecked(self) -> Self {
        Self { functions: self.functions, ..Self::default() }
    }
}

impl Source {
    /// Reads the file.
    ///
    /// # Errors
    /// No Python file, a name that Python cannot import, or more than a ConfigMap holds.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if path.is_dir() {
            return Err(misconfigured(format!(
                "{shown} is a directory; one file goes to the cluster: name it, or build an image (`asya init` makes a \
                 Dockerfile)"
            )));
        }
        let bytes = std::fs::read(path).map_err(|error| misconfigured(format!("{shown}: {error}")))?;
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::of(file, bytes)
    }

    fn of(file: String, bytes: Vec<u8>) -> anyhow::Result<Self> {
        let module = file.strip_suffix(".py").unwrap_or_default().to_owned();
        let mut letters = module.chars();
        let first = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
        if !first || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return Err(misconfigured(format!(
                "{file}: the file must be called MODULE.py, MODULE of letters, digits and _, so that Python can import it"
            )));
        }
        if bytes.len() > CONFIG_MAP_BYTES {
            return Err(misconfigured(format!(
                "{file} has {} KiB, and a ConfigMap holds at most {} KiB: load data when the handler starts, or build an \
                 image (`asya init` makes a Dockerfile)",
                bytes.len().div_ceil(1024),
                CONFIG_MAP_BYTES / 1024
            )));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| misconfigured(format!("{file} is not UTF-8: {}", error.utf8_error())))?;
        Ok(Self { file, module, text })
    }

    /// Lets the local Python look at it, without running it. Without Python: the functions that stand at the margin, and
    /// why no more is known.
    pub(super) async fn inspect(&self) -> (Inspected, Option<String>) {
        let python = interpreter(None);
        match ask(&python, &self.text).await {
            Ok(found) if found.error.is_none() => (found, None),
            Ok(found) => (Inspected { functions: self.at_the_margin(), ..found }, None),
            Err(why) => {
                let note = format!(
                    "the syntax was not checked: {}: {why}; on the cluster the actor's status says what is wrong",
                    python.display()
                );
                (Inspected { functions: self.at_the_margin(), ..Inspected::default() }, Some(note))
            }
        }
    }

    fn at_the_margin(&self) -> Vec<String> {
        self.text.lines().filter_map(defined).map(str::to_owned).collect()
    }

    /// What is called: as asked, else as before, else what the file suggests.
    ///
    /// # Errors
    /// A syntax error, another module, a name that is not in the file, or more than one that it could be.
    pub(super) fn handler(
        &self,
        asked: Option<&str>,
        before: Option<&str>,
        found: &Inspected,
    ) -> anyhow::Result<String> {
        let (file, module) = (&self.file, &self.module);
        if let Some(wrong) = &found.error {
            return Err(misconfigured(format!(
                "{file}:{}: {} (Python {}); --no-check deploys it all the same",
                wrong.line, wrong.message, found.version
            )));
        }
        let own = |handler: &&str| handler.split_once('.').is_some_and(|(first, _)| first == module);
        if let Some(asked) = asked {
            let called = match asked.split_once('.') {
                None => asked,
                Some((first, rest)) if first == module => rest,
                Some((first, rest)) => {
                    return Err(misconfigured(format!(
                        "--handler {asked} is in module {first}, but {file} is module {module}: write {module}.{rest}"
                    )));
                }
            };
            let known = |name: &str| found.functions.iter().chain(&found.names).any(|it| it == name);
            if !found.version.is_empty() && !known(called.split('.').next().unwrap_or(called)) {
                return Err(misconfigured(format!("{file} has no {called}; {}", self.offers(found))));
            }
            return Ok(format!("{module}.{called}"));
        }
        let there = |handler: &&str| {
            let name = handler.split('.').nth(1).unwrap_or_default();
            found.functions.iter().chain(&found.names).any(|it| it == name)
        };
        if let Some(before) = before.filter(own).filter(there) {
            return Ok(before.to_owned());
        }
        let public: Vec<_> = found.functions.iter().filter(|name| !name.starts_with('_')).collect();
        let usual = USUAL.into_iter().chain([module.as_str()]);
        let mut usual = usual.filter(|usual| public.iter().any(|name| name == usual));
        match (usual.next(), &public[..]) {
            (Some(name), _) => Ok(format!("{module}.{name}")),
            (None, [only]) => Ok(format!("{module}.{only}")),
            _ => Err(misconfigured(format!(
                "which function of {file} handles a payload? {}; choose with --handler NAME",
                self.offers(found)
            ))),
        }
    }

    fn offers(&self, found: &Inspected) -> String {
        let names: Vec<_> = found.functions.iter().map(String::as_str).collect();
        match names[..] {
            [] => "it has no function".to_owned(),
            _ => format!("its functions: {}", names.join(", ")),
        }
    }
}

/// The name of a function that is defined at the margin of this line.
fn defined(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).trim_start();
    let unindented = line.starts_with("def ") || line.starts_with("async ");
    let (name, _) = rest.strip_prefix("def ").filter(|_| unindented)?.split_once('(')?;
    Some(name.trim())
}

async fn ask(python: &PathBuf, text: &str) -> Result<Inspected, String> {
    let mut child = Command::new(python)
        .args(["-I", "-c", INSPECT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().expect("standard input is a pipe");
    let asking = async {
        // A Python that ends before it read everything says why on standard error.
        let _ = input.write_all(text.as_bytes()).await;
        drop(input);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PATIENCE, asking).await;
    let output = output.map_err(|_| format!("no answer within {PATIENCE:?}"))?;
    let output = output.map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        said.trim().lines().last().unwrap_or("it said nothing").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &str, text: &str) -> Source {
        Source::of(file.to_owned(), text.into()).unwrap()
    }

    fn functions(names: &[&str]) -> Inspected {
        let functions = names.iter().map(|&name| name.to_owned()).collect();
        Inspected { version: "3.13".to_owned(), functions, ..Inspected::default() }
    }

    #[test]
    fn the_function_is_found_by_name_or_because_it_is_the_only_one() {
        let shout = source("shout.py", "");
        let of = |asked, before, names: &[&str]| shout.handler(asked, before, &functions(names));
        assert_eq!(of(None, None, &["a", "handle"]).unwrap(), "shout.handle");
        assert_eq!(of(None, None, &["a", "shout"]).unwrap(), "shout.shout");
        assert_eq!(of(None, None, &["_private", "only"]).unwrap(), "shout.only");
        assert_eq!(of(Some("b"), None, &["a", "b"]).unwrap(), "shout.b");
        assert_eq!(of(Some("shout.b"), None, &["a", "b"]).unwrap(), "shout.b");
        assert_eq!(of(None, Some("shout.b"), &["handle", "b"]).unwrap(), "shout.b", "as before");
        assert_eq!(of(None, Some("shout.gone"), &["handle"]).unwrap(), "shout.handle");
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_what_can() {
        let shout = source("shout.py", "");
        let of =
            |asked, names: &[&str]| shout.handler(asked, None, &functions(names)).unwrap_err().to_string();
        assert!(of(None, &["a", "b"]).contains("its functions: a, b; choose with --handler"));
        assert!(of(None, &[]).contains("it has no function"));
        assert!(of(Some("c"), &["a"]).contains("shout.py has no c; its functions: a"));
        assert!(of(Some("other.a"), &["a"]).contains("write shout.a"));
    }

    #[test]
    fn a_file_that_cannot_be_mounted_or_imported_is_refused() {
        let of = |file: &str, bytes: Vec<u8>| Source::of(file.to_owned(), bytes).unwrap_err().to_string();
        assert!(of("my-handler.py", Vec::new()).contains("must be called MODULE.py"));
        assert!(of("handler.txt", Vec::new()).contains("must be called MODULE.py"));
        assert!(of("handler.py", vec![b' '; CONFIG_MAP_BYTES + 1]).contains("holds at most 1024 KiB"));
        assert!(of("handler.py", vec![0xff]).contains("is not UTF-8"));
    }

    #[test]
    fn functions_are_found_without_python() {
        let lines = ["def a(x):", "async def b(x):", "    def c(x):", "class D:", "define(e)"];
        assert_eq!(lines.map(defined), [Some("a"), Some("b"), None, None, None]);
    }
}
