//! A terminal with the program in it.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::Place;

/// The program at a terminal of its own.
pub(crate) struct Terminal {
    script: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Terminal {
    /// Starts it with these arguments, separated by blanks.
    pub(crate) fn start(place: &Place, arguments: &str) -> Self {
        let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_asya"));
        // Of util-linux, which is everywhere: a terminal around a program.
        let mut script = Command::new("script");
        script.args(["-qfec", &command, "/dev/null"]).current_dir(place.path()).env_remove("ASYA_GATEWAY");
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        Self { script, keys, screen, shown: String::new() }
    }

    /// Ends a line by the return key.
    pub(crate) fn types(&mut self, line: &str) {
        writeln!(self.keys, "{line}").unwrap();
    }

    /// Waits until this is shown, behind what was waited for before.
    pub(crate) fn shows(&mut self, what: &str) {
        loop {
            if let Some(at) = self.shown.find(what) {
                self.shown.drain(..at + what.len());
                return;
            }
            let mut piece = [0; 4096];
            let length = self.screen.read(&mut piece).unwrap();
            assert!(length > 0, "{what:?} is never shown; the last was {:?}", self.shown);
            self.shown += &String::from_utf8_lossy(&piece[..length]);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.script.kill());
        drop(self.script.wait());
    }
}
