//! The Result that a finding should have.

use std::collections::BTreeMap;

use asya_analysis::message::Explanation;
use asya_analysis::{Finding, GroupKind, Lifecycle as Stands, ObjectRef, citable};
use asya_llm::mask::Masker;
use asya_resources::k8sgpt::{
    API_VERSION, BACKSTAGE_LABEL, Evidence, FINDING_ANNOTATION, Failure, KIND, Lifecycle, RESULT_KIND,
    ResultSpec, ResultStatus, content_hash,
    result::{AutoRemediationStatus, EvidenceObject, Sensitive},
    result_labels, result_name,
};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::Settings;

/// Groups of Kubernetes itself, in which no kind of the same name is looked at.
const BUILT_IN: [&str; 12] = [
    "",
    "admissionregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Name of the Result about an object.
pub(super) fn name_of(k8sgpt: &str, object: &ObjectRef) -> String {
    let GroupKind { group, kind } = &object.kind;
    let kind = if BUILT_IN.contains(&group.as_ref()) { kind.to_string() } else { object.kind.to_string() };
    result_name(k8sgpt, &kind, object.namespace.as_deref(), &object.name)
}

/// The Result that a finding should have.
pub(super) struct Wanted {
    name: String,
    labels: BTreeMap<String, String>,
    key: String,
    owner: Option<Value>,
    /// What is broken.
    pub(super) spec: ResultSpec,
    /// What is known besides.
    pub(super) status: ResultStatus,
}

impl Wanted {
    /// The Result of the finding under this key, which is not explained.
    pub(super) fn of(
        settings: &Settings,
        namespace: &str,
        key: &str,
        finding: &Finding,
        masker: &Masker,
    ) -> Self {
        let object = &finding.object;
        let mut labels = result_labels(&settings.k8sgpt, namespace, settings.backend);
        if let Some(component) = finding.backstage.clone().filter(|_| settings.backstage) {
            labels.insert(BACKSTAGE_LABEL.to_owned(), component);
        }
        let owner = settings.uid.as_ref().map(|uid| {
            json!({ "apiVersion": API_VERSION, "kind": KIND, "name": settings.k8sgpt, "uid": uid, "controller": true,
                "blockOwnerDeletion": false })
        });
        let mut spec = ResultSpec {
            kind: object.kind.kind.to_string(),
            name: object.path(),
            parent_object: finding.parent.as_ref().map(parent).unwrap_or_default(),
            ..ResultSpec::default()
        };
        (spec.error, spec.evidence) = failures(finding, masker);
        let status = ResultStatus {
            lifecycle: match finding.lifecycle {
                Stands::Pending => None,
                Stands::Created => Some(Lifecycle::Created),
                Stands::Updated => Some(Lifecycle::Updated),
                Stands::Historical => Some(Lifecycle::Historical),
                Stands::Resolved => Some(Lifecycle::Resolved),
            },
            severity: finding.severity(),
            first_seen: Some(finding.first_seen.to_string()),
            last_seen: Some(finding.last_seen.to_string()),
            fingerprint: Some(finding.fingerprint.clone()),
            content_hash: Some(content_hash(&spec)),
            ..ResultStatus::default()
        };
        Self { name: name_of(&settings.k8sgpt, object), labels, key: key.to_owned(), owner, spec, status }
    }

    /// The same, explained.
    pub(super) fn explained(&mut self, explanation: &Explanation) {
        self.spec.details.clone_from(&explanation.text);
        self.spec.backend.clone_from(&explanation.provider);
        self.status.unknown_citations.clone_from(&explanation.invented);
    }

    /// The same, explained as it is already, if that is what was explained.
    pub(super) fn explained_as(&mut self, current: &DynamicObject) {
        let status = ResultStatus::read(&current.data);
        if status.fingerprint != self.status.fingerprint {
            return;
        }
        let ResultSpec { details, backend, .. } = spec(current).unwrap_or_default();
        (self.spec.details, self.spec.backend) = (details, backend);
        self.status.unknown_citations = status.unknown_citations;
    }

    /// Whether a Result says this already, leaving its status aside.
    pub(super) fn is(&self, current: &DynamicObject) -> bool {
        let metadata = &current.metadata;
        let labels = metadata.labels.as_ref();
        let is_labelled = self
            .labels
            .iter()
            .all(|(label, value)| labels.and_then(|labels| labels.get(label)) == Some(value));
        let uid = |owner: &Value| owner["uid"].as_str().map(str::to_owned);
        let owners = metadata.owner_references.iter().flatten();
        let is_owned = self
            .owner
            .as_ref()
            .and_then(uid)
            .is_none_or(|uid| owners.into_iter().any(|owner| owner.uid == uid));
        is_labelled
            && is_owned
            && key_of(current) == Some(&self.key)
            && spec(current).as_ref() == Some(&self.spec)
    }

    /// Whether a Result has this status already.
    pub(super) fn has_status(&self, current: &DynamicObject) -> bool {
        // Who else is told is another's to say.
        let current = ResultStatus { webhook: None, ..ResultStatus::read(&current.data) };
        current == self.status
    }

    /// What is applied, without the status, over what is there.
    pub(super) fn object(&self, current: Option<&DynamicObject>) -> Value {
        let mut spec = json!(self.spec);
        if let Some(spec) = spec.as_object_mut() {
            // Another's to say.
            spec.remove("autoRemediationStatus");
        }
        let mut metadata = self.metadata(current);
        metadata["labels"] = json!(self.labels);
        metadata["annotations"] = json!({ FINDING_ANNOTATION: self.key });
        if let Some(owner) = &self.owner {
            metadata["ownerReferences"] = json!([owner]);
        }
        json!({ "apiVersion": API_VERSION, "kind": RESULT_KIND, "metadata": metadata, "spec": spec })
    }

    /// The status that is applied over what is there.
    pub(super) fn status_of(&self, current: &DynamicObject) -> Value {
        let metadata = self.metadata(Some(current));
        json!({ "apiVersion": API_VERSION, "kind": RESULT_KIND, "metadata": metadata, "status": self.status })
    }

    /// The name, and which state of which object is to be changed: a request that comes late changes nothing.
    fn metadata(&self, current: Option<&DynamicObject>) -> Value {
        let mut metadata = json!({ "name": self.name });
        if let Some(current) = current {
            metadata["uid"] = json!(current.metadata.uid);
            metadata["resourceVersion"] = json!(current.metadata.resource_version);
        }
        metadata
    }
}

/// The finding that a Result shows.
pub(super) fn key_of(current: &DynamicObject) -> Option<&String> {
    current.metadata.annotations.as_ref()?.get(FINDING_ANNOTATION)
}

/// What a Result says is broken.
fn spec(current: &DynamicObject) -> Option<ResultSpec> {
    let spec: ResultSpec = serde_json::from_value(current.data.get("spec")?.clone()).ok()?;
    Some(ResultSpec { auto_remediation_status: AutoRemediationStatus::default(), ..spec })
}

fn parent(object: &ObjectRef) -> String {
    format!("{}/{}", object.kind.kind, object.name)
}

/// What is wrong, and where one can see it, under the names that an explanation cites. The sentence of a failure has a
/// name too, and no path.
fn failures(finding: &Finding, masker: &Masker) -> (Vec<Failure>, Vec<Evidence>) {
    let mut masking = masker.masking();
    let cited = citable(&finding.failures);
    let failures = finding.failures.iter().map(|failure| {
        let of_it = cited.iter().filter(|cited| std::ptr::eq(cited.failure, failure));
        let masked = |name: &String| Sensitive { unmasked: String::new(), masked: masking.name(name) };
        Failure {
            text: failure.text.clone(),
            sensitive: failure.sensitive.iter().map(masked).collect(),
            code: Some(failure.code.clone()),
            severity: Some(failure.severity),
            analyzer: failure.analyzer.clone(),
            field: failure.field.clone(),
            evidence: of_it.map(|cited| cited.id.clone()).collect(),
        }
    });
    let failures = failures.collect();
    let evidence = cited.into_iter().map(|cited| match cited.evidence {
        None => Evidence {
            id: cited.id,
            object: seen_in(&finding.object),
            path: String::new(),
            value: Some(cited.failure.text.clone()),
        },
        Some(seen) => Evidence {
            id: cited.id,
            object: seen_in(&seen.object),
            path: seen.path.clone(),
            value: seen.value.clone(),
        },
    });
    (failures, evidence.collect())
}

fn seen_in(object: &ObjectRef) -> EvidenceObject {
    EvidenceObject {
        group: object.kind.group.to_string(),
        kind: object.kind.kind.to_string(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    }
}
