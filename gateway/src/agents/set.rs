//! The agents there are now: read from files, and again when these change.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::Agent;

/// How often files are looked at. They are read whole: a mounted ConfigMap changes by a symbolic link two levels up,
/// which watches of files do not see.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Largest file of an agent, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// Agents by name.
pub type AgentSet = BTreeMap<String, Arc<Agent>>;

/// A file: its bytes, or why it cannot be read.
type Read = Result<Vec<u8>, String>;

/// Keeps an [`AgentSet`] up to date.
#[derive(Debug)]
pub struct Agents {
    folder: PathBuf,
    files: BTreeMap<String, Read>,
    current: watch::Sender<Arc<AgentSet>>,
}

impl Agents {
    /// Reads every `.json` file of a directory. One that is wrong is told in the log and is no agent; the others are.
    ///
    /// # Errors
    /// A sentence, if the directory cannot be read.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let files = read(folder)?;
        let agents = parsed(&files, &AgentSet::new());
        Ok(Self { folder: folder.to_owned(), files, current: watch::Sender::new(Arc::new(agents)) })
    }

    /// The agents now and as they change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<AgentSet>> {
        self.current.subscribe()
    }

    /// Reads the files again whenever they change, for ever. An agent whose file has become wrong stays as it was.
    /// Cancel safe.
    pub async fn follow(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    fn look(&mut self) {
        // A directory that is away for a moment takes no agents with it.
        let Ok(files) = read(&self.folder) else { return };
        if files == self.files {
            return;
        }
        let agents = parsed(&files, &self.current.borrow().clone());
        tracing::info!(agents = agents.len(), folder = %self.folder.display(), "agents have changed");
        self.files = files;
        self.current.send_replace(Arc::new(agents));
    }
}

/// The agents of the files; of a file that is wrong the one of `before`, if there was one.
fn parsed(files: &BTreeMap<String, Read>, before: &AgentSet) -> AgentSet {
    let agents = files.iter().filter_map(|(stem, file)| {
        match file.as_ref().map_err(String::clone).and_then(|text| Agent::parse(stem, text)) {
            Ok(agent) => Some((agent.name.clone(), Arc::new(agent))),
            Err(error) => {
                tracing::error!(error, file = %format_args!("{stem}.json"), "the agent stays as it was");
                before.get(stem).map(|agent| (stem.clone(), Arc::clone(agent)))
            }
        }
    });
    agents.collect()
}

/// The `.json` files of a directory, without that ending.
fn read(folder: &Path) -> Result<BTreeMap<String, Read>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let files = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).filter_map(|path| {
        let stem = path.file_stem()?.to_str()?.to_owned();
        Some((stem, bytes(&path)))
    });
    Ok(files.collect())
}

fn bytes(path: &Path) -> Read {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("{size} bytes; the file of an agent has at most {MAX_FILE}"));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn agents_come_change_and_go_with_their_files_and_a_fault_stays_with_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let mut agents = Agents::load(folder.path()).unwrap();
        let set = agents.subscribe();
        assert!(set.borrow().is_empty(), "an operator has not written any yet");
        write("one.json", r#"{"name": "one"}"#);
        write("two.json", r#"{"name": "two", "description": "before"}"#);
        write("note.txt", "no agent");
        agents.look();
        assert_eq!(set.borrow().keys().collect::<Vec<_>>(), ["one", "two"]);
        write("one.json", r#"{"name": "one", "description": "after"}"#);
        write("two.json", "{");
        write("three.json", r#"{"name": "four"}"#);
        agents.look();
        let about = |name: &str| set.borrow().get(name).map(|agent| agent.description.clone());
        assert_eq!(about("one").unwrap(), "after");
        assert_eq!(about("two").unwrap(), "before");
        assert_eq!((about("three"), about("four")), (None, None));
        std::fs::remove_file(folder.path().join("two.json")).unwrap();
        agents.look();
        assert_eq!(about("two"), None);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_one_that_goes_away_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("agents");
        assert!(Agents::load(&inner).unwrap_err().contains("agents"));
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("one.json"), r#"{"name": "one"}"#).unwrap();
        let mut agents = Agents::load(&inner).unwrap();
        std::fs::rename(&inner, folder.path().join("away")).unwrap();
        agents.look();
        assert!(agents.subscribe().borrow().contains_key("one"));
    }
}
