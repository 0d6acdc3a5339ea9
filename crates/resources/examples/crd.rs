//! Writes what is made from the types: `crd` (YAML for the API server), `schema` (JSON for editors) or `reference`
//! (Markdown) of `AsyncActor`; `agent-crd`, `agent-schema` and `agent-reference` of `Agent`; `k8sgpt-crd`, `result-crd`, `mutation-crd`, `k8sgpt-schema` and `k8sgpt-reference` of the
//! kinds of cluster analysis. `make generate` calls it.

use asya_resources::schema::{agents, analysis, crd, editor, reference};
use serde_json::Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let json = |schema: &Value| serde_json::to_string_pretty(schema).map(|text| format!("{text}\n"));
    let [k8sgpt, result, mutation] = analysis::definitions();
    let text = match std::env::args().nth(1).as_deref() {
        None | Some("crd") => serde_saphyr::to_string(&crd::definition())?,
        Some("schema") => json(&editor::schema())?,
        Some("reference") => reference::page()?,
        Some("agent-crd") => serde_saphyr::to_string(&agents::definition())?,
        Some("agent-schema") => json(&agents::schema())?,
        Some("agent-reference") => agents::page()?,
        Some("k8sgpt-crd") => serde_saphyr::to_string(&k8sgpt)?,
        Some("result-crd") => serde_saphyr::to_string(&result)?,
        Some("mutation-crd") => serde_saphyr::to_string(&mutation)?,
        Some("k8sgpt-schema") => json(&analysis::schema())?,
        Some("k8sgpt-reference") => analysis::page()?,
        Some(other) => return Err(format!("{other} is nothing that is made here").into()),
    };
    print!("{text}");
    Ok(())
}
