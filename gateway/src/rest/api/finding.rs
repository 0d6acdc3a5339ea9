//! Findings in JSON.

use asya_analysis::{self as analysis, Lifecycle, ObjectRef};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::service::findings::{Findings, Known};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FindingSeverity)]
pub(crate) enum Severity {
    /// Worth knowing, nothing is broken.
    Info,
    /// Works now, and will not or not safely.
    Warning,
    /// Does not work.
    Error,
    /// Takes others with it.
    Critical,
}

impl From<Severity> for analysis::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
            Severity::Critical => Self::Critical,
        }
    }
}

impl From<analysis::Severity> for Severity {
    fn from(severity: analysis::Severity) -> Self {
        match severity {
            analysis::Severity::Info => Self::Info,
            analysis::Severity::Warning => Self::Warning,
            analysis::Severity::Error => Self::Error,
            analysis::Severity::Critical => Self::Critical,
        }
    }
}

/// Where a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FindingState)]
pub(crate) enum State {
    /// New.
    Created,
    /// What is wrong is not what it was.
    Updated,
    /// As it was when it was looked at last.
    Historical,
    /// Healed.
    Resolved,
}

/// An object of a cluster.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ClusterObject {
    /// Its API group; missing for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    /// Its kind.
    #[schema(example = "Pod")]
    kind: String,
    /// Its namespace; missing for what belongs to the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Its name.
    #[schema(example = "web-7d9f8b6c5-x2x4k")]
    name: String,
}

impl From<ObjectRef> for ClusterObject {
    fn from(object: ObjectRef) -> Self {
        let ObjectRef { kind, namespace, name } = object;
        Self { group: kind.group.into_owned(), kind: kind.kind.into_owned(), namespace, name }
    }
}

/// Where one can see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FindingEvidence)]
struct Evidence {
    /// The object.
    object: ClusterObject,
    /// The field, as kubectl writes paths.
    #[schema(example = ".status.containerStatuses[0].state.waiting.reason")]
    path: String,
    /// What it says there; what looks like a secret is `***`.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FindingFailure)]
struct Failure {
    /// What, as one word that never changes.
    #[schema(example = "ImagePullFailed")]
    code: String,
    /// What, as a sentence.
    text: String,
    /// How bad it is.
    severity: Severity,
    /// Where one can see it.
    evidence: Vec<Evidence>,
    /// The field whose documentation explains it, as `kubectl explain` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The analyzer that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    analyzer: Option<String>,
}

impl From<analysis::Failure> for Failure {
    fn from(failure: analysis::Failure) -> Self {
        let analysis::Failure { code, text, severity, evidence, sensitive: _, field, analyzer } = failure;
        let evidence = evidence.into_iter().map(|analysis::Evidence { object, path, value }| Evidence {
            object: object.into(),
            path,
            value,
        });
        Self { code, text, severity: severity.into(), evidence: evidence.collect(), field, analyzer }
    }
}

/// What a model says of a finding.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FindingExplanation)]
struct Explanation {
    /// Its words.
    text: String,
    /// Who said it: the provider.
    provider: String,
    /// The model.
    model: String,
    /// In which language.
    language: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What `[e1]` and the like stand for in the text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<Cited>,
    /// Ids in the text that no evidence has: the model made them up, and the text is to be read with care.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invented: Vec<String>,
    /// The text ends before its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

/// Evidence that an explanation cites.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CitedEvidence)]
struct Cited {
    /// As the text names it.
    #[schema(example = "e1")]
    id: String,
    /// Where it is seen.
    source: String,
}

impl From<analysis::message::Explanation> for Explanation {
    fn from(explanation: analysis::message::Explanation) -> Self {
        let analysis::message::Explanation { text, provider, model, language, at, evidence, invented, cut } =
            explanation;
        let cited = |analysis::message::Cited { id, source }| Cited { id, source };
        let evidence = evidence.into_iter().map(cited).collect();
        Self { text, provider, model, language, at, evidence, invented, cut }
    }
}

/// What is wrong with one object of a cluster.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Finding)]
pub(crate) struct FindingOut {
    /// Its id.
    id: String,
    /// The cluster, as its watcher is called.
    cluster: String,
    /// The object.
    object: ClusterObject,
    /// The owner at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ClusterObject>,
    /// The worst of what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    /// Where it stands.
    state: State,
    /// When it was seen first since it was last healed.
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// When it was seen last.
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// What makes it the same finding.
    fingerprint: String,
    /// What is wrong; of a resolved one, what was.
    failures: Vec<Failure>,
    /// What a model says of it, once one has been asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

impl From<Known> for FindingOut {
    fn from(known: Known) -> Self {
        let Known { key, finding, explanation } = known;
        let state = match finding.lifecycle {
            Lifecycle::Pending | Lifecycle::Created => State::Created,
            Lifecycle::Updated => State::Updated,
            Lifecycle::Historical => State::Historical,
            Lifecycle::Resolved => State::Resolved,
        };
        Self {
            id: id(&key),
            severity: finding.severity().map(Severity::from),
            cluster: finding.cluster,
            object: finding.object.into(),
            parent: finding.parent.map(ClusterObject::from),
            state,
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            fingerprint: finding.fingerprint,
            failures: finding.failures.into_iter().map(Failure::from).collect(),
            explanation: explanation.map(Explanation::from),
        }
    }
}

/// A page of findings, by cluster, kind, namespace and name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FindingPage {
    /// The findings. With a filter that fits few there may be fewer than `limit`, and none, with more to come.
    findings: Vec<FindingOut>,
    /// What `after` of the next page is; `null` on the last one.
    next: Option<String>,
}

impl From<Findings> for FindingPage {
    fn from(Findings { findings, next }: Findings) -> Self {
        let findings = findings.into_iter().map(FindingOut::from).collect();
        Self { findings, next: next.as_deref().map(id) }
    }
}

impl FindingPage {
    /// As many of the findings as fit into so many bytes of JSON, at least one; the rest is the next page.
    pub(crate) fn within(mut self, bytes: usize) -> Self {
        let mut left = bytes;
        let mut fits = |finding: &FindingOut| {
            let size = serde_json::to_vec(finding).map_or(usize::MAX, |text| text.len());
            left.checked_sub(size).map(|rest| left = rest).is_some()
        };
        let fitting = self.findings.iter().take_while(|finding| fits(finding)).count().max(1);
        if fitting < self.findings.len() {
            self.findings.truncate(fitting);
            self.next = self.findings.last().map(|last| last.id.clone());
        }
        self
    }
}

/// The id of what is known under a key: keys have slashes.
fn id(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// An id, or where a page begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Id(pub(crate) String);

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let key = URL_SAFE_NO_PAD.decode(text).ok().and_then(|text| String::from_utf8(text).ok());
        // Neither database takes such a character.
        key.filter(|key| !key.contains('\0')).map(Self).ok_or("this is the id of no finding")
    }
}
