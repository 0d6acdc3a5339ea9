//! The CRDs of cluster analysis, the JSON schema of a `K8sGPT`, and the page about all three kinds.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{crd::for_server, editor::Document, of, reference::object, structural::add_rule};
use crate::{
    k8sgpt::{
        API_VERSION, GROUP, K8sGptSpec, K8sGptStatus, KIND, MUTATION_KIND, MutationSpec, MutationStatus,
        RESULT_KIND, ResultSpec, ResultStatus, rules::RULES, status::CONDITIONS,
    },
    rules::Validation,
};

/// What a `K8sGPT` is.
const ABOUT_K8SGPT: &str =
    "What of a cluster is analysed, which model explains what is found, and who is told.";
/// What a `Result` is.
const ABOUT_RESULT: &str =
    "One object in which something is broken. It is written, and goes when the object is healed.";
/// What a `Mutation` is.
const ABOUT_MUTATION: &str =
    "A change that a model proposes for one object. Nothing is changed before it is approved.";

/// One kind of cluster analysis.
struct Kind {
    kind: &'static str,
    about: &'static str,
    singular: &'static str,
    columns: Value,
    spec: Value,
    status: Value,
}

fn kinds() -> [Kind; 3] {
    [
        Kind {
            kind: KIND,
            about: ABOUT_K8SGPT,
            singular: "k8sgpt",
            columns: json!([
                column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
                column("Findings", "integer", ".status.findings.total"),
                column("Cluster", "string", ".status.cluster.name"),
                column("Backend", "string", ".spec.ai.backend"),
                column("Last-Run", "date", ".status.lastRun"),
                column("Age", "date", ".metadata.creationTimestamp"),
                wide("Model", "string", ".spec.ai.model"),
                wide("Explains", "boolean", ".spec.ai.enabled"),
                wide("Unexplained", "integer", ".status.findings.unexplained"),
                wide("Suppressed", "integer", ".status.findings.suppressed"),
            ]),
            spec: of::<K8sGptSpec>("What is wanted of the analysis."),
            status: of::<K8sGptStatus>("What is said about the analysis."),
        },
        Kind {
            kind: RESULT_KIND,
            about: ABOUT_RESULT,
            singular: "result",
            columns: json!([
                column("Kind", "string", ".spec.kind"),
                column("Subject", "string", ".spec.name"),
                column("Severity", "string", ".status.severity"),
                column("State", "string", ".status.lifecycle"),
                column("Backend", "string", ".spec.backend"),
                column("Age", "date", ".metadata.creationTimestamp"),
                wide("Parent", "string", ".spec.parentObject"),
                wide("Last-Seen", "date", ".status.lastSeen"),
                wide("Problem", "string", ".spec.error[0].text"),
            ]),
            spec: of::<ResultSpec>("What is broken."),
            status: of::<ResultStatus>("What is known of it besides."),
        },
        Kind {
            kind: MUTATION_KIND,
            about: ABOUT_MUTATION,
            singular: "mutation",
            columns: json!([
                column("State", "string", ".status.message"),
                column("Similarity Score", "string", ".spec.similarityScore"),
                column("Kind", "string", ".spec.resource.kind"),
                column("Name", "string", ".spec.resource.name"),
                column("Age", "date", ".metadata.creationTimestamp"),
                wide("Phase", "integer", ".status.phase"),
                wide("Namespace", "string", ".spec.resource.namespace"),
                wide("Result", "string", ".spec.result.name"),
            ]),
            spec: of::<MutationSpec>("What is proposed."),
            status: of::<MutationStatus>("How far it got."),
        },
    ]
}

pub(super) fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path })
}

pub(super) fn wide(name: &str, kind: &str, path: &str) -> Value {
    let mut column = column(name, kind, path);
    column["priority"] = json!(1);
    column
}

/// The CRDs as objects for the API server: `K8sGPT`, `Result`, `Mutation`.
pub fn definitions() -> [Value; 3] {
    kinds().map(|kind| definition(&kind))
}

fn definition(kind: &Kind) -> Value {
    let Kind { kind, about, singular, columns, spec, status } = kind;
    let mut schema = json!({
        "type": "object",
        "description": about,
        "properties": {
            "apiVersion": { "type": "string", "description": format!("Always {API_VERSION}.") },
            "kind": { "type": "string", "description": format!("Always {kind}.") },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": status,
        },
    });
    for_server(&mut schema);
    if *kind == KIND {
        for rule in RULES {
            let (at, cel, message) = (rule.at, rule.cel.to_owned(), rule.message);
            add_rule(&mut schema, &Validation { at, rule: cel, field: String::new(), message });
        }
    }
    let plural = format!("{singular}s");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            }],
        },
    })
}

/// The JSON schema of a `K8sGPT` for editors and for [`check`](crate::k8sgpt::rules::check).
pub fn schema() -> Value {
    let document = Document {
        api_version: API_VERSION,
        kind: KIND,
        description: ABOUT_K8SGPT,
        name: "Name of the analysis; its Results bear it in a label.",
        labels: "Labels of the object itself. The pods have theirs in podTemplate.",
        annotations: "Annotations of the object itself.",
        status: "What is said about the analysis.",
        required: &["apiVersion", "kind", "metadata"],
    };
    document.schema(of::<K8sGptSpec>("What is wanted of the analysis."))
}

const HEAD: &str = "\
# K8sGPT, Result, Mutation

<!-- Made by `make generate` from crates/resources. Change the comments there. -->

The kinds of cluster analysis, `apiVersion: core.k8sgpt.ai/v1alpha1`: those of [K8sGPT's
operator](https://github.com/k8sgpt-ai/k8sgpt-operator) with further fields. A manifest of the original is accepted as it
stands; what is done in another way than it says is told by the condition `ConfigurationWarning`. `kubectl explain
k8sgpt.spec` tells the same on a cluster, and [crds/k8sgpt.schema.json](../../crds/k8sgpt.schema.json) tells it to an editor:
put `# yaml-language-server: $schema=...` with its path at the top of a manifest. A default is filled in only inside an
object that the manifest has.

People write `K8sGPT` objects; `Result` and `Mutation` objects are written by the analysis. [What differs from the
original](../decisions/0029-kinds-of-k8sgpt.md).
";

const RULES_HEAD: &str = "
## Rules

A `K8sGPT` that breaks one is refused by the API server with this sentence. All are about fields that the original does not
have.

| at | sentence |
| --- | --- |
";

const CONDITIONS_HEAD: &str = "
## Conditions of a K8sGPT

| type | true when |
| --- | --- |
";

/// The page as Markdown.
///
/// # Errors
/// Never: it is written into memory.
pub fn page() -> Result<String, fmt::Error> {
    let mut page = HEAD.to_owned();
    let mut known = Vec::new();
    let definitions = definitions();
    for (kind, definition) in kinds().iter().zip(&definitions) {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            object(&mut page, &mut known, &format!("{}.{part}", kind.singular), &schema[part])?;
        }
    }
    page.push_str(CONDITIONS_HEAD);
    for (condition, meaning) in CONDITIONS {
        writeln!(page, "| `{condition}` | {meaning} |")?;
    }
    page.push_str(RULES_HEAD);
    for rule in RULES {
        writeln!(page, "| `{}` | {} |", rule.at, rule.message)?;
    }
    Ok(page)
}
