//! A directory with an actor, and the real binary run in it.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod model;
pub(crate) mod terminal;

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longest that any test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A directory with actors.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    /// With one actor `name`, handled by the function `handle` of this Python source.
    pub(crate) fn with(name: &str, source: &str, more: &str) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        place.actor(name, source, more);
        place
    }

    /// One more actor. `more` are further lines of its `spec`.
    pub(crate) fn actor(&self, name: &str, source: &str, more: &str) {
        let manifest = format!(
            "apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nmetadata: {{name: {name}}}\nspec:\n  transport: rabbitmq\n  \
             handler: {name}.handle\n{more}\n"
        );
        self.write(&format!("{name}.yaml"), &manifest);
        self.write(&format!("{name}.py"), source);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asya"));
        command
            .current_dir(self.path())
            .args(arguments)
            .env_remove("ASYA_LOCAL_PATH")
            .env_remove("ASYA_TRANSPORT_URL");
        // Neither the profiles of whoever runs the tests, nor their gateways.
        for name in ["ASYA_CONFIG", "ASYA_PROFILE", "ASYA_GATEWAY", "ASYA_TOKEN", "ASYA_TOKEN_FILE"] {
            command.env_remove(name);
        }
        for name in ["ASYA_CLI_MCP_URL", "ASYA_CLI_MCP_TOKEN", "ASYA_CLI_MCP_TOKEN_FILE"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.path());
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs to the end, which must be success; the JSON lines it printed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        lines(&output.stdout)
    }

    /// Starts `asya up .`
    pub(crate) fn up(&self, arguments: &[&str]) -> Up {
        self.up_with(arguments, &[])
    }

    /// Starts it with these variables.
    pub(crate) fn up_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Up {
        let mut command = self.command(&[&["up", ".", "--output", "json"], arguments].concat());
        command.envs(environment.iter().copied());
        let log = std::fs::File::create(self.path().join("up.log")).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Up { child, log: self.path().join("up.log") }
    }
}

/// A running `asya up`; killed when dropped.
pub(crate) struct Up {
    child: Child,
    log: std::path::PathBuf,
}

impl Up {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_for(&self, part: &str) {
        until(&format!("{part:?} in the log"), || self.log().contains(part));
    }

    /// The address of its gateway.
    pub(crate) fn gateway(&self) -> String {
        self.wait_for("gateway http://");
        let log = self.log();
        let address = log.split_once("gateway http://").unwrap().1.split(',').next().unwrap();
        format!("http://{address}")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it with a signal.
    pub(crate) fn end_by(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.end()
    }

    /// Waits for the end; the exit code, `None` after a signal.
    pub(crate) fn end(&mut self) -> Option<i32> {
        until("the end of asya up", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let mut text = String::new();
            let _ = std::fs::File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
            eprintln!("--- log of asya up ---\n{text}");
        }
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "waited too long for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
