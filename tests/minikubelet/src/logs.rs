//! What containers print, and reading it (`kubectl logs`).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

/// Between two looks at a file that is followed.
const LOOK: Duration = Duration::from_millis(100);

/// One file for each container.
#[derive(Clone)]
pub(crate) struct Logs {
    folder: PathBuf,
    /// Files of containers that are not done; whoever follows another one is at its end.
    open: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// What the API server asks for.
struct Request {
    file: PathBuf,
    follow: bool,
    tail: Option<usize>,
}

impl Logs {
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder, open: Arc::default() })
    }

    /// Where a container prints; empty for its first run.
    pub(crate) fn write(&self, pod: &str, container: &str, first: bool) -> Result<File> {
        let path = self.path(pod, container);
        if first {
            File::create(&path).with_context(|| path.display().to_string())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        self.open().insert(path);
        Ok(file)
    }

    /// Nothing more will be printed.
    pub(crate) fn close(&self, pod: &str, container: &str) {
        self.open().remove(&self.path(pod, container));
    }

    fn path(&self, pod: &str, container: &str) -> PathBuf {
        self.folder.join(format!("{pod}_{container}.log"))
    }

    fn open(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request for a log.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn answer(&self, mut stream: impl AsyncBufRead + AsyncWrite + Unpin) -> Result<()> {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let request = self.parse(&line);
        while line.trim() != "" {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        let found = request.and_then(|request| Ok((File::open(&request.file)?, request)));
        let Ok((mut file, request)) = found else {
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
            return Ok(stream.shutdown().await?);
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n").await?;
        if let Some(lines) = request.tail {
            skip_to(&mut file, lines)?;
        }
        loop {
            // Asked before the file is read: what came in between is read.
            let over = !request.follow || !self.open().contains(&request.file);
            let mut chunk = Vec::new();
            file.read_to_end(&mut chunk)?;
            stream.write_all(&chunk).await?;
            stream.flush().await?;
            if over {
                return Ok(stream.shutdown().await?);
            }
            sleep(LOOK).await;
        }
    }

    /// `GET /containerLogs/NAMESPACE/POD/CONTAINER?follow=true&tailLines=10 HTTP/1.1`
    fn parse(&self, line: &str) -> Result<Request> {
        let target = line.split_whitespace().nth(1).context("a request has a target")?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let ["", "containerLogs", namespace, pod, container] = path.split('/').collect::<Vec<_>>()[..] else {
            bail!("{path} is not served");
        };
        let option =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        Ok(Request {
            file: self.path(&format!("{namespace}_{pod}"), container),
            follow: option("follow") == Some("true"),
            tail: option("tailLines").and_then(|lines| lines.parse().ok()),
        })
    }
}

/// Moves to the beginning of the last lines.
fn skip_to(file: &mut File, lines: usize) -> Result<()> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    // The last line's own end is not the beginning of one.
    let ended = text.last() == Some(&b'\n');
    let start = ends.skip(usize::from(ended)).nth(lines.saturating_sub(1)).map_or(0, |at| at + 1);
    let start = if lines == 0 { text.len() } else { start };
    file.seek(SeekFrom::Start(start as u64))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_begin_where_they_begin() {
        for (text, lines, expected) in
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 1, "c"), ("a\n", 5, "a\n"), ("a\n", 0, ""), ("", 1, "")]
        {
            let path = std::env::temp_dir().join(format!("minikubelet-tail-{}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            let mut file = File::open(&path).unwrap();
            skip_to(&mut file, lines).unwrap();
            let mut rest = String::new();
            file.read_to_string(&mut rest).unwrap();
            std::fs::remove_file(path).unwrap();
            assert_eq!(rest, expected);
        }
    }
}
