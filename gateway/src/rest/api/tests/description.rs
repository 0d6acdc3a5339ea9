//! The description.

use std::collections::BTreeSet;

use super::*;
use crate::rest::{api::openapi, contract::CALLBACKS};

#[tokio::test]
async fn every_reference_of_the_description_leads_somewhere_and_every_operation_has_a_name() {
    let world = world().await;
    let spec = get(&app(&world, &[]), "/openapi.json").await.json();
    let text = spec.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap())
    {
        assert!(spec["components"]["schemas"].get(reference).is_some(), "{reference}");
    }
    let paths = spec["paths"].as_object().unwrap();
    let operations: Vec<_> = paths.values().flat_map(|path| path.as_object().unwrap().values()).collect();
    let names: BTreeSet<_> = operations.iter().map(|one| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations.len());
    for operation in operations {
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{operation}");
        let asked = operation["security"] != json!([{}]);
        assert!(operation["responses"].get("403").is_some() || !asked, "{operation}");
    }
    // Those of the contract too, and those that are known as sidecars' are those that are counted as such.
    let tagged = |tag: &str| {
        let of = |path: &Value| path.as_object().unwrap().values().any(|one| one["tags"] == json!([tag]));
        paths.iter().filter(|(_, path)| of(path)).map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>()
    };
    assert_eq!(tagged("contract"), ["/envelopes/{id}", "/envelopes/{id}/stream", "/tools/call"].into());
    assert_eq!(tagged("sidecars"), CALLBACKS.into());
    let versioned = paths.keys().filter(|path| path.starts_with("/api/v1/")).count();
    assert!(versioned >= 17 && paths.contains_key("/health"), "{:?}", paths.keys());
}

#[tokio::test]
async fn the_page_holds_the_description_and_loads_nothing() {
    let request = Request::get("/").body(Body::empty()).unwrap();
    let page = ask(&openapi::docs(), request).await;
    assert!(page.kind.starts_with("text/html"));
    assert!(!page.text.contains("src=") && !page.text.contains("{{description}}"));
    let json = page.text.split("id=\"description\">").nth(1).unwrap().split("</script>").next().unwrap();
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), serde_json::to_value(openapi::spec()).unwrap());
}
