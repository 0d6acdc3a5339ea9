//! The description.

use std::collections::BTreeSet;

use super::*;
use crate::rest::api::openapi;

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
        assert!(operation["responses"].get("403").is_some());
    }
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
