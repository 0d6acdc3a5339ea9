//! Where the ends of envelopes are recorded.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use asya_envelope::{Envelope, headers};
use asya_store::{Expect, Store, Write};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::actor::ActError;

/// Table of the envelopes that succeeded, key = id.
pub const RESULTS: &str = "results";
/// Table of the envelopes that failed, key = id.
pub const ERRORS: &str = "errors";

/// How an envelope ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It reached `happy-end`.
    Succeeded,
    /// It reached `error-end`.
    Failed,
    /// It was part of a fan-out and went into the joined result.
    Joined,
    /// It was part of a fan-out and failed; its id lives on in the joined result.
    PartFailed,
}

/// The end of one envelope, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// How it ended.
    pub status: Status,
    /// When it was recorded.
    pub at: Timestamp,
    /// Which run of the last handler made this copy; of two copies the one with the higher number is kept.
    pub attempt: u64,
    /// The whole envelope; absent for parts that were joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Box<RawValue>>,
}

/// Where records go.
#[derive(Clone)]
pub enum Recorder {
    /// Tables of the state store, written in the transaction that settles the delivery.
    Tables(Arc<dyn Store>),
    /// Files `<directory>/<table>/<id>.json`, each replaced atomically before the delivery is settled.
    Directory(PathBuf),
    /// Objects in the layout of the Go system, written before the delivery is settled.
    #[cfg(feature = "objects")]
    Objects(Arc<crate::objects::Objects>),
    /// Nowhere: the final report to the gateway is all there is.
    Nowhere,
}

/// What recording an end came to.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// To be committed with the settlement.
    pub(crate) writes: Vec<Write>,
    /// Address of a record that others can read.
    pub(crate) stored: Option<String>,
}

impl From<Vec<Write>> for Recorded {
    fn from(writes: Vec<Write>) -> Self {
        Self { writes, stored: None }
    }
}

impl Recorder {
    /// Records the end of `envelope` under `key`: the writes that do so, or, where queue and record are not one
    /// transaction, none, for it is stored when this returns. `body` is the message as it came. Nothing is to be written
    /// either when a copy from a later run of the handler is recorded already.
    ///
    /// # Errors
    /// [`ActError`] when the store or the file system fails.
    pub(crate) async fn record(
        &self,
        table: &'static str,
        key: &str,
        status: Status,
        envelope: &Envelope,
        body: &Bytes,
    ) -> Result<Recorded, ActError> {
        if matches!(self, Self::Nowhere) {
            return Ok(Recorded::default());
        }
        #[cfg(feature = "objects")]
        if let Self::Objects(objects) = self {
            let kind = match status {
                Status::Succeeded => crate::objects::Kind::Results,
                Status::Failed | Status::PartFailed => crate::objects::Kind::Errors,
                // It is in the joined result.
                Status::Joined => return Ok(Recorded::default()),
            };
            let (id, route) = (&envelope.id, &envelope.route);
            let address = objects.put(kind, id, &route.actors, route.current, body).await?;
            return Ok(Recorded { writes: Vec::new(), stored: Some(address) });
        }
        let record = Record {
            status,
            at: Timestamp::now(),
            attempt: envelope.headers.get_u64(headers::ATTEMPT).unwrap_or(0),
            envelope: (status != Status::Joined).then(|| raw(envelope)),
        };
        let value = Bytes::from(serde_json::to_vec(&record).expect("a record is valid JSON"));
        match self {
            Self::Tables(store) => {
                let known = store.get(table, key).await?;
                let later = known.as_ref().is_some_and(|known| attempt_of(&known.value) > record.attempt);
                if later {
                    return Ok(Recorded::default());
                }
                let expect = known.map_or(Expect::Absent, |known| Expect::Version(known.version));
                Ok(vec![Write { table, key: key.to_owned(), value: Some(value), expect }].into())
            }
            Self::Directory(directory) => {
                let path = directory.join(table).join(format!("{}.json", file_name(key)));
                let known = tokio::fs::read(&path).await.unwrap_or_default();
                if attempt_of(&known) <= record.attempt {
                    replace(&path, &value)
                        .await
                        .map_err(|source| ActError::File { path: path.display().to_string(), source })?;
                }
                Ok(Recorded::default())
            }
            #[cfg(feature = "objects")]
            Self::Objects(_) => Ok(Recorded::default()),
            Self::Nowhere => Ok(Recorded::default()),
        }
    }
}

fn raw(envelope: &Envelope) -> Box<RawValue> {
    let text = String::from_utf8(envelope.encode().into()).expect("an encoded envelope is UTF-8");
    RawValue::from_string(text).expect("an encoded envelope is JSON")
}

fn attempt_of(record: &[u8]) -> u64 {
    serde_json::from_slice::<Record>(record).map_or(0, |record| record.attempt)
}

/// The key as a file name: everything but letters, digits, `-`, `_` and `.` is percent-encoded; long keys end in a
/// digest, because file names are limited to 255 bytes.
fn file_name(key: &str) -> String {
    const LONGEST: usize = 200;
    let name: String = key
        .bytes()
        .enumerate()
        .map(|(i, b)| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(b).to_string(),
            b'.' if i > 0 => ".".to_owned(),
            _ => format!("%{b:02x}"),
        })
        .collect();
    if name.len() <= LONGEST {
        return name;
    }
    format!("{}~{}", &name[..LONGEST - 17], &asya_envelope::report::hex_digest(key.as_bytes())[..16])
}

/// Writes beside, syncs, and renames: a reader sees the old file or the new one.
async fn replace(path: &std::path::Path, value: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt;
    let directory = path.parent().expect("a record's file is in a table's directory");
    tokio::fs::create_dir_all(directory).await?;
    // Two copies of one id may be recorded at once, here or by another process: each writes a file of its own.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    // The time as well: sidecars in containers of their own have the same process id.
    let (now, write) = (Timestamp::now().as_nanosecond(), WRITES.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_extension(format!("{}-{now}-{write}.new", std::process::id()));
    let written = async {
        let mut file = tokio::fs::File::create(&beside).await?;
        file.write_all(value).await?;
        file.sync_all().await?;
        tokio::fs::rename(&beside, path).await
    };
    let result = written.await;
    if result.is_err() {
        drop(tokio::fs::remove_file(&beside).await);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_directory_or_exceeds_a_file_name() {
        assert_eq!(file_name("../../etc/x"), "%2e.%2f..%2fetc%2fx");
        assert_eq!(file_name(".."), "%2e.");
        assert_eq!(file_name("job-7_a.b"), "job-7_a.b");
        assert!(file_name(&"é".repeat(300)).len() <= 200);
        assert_ne!(file_name(&"é".repeat(300)), file_name(&"é".repeat(301)));
    }
}
