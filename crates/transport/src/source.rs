//! What is read again whenever it is needed: credentials that somebody may change while a process runs.

use std::{fmt, sync::Arc};

type Read<T> = dyn Fn() -> Result<T, String> + Send + Sync;

/// A secret value behind a function that reads it anew, for example from a file. Its `Debug` never shows it.
pub struct Source<T>(Arc<Read<T>>);

impl<T> Source<T> {
    /// A source that calls `read`. It is called from asynchronous code: it may read a small file, and nothing slower.
    /// Its error is a sentence for a person, without the secret.
    pub fn new(read: impl Fn() -> Result<T, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The value as it is now.
    ///
    /// # Errors
    /// Why there is none at the moment.
    pub fn read(&self) -> Result<T, String> {
        (self.0)()
    }
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(***)")
    }
}
