//! Writes what is made from the types: `crd` (YAML for the API server), `schema` (JSON for editors) or `reference`
//! (Markdown). `make generate` calls it.

use asya_resources::schema::{crd, editor, reference};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = match std::env::args().nth(1).as_deref() {
        None | Some("crd") => serde_saphyr::to_string(&crd::definition())?,
        Some("schema") => format!("{}\n", serde_json::to_string_pretty(&editor::schema())?),
        Some("reference") => reference::page()?,
        Some(other) => return Err(format!("crd, schema or reference, not {other}").into()),
    };
    print!("{text}");
    Ok(())
}
