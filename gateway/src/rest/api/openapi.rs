//! The description of the gateway's routes, made from the handlers, and a page to read it.

use std::sync::Arc;

use axum::{Json, Router, http::header, response::Html, routing::get};
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
    Server,
    security::{Http, HttpAuthScheme, SecurityScheme},
    tag::TagBuilder,
};

use super::{Api, described, refusal};
use crate::rest::contract;

/// The page.
const PAGE: &str = include_str!("openapi.html");
/// Where the description stands in it.
const PLACE: &str = "{{description}}";
/// What the page may load: nothing but itself.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TITLE: &str = "asya gateway";
const ABOUT: &str = "Envelopes, tools, dead letters, conversations with agents, and what happens to them. Below `/api/v1` every refusal is \
     `application/problem+json` with a `code`; elsewhere it is a line of text, and the same problem where `Accept` asks \
     for it. Lists come newest first; `next` of a page is `after` of the next one. Times are RFC 3339.";

/// The description of every route.
pub fn spec() -> OpenApi {
    frame().nest("/api/v1", described().into_openapi()).merge_from(contract::spec())
}

/// What stands around the routes.
fn frame() -> OpenApi {
    let (name, problem) = refusal::schema();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new()
        .schema(name, problem)
        .schema_from::<refusal::FieldError>()
        .security_scheme("bearer", bearer)
        .build();
    let tag = |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .components(Some(components))
        // Where authentication is off nothing is asked.
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new("bearer", [""; 0])]))
        .tags(Some([
            tag("envelopes", "What is sent, and how far it is"),
            tag("tools", "What can be called"),
            tag("dead letters", "What failed"),
            tag("findings", "What is broken in clusters"),
            tag("sessions", "Conversations with agents"),
            tag("approvals", "What agents want to change, and decisions"),
            tag("actors", "What handles envelopes"),
            tag("gateway", "The gateway itself"),
            tag("contract", "The routes of the Go system that its clients call"),
            tag("sidecars", "What sidecars report; they have tokens of their own"),
        ]))
        .build()
}

fn info() -> Info {
    InfoBuilder::new()
        .title(TITLE)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build()
}

/// The route of the description. Nobody is asked who they are: it holds nothing of this gateway.
pub(super) fn routes() -> Router<Api> {
    Router::new().route("/openapi.json", get(async || Json(spec())))
}

/// The page to read it, to be nested at `/api/docs`: whole in itself, for nothing is loaded from elsewhere.
pub fn docs() -> Router {
    // A text in the description that looks like a tag would end the script that it stands in.
    let spec = serde_json::to_string(&spec()).unwrap_or_default().replace('<', "\\u003c");
    let page: Arc<str> = PAGE.replace(PLACE, &spec).into();
    let page = async move || ([(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(page.to_string()));
    Router::new().route("/", get(page))
}
