//! The Python runtime that this binary carries, and the interpreter that runs it.

use std::{
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::exit::misconfigured;

/// Sources of the package `asya_runtime`, by path within it.
const SOURCES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/runtime.in"));
/// Names another runtime: a directory that holds the package `asya_runtime`, or a single file (`.py`, `.pyz`).
pub(crate) const PATH_VARIABLE: &str = "ASYA_RUNTIME_PATH";

/// Where the runtime is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// A directory with the package, to be put on `PYTHONPATH`.
    Package(PathBuf),
    /// A file to be run.
    File(PathBuf),
}

impl Runtime {
    /// The one that the environment names, else the one in this binary, unpacked.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if let Some(path) = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            let path = path
                .canonicalize()
                .map_err(|error| misconfigured(format!("{PATH_VARIABLE}={}: {error}", path.display())))?;
            return Ok(match path {
                path if path.is_file() => Self::File(path),
                path if path.join("asya_runtime").is_dir() => Self::Package(path),
                path if path.join("__main__.py").is_file()
                    && path.file_name() == Some("asya_runtime".as_ref()) =>
                {
                    Self::Package(path.parent().expect("a named directory has a parent").to_owned())
                }
                path => {
                    let path = path.display();
                    return Err(misconfigured(format!(
                        "{PATH_VARIABLE}={path} holds no package asya_runtime"
                    )));
                }
            });
        }
        if SOURCES.is_empty() {
            return Err(misconfigured(format!(
                "this binary was built without the Python runtime: set {PATH_VARIABLE} to runtime-py/src"
            )));
        }
        let directory = cache().join(format!("runtime-{:016x}", digest()));
        unpack(&directory)
            .with_context(|| format!("unpacking the Python runtime to {}", directory.display()))?;
        Ok(Self::Package(directory))
    }

    /// The arguments of the interpreter.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        match self {
            Self::Package(_) => vec!["-m".into(), "asya_runtime".into()],
            Self::File(file) => vec![file.clone().into()],
        }
    }

    /// What must be on `PYTHONPATH`: the manifest's directory first.
    pub(crate) fn python_path(&self, manifest: &Path) -> OsString {
        let mut path = manifest.as_os_str().to_owned();
        let package =
            if let Self::Package(directory) = self { Some(directory.as_os_str().to_owned()) } else { None };
        for more in package.into_iter().chain(std::env::var_os("PYTHONPATH").filter(|path| !path.is_empty()))
        {
            path.push(":");
            path.push(more);
        }
        path
    }
}

/// The interpreter: as the manifest says, else the virtual environment's, else `python3`.
pub(crate) fn interpreter(manifest: Option<&str>) -> PathBuf {
    // `python3` is what a manifest says when it says nothing in particular: the default of the resource.
    if let Some(executable) =
        manifest.filter(|executable| *executable != asya_resources::workload::DEFAULT_PYTHON)
    {
        return executable.into();
    }
    match std::env::var_os("VIRTUAL_ENV").filter(|path| !path.is_empty()) {
        Some(environment) => PathBuf::from(environment).join("bin/python3"),
        None => "python3".into(),
    }
}

fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("asya")
}

fn digest() -> u64 {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    hasher.finish()
}

/// Writes the sources beside and renames, so that two processes do not see each other's half.
fn unpack(directory: &Path) -> io::Result<()> {
    if SOURCES
        .iter()
        .all(|(name, text)| fs::read_to_string(directory.join(name)).is_ok_and(|there| there == *text))
    {
        return Ok(());
    }
    let parent = directory.parent().expect("the directory is within the cache");
    fs::create_dir_all(parent)?;
    let beside = parent.join(format!("unpacking-{}-{}", std::process::id(), uuid::Uuid::now_v7()));
    for (name, text) in SOURCES {
        let file = beside.join(name);
        fs::create_dir_all(file.parent().expect("a file is in a directory"))?;
        fs::write(file, text)?;
    }
    // What is there is not whole; somebody may be mending it too, and either result is the same.
    let _ = fs::remove_dir_all(directory);
    match fs::rename(&beside, directory) {
        Err(_) if directory.is_dir() => fs::remove_dir_all(beside),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_directory_comes_first_and_the_package_after_it() {
        let path = Runtime::Package("/r".into()).python_path(Path::new("/m"));
        assert!(path.to_str().unwrap().starts_with("/m:/r"));
        assert_eq!(Runtime::File("/r.pyz".into()).arguments(), ["/r.pyz"]);
    }

    #[test]
    fn the_manifests_interpreter_wins() {
        assert_eq!(interpreter(Some("/opt/py/bin/python")), PathBuf::from("/opt/py/bin/python"));
    }

    #[test]
    fn a_damaged_copy_is_mended() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = directory.path().join("runtime-x");
        unpack(&runtime).unwrap();
        let Some((name, text)) = SOURCES.first() else { return };
        fs::write(runtime.join(name), "damaged").unwrap();
        unpack(&runtime).unwrap();
        assert_eq!(fs::read_to_string(runtime.join(name)).unwrap(), *text);
    }
}
