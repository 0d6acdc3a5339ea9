//! Connecting to a runtime's socket, and reading frames from it one at a time.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncWriteExt, net::UnixStream};

use crate::{
    Budget,
    frame::{Decoder, FrameError, Step, WriteQueue},
};

/// Pause before a full backlog is tried again: about what a runtime needs for a short message.
const BACKLOG_PAUSE: Duration = Duration::from_millis(2);

/// Connects; a full backlog is waited for, without limit. Cancel safe.
///
/// # Errors
/// That nobody listens.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(BACKLOG_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The other side closed between two frames.
    #[error("connection closed")]
    Closed,
    /// The other side closed within a frame.
    #[error("connection closed in the middle of a frame")]
    Truncated,
    /// The frame is too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection with frames on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) stream: UnixStream,
    decoder: Decoder,
    budget: Option<Budget>,
}

impl Line {
    pub(super) fn new(stream: UnixStream, cap: usize, budget: Option<Budget>) -> Self {
        Self { stream, decoder: Decoder::new(cap), budget }
    }

    /// The next frame. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<Bytes, LineError> {
        loop {
            match self.decoder.next_frame()? {
                Step::Frame(body) => return Ok(body),
                Step::Large(bytes) => {
                    let grant = match &self.budget {
                        Some(budget) => Some(budget.take(bytes).await),
                        None => None,
                    };
                    self.decoder.admit(grant);
                }
                Step::More => {
                    self.stream.readable().await?;
                    match self.decoder.fill(|room| self.stream.try_read_buf(room)) {
                        Ok(0) if self.decoder.at_boundary() => return Err(LineError::Closed),
                        Ok(0) => return Err(LineError::Truncated),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }

    /// Writes everything that waits. Not cancel safe: after a cancelled write the connection is of no use.
    pub(super) async fn write(&mut self, out: &mut WriteQueue) -> io::Result<()> {
        self.stream.write_all(&out.take()).await
    }
}
