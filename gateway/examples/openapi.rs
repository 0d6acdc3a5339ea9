//! Prints the description of `/api/v1`, for `docs/reference/openapi.json`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", serde_json::to_string_pretty(&asya_gateway::rest::api::openapi::spec())?);
    Ok(())
}
