//! The tools there are now: read from files, and again when these change.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    config::File,
    tool::{Tool, assemble},
};

/// How often files are looked at. They are read whole: a mounted ConfigMap changes by a symbolic link two levels up,
/// which watches of files do not see.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Largest file of tools.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Tools by name.
#[derive(Debug, Default)]
pub struct ToolSet {
    tools: BTreeMap<String, Arc<Tool>>,
    /// What is wrong with the files as they are now, if these are older tools.
    pub error: Option<String>,
}

impl ToolSet {
    /// A set of these tools.
    pub fn new(tools: Vec<Tool>) -> Self {
        let tools = tools.into_iter().map(|tool| (tool.name.clone(), Arc::new(tool))).collect();
        Self { tools, error: None }
    }

    /// The tool of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name)
    }

    /// All tools by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Tool>> {
        self.tools.values()
    }
}

/// Keeps a [`ToolSet`] up to date.
#[derive(Debug)]
pub struct Tools {
    path: PathBuf,
    files: Vec<(String, Vec<u8>)>,
    current: watch::Sender<Arc<ToolSet>>,
}

impl Tools {
    /// Reads the file, or every `.yaml` and `.yml` file of the directory.
    ///
    /// # Errors
    /// Everything that is wrong with the files, one fault to a line.
    pub fn load(path: &Path) -> Result<Self, String> {
        let files = read(path)?;
        let tools = parse(&files)?;
        Ok(Self { path: path.to_owned(), files, current: watch::Sender::new(Arc::new(ToolSet::new(tools))) })
    }

    /// The tools now and as they change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ToolSet>> {
        self.current.subscribe()
    }

    /// Reads the files again whenever they change, for ever. What is wrong leaves the tools as they are and is told in
    /// [`ToolSet::error`] and in the log. Cancel safe.
    pub async fn follow(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    fn look(&mut self) {
        let outcome = match read(&self.path) {
            Ok(files) if files == self.files => return self.unless_told(None),
            Ok(files) => {
                self.files = files;
                parse(&self.files)
            }
            Err(error) => return self.unless_told(Some(error)),
        };
        match outcome {
            Ok(tools) => {
                tracing::info!(tools = tools.len(), path = %self.path.display(), "tools have changed");
                self.current.send_replace(Arc::new(ToolSet::new(tools)));
            }
            Err(error) => self.keep(Some(error)),
        }
    }

    /// Files that could not be read and can again have the tools they had, unless these were wrong.
    fn unless_told(&self, unreadable: Option<String>) {
        let error = unreadable.or_else(|| parse(&self.files).err());
        if error != self.current.borrow().error {
            self.keep(error);
        }
    }

    fn keep(&self, error: Option<String>) {
        if let Some(error) = &error {
            tracing::error!(error, "the tools stay as they were");
        }
        let tools = self.current.borrow().tools.clone();
        self.current.send_replace(Arc::new(ToolSet { tools, error }));
    }
}

fn parse(files: &[(String, Vec<u8>)]) -> Result<Vec<Tool>, String> {
    let mut faults = Vec::new();
    let mut parsed = Vec::new();
    for (name, bytes) in files {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("{name}: not UTF-8: {error}"))?;
        match serde_saphyr::from_str::<Option<File>>(text) {
            Ok(file) => parsed.push((name.clone(), file.unwrap_or_default())),
            Err(error) => faults.push(format!("{name}: {}", error.without_snippet())),
        }
    }
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    assemble(parsed).map_err(|faults| faults.join("\n"))
}

fn read(path: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let kind = std::fs::metadata(path).map_err(|error| wrong(path, &error))?;
    let mut paths = vec![path.to_owned()];
    if kind.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| wrong(path, &error))?;
        let yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(yaml).collect();
        paths.sort();
        if paths.is_empty() {
            return Err(wrong(path, &"no .yaml or .yml file in this directory"));
        }
    }
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let size = std::fs::metadata(&path).map_err(|error| wrong(&path, &error))?.len();
        if size > MAX_FILE {
            return Err(wrong(&path, &format!("{size} bytes; a file of tools has at most {MAX_FILE}")));
        }
        let bytes = std::fs::read(&path).map_err(|error| wrong(&path, &error))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        files.push((name, bytes));
    }
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    const GOOD: &str = "tools: [{name: hello, route: [greet]}]";

    #[test]
    fn a_file_with_a_fault_leaves_the_tools_as_they_were_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tools.yaml");
        std::fs::write(&file, GOOD).unwrap();
        let mut tools = Tools::load(folder.path()).unwrap();
        let set = tools.subscribe();
        std::fs::write(&file, "tools: [{name: hello, route: [greet], colour: red}]").unwrap();
        tools.look();
        assert!(set.borrow().get("hello").is_some());
        let error = set.borrow().error.clone().unwrap();
        assert!(error.contains("tools.yaml") && error.contains("colour"), "{error}");
        std::fs::write(&file, "tools: [{name: again, route: [greet]}]").unwrap();
        tools.look();
        assert!(set.borrow().get("again").is_some() && set.borrow().error.is_none());
    }

    #[test]
    fn files_that_go_away_for_a_moment_are_told_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tools.yaml");
        std::fs::write(&file, GOOD).unwrap();
        let mut tools = Tools::load(&file).unwrap();
        let set = tools.subscribe();
        std::fs::remove_file(&file).unwrap();
        tools.look();
        assert!(set.borrow().error.is_some() && set.borrow().get("hello").is_some());
        std::fs::write(&file, GOOD).unwrap();
        tools.look();
        assert_eq!(set.borrow().error, None);
    }

    #[test]
    fn a_directory_without_files_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = Tools::load(folder.path()).unwrap_err();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
}
