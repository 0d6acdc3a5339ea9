//! The CRD of `Agent`, its JSON schema, and the page about it.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{
    analysis::{column, wide},
    crd::for_server,
    editor::Document,
    of,
    reference::object,
    structural::add_rule,
};
use crate::{
    API_VERSION,
    agent::{AgentSpec, AgentStatus, KIND, PLURAL, catalogue::SHIPPED, rules::RULES, status::CONDITIONS},
    rules::Validation,
};

/// What an `Agent` is.
const ABOUT: &str = "Who answers in a conversation, with which model and which tools.";

/// The CRD as an object for the API server.
pub fn definition() -> Value {
    let mut schema = json!({
        "type": "object",
        "description": ABOUT,
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string", "description": format!("Always {API_VERSION}.") },
            "kind": { "type": "string", "description": format!("Always {KIND}.") },
            "metadata": { "type": "object" },
            "spec": of::<AgentSpec>("What is wanted of the agent."),
            "status": of::<AgentStatus>("What the operator says about the agent."),
        },
    });
    for_server(&mut schema);
    for rule in RULES {
        let (at, cel, message) = (rule.at, rule.cel.to_owned(), rule.message);
        add_rule(&mut schema, &Validation { at, rule: cel, field: String::new(), message });
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.asya.sh") },
        "spec": {
            "group": "asya.sh",
            "names": { "kind": KIND, "listKind": "AgentList", "plural": PLURAL, "singular": "agent" },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns(),
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            }],
        },
    })
}

/// What `kubectl get` shows; the second part with `-o wide`.
fn columns() -> Value {
    let condition = |name: &str| format!(".status.conditions[?(@.type==\"{name}\")].status");
    json!([
        column("Ready", "string", &condition("Ready")),
        column("Model", "string", ".status.model"),
        column("Risk-Tier", "string", ".spec.riskTier"),
        column("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason"),
        column("Age", "date", ".metadata.creationTimestamp"),
        wide("Policy", "string", &condition("PolicyCompliant")),
        wide("Secrets", "string", &condition("SecretsReady")),
        wide("Tools", "string", ".status.tools"),
        wide("Description", "string", ".spec.description"),
    ])
}

/// The JSON schema of an `Agent` for editors and for [`check`](crate::agent::rules::check).
pub fn schema() -> Value {
    let document = Document {
        api_version: API_VERSION,
        kind: KIND,
        description: ABOUT,
        name: "Name of the agent, which is also that of its actor.",
        labels: "Labels of the object itself. The pods have theirs in pod.",
        annotations: "Annotations of the object itself.",
        status: "What the operator says about the agent.",
        required: &["apiVersion", "kind", "metadata", "spec"],
    };
    document.schema(of::<AgentSpec>("What is wanted of the agent."))
}

const HEAD: &str = "\
# Agent

<!-- Made by `make generate` from crates/resources. Change the comments there. -->

`apiVersion: asya.sh/v1alpha1`, `kind: Agent`. `kubectl explain agent.spec` tells the same on a cluster, and
[crds/agent.schema.json](../../crds/agent.schema.json) tells it to an editor: put `# yaml-language-server: $schema=...` with its
path at the top of a manifest. What it becomes and how to use it stands in [docs/agents/resource.md](../agents/resource.md). A
default is filled in only inside an object that the manifest has.
";

const TOOLS: &str = "
## Shipped tools

| tool | actor | risk | |
| --- | --- | --- | --- |
";

const CONDITIONS_HEAD: &str = "
## Conditions

| type | true when |
| --- | --- |
";

const RULES_HEAD: &str = "
## Rules

A manifest that breaks one is refused by the API server with this sentence; `asya validate` says the same.

| at | sentence |
| --- | --- |
";

/// The page as Markdown.
///
/// # Errors
/// Never: it is written into memory.
pub fn page() -> Result<String, fmt::Error> {
    let mut page = HEAD.to_owned();
    let definition = definition();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut known = Vec::new();
    for part in ["spec", "status"] {
        object(&mut page, &mut known, part, &schema[part])?;
    }
    page.push_str(TOOLS);
    for tool in SHIPPED {
        let asks = if tool.asks { "asks for approval of what it changes" } else { "" };
        writeln!(page, "| `{}` | `{}` | {} | {asks} |", tool.name, tool.actor, tool.risk.as_str())?;
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
