//! Prints the description of the routes, for `docs/reference/openapi.json`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", serde_json::to_string_pretty(&asya_gateway::rest::api::openapi::spec())?);
    Ok(())
}
