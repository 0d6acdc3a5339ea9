//! What is being mended, in the database: one record per object, so that no two changes of one object are under way.
//!
//! ```text
//! Wanted ── the model is asked, the change tried ──> Proposed ── approved ──> Applying ── applied ──> Applied ──> Ended
//!    └── no fix ──> Ended         └── expired, healed, changed ──> Ended      (written before)         └─> TakingBack ─┘
//! ```

use asya_analysis::{Finding, ObjectRef};
use asya_resources::k8sgpt::Phase;
use asya_store::{Expect, Store, StoreError, Write};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::actor::ActError;

/// The records, by cluster, kind, namespace and name of the object that is mended.
pub const REMEDIES: &str = "analysis_remedies";
/// When they are looked at next.
pub(super) const DUE: &str = "analysis_remedies_due";
/// When Mutation objects are deleted that are over.
pub(super) const FORGET: &str = "analysis_mutations_due";
/// When something was changed, of the last hour; by cluster.
pub(super) const CHANGES: &str = "analysis_remedies_changes";

/// An object that is being mended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remedy {
    /// What is wrong.
    pub(super) finding: Finding,
    /// What a model said of it.
    pub(super) explanation: String,
    /// The object that is changed.
    pub(super) target: ObjectRef,
    /// How often a proposal was made anew because the object had changed.
    #[serde(default)]
    pub(super) rounds: u32,
    /// Somebody works on it until then, unless that process has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) busy: Option<Timestamp>,
    /// How far it is.
    pub(super) stage: Stage,
}

/// How far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Stage {
    /// A model is to be asked.
    Wanted,
    /// It waits for approval.
    #[serde(rename_all = "camelCase")]
    Proposed {
        plan: Plan,
        /// Until then.
        until: Timestamp,
        /// Whether the policy was in force when it was last looked at and not approved yet.
        guarded: bool,
        /// What its Mutation says.
        said: String,
    },
    /// It is approved; whether it is applied nobody knows.
    Applying {
        plan: Plan,
        by: String,
        /// The version of the object that it is applied to: while it has that, nothing is applied.
        version: String,
        /// Until then it would wait for approval, if this did not come to it.
        until: Timestamp,
    },
    /// It is applied, and the findings say whether it helped.
    #[serde(rename_all = "camelCase")]
    Applied {
        plan: Plan,
        by: String,
        /// When.
        at: Timestamp,
        /// How long it has to heal.
        until: Timestamp,
        /// Since when nothing is wrong.
        well_since: Option<Timestamp>,
    },
    /// It did not help; whether it is taken back nobody knows.
    TakingBack { plan: Plan, by: String, at: Timestamp },
    /// It is over.
    Ended { phase: Phase, until: Timestamp },
}

/// A change that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    /// The Mutation that shows it.
    pub(super) mutation: String,
    /// Hash of that Mutation's spec: another one is not what was proposed.
    pub(super) spec: String,
    /// The object's uid.
    pub(super) uid: String,
    /// Hash of the object as it was.
    pub(super) before: String,
    /// Hash of the object as it is to be.
    pub(super) after: String,
    /// What is applied.
    pub(super) patch: Value,
    /// What is applied to take it back.
    pub(super) undo: Value,
}

/// Hash of a value, the same for the same value from the API server.
pub(super) fn hash(value: &Value) -> String {
    Sha256::digest(value.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record while it is worked on.
pub(super) struct Held<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) key: &'a str,
    pub(super) remedy: Remedy,
    version: u64,
}

impl<'a> Held<'a> {
    /// The record of a key.
    pub(super) async fn get(store: &'a dyn Store, key: &'a str) -> Result<Option<Self>, ActError> {
        let Some(record) = store.get(REMEDIES, key).await? else { return Ok(None) };
        let remedy = serde_json::from_slice(&record.value)
            .map_err(|error| ActError::Unfit(format!("record {REMEDIES}/{key} cannot be read: {error}")))?;
        Ok(Some(Self { store, key, remedy, version: record.version }))
    }

    /// Writes it, with what else has to be written, unless somebody else has. False: somebody has.
    pub(super) async fn save(&mut self, more: Vec<Write>) -> Result<bool, ActError> {
        let mut writes = vec![put(self.key, &self.remedy, Expect::Version(self.version))?];
        writes.extend(more);
        match self.store.commit(writes).await {
            Ok(()) => {
                self.version += 1;
                Ok(true)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The write that makes a new record of it.
    pub(super) fn replaced(&self, remedy: &Remedy) -> Result<Write, ActError> {
        put(self.key, remedy, Expect::Version(self.version))
    }

    /// The write that forgets it.
    pub(super) fn forgotten(&self) -> Write {
        let (table, key, expect) = (REMEDIES, self.key.to_owned(), Expect::Version(self.version));
        Write { table, key, value: None, expect }
    }
}

/// The write that keeps a record.
pub(super) fn put(key: &str, remedy: &Remedy, expect: Expect) -> Result<Write, ActError> {
    let value = serde_json::to_vec(remedy).map_err(|error| ActError::Unfit(error.to_string()))?;
    Ok(Write { table: REMEDIES, key: key.to_owned(), value: Some(Bytes::from(value)), expect })
}

impl Remedy {
    /// A finding that nobody has asked about yet.
    pub(super) fn wanted(finding: Finding, explanation: String, target: ObjectRef) -> Self {
        Self { finding, explanation, target, rounds: 0, busy: None, stage: Stage::Wanted }
    }

    /// Whether another finding of its object may take its place: it is over, and that is another one or was mended before.
    pub(super) fn makes_way_for(&self, finding: &Finding) -> bool {
        match self.stage {
            Stage::Ended { phase, .. } => {
                phase == Phase::Successful || self.finding.fingerprint != finding.fingerprint
            }
            _ => false,
        }
    }
}
