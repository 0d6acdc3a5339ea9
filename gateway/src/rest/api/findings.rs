//! What is broken in clusters: list and look at.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Api, Refusal,
    finding::{FindingOut, FindingPage, Id, Severity},
    input::{Name, Query, Who},
    page::Limit,
    refusal::{Any, Known},
};
use crate::service::{Error, findings};

/// Which findings: those that fulfil all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Of this cluster, as its watcher is called.
    cluster: Option<String>,
    /// Of objects in this namespace.
    namespace: Option<String>,
    /// Of objects of this kind: `Deployment`, or `Deployment.apps`; in any case.
    kind: Option<String>,
    /// At least so severe.
    #[param(inline)]
    severity: Option<Severity>,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    after: Option<Id>,
    /// Length of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

impl Wanted {
    /// As the use case takes it: which, from where on, and how many.
    pub(crate) fn parts(self) -> (findings::Wanted, Option<String>, usize) {
        let Self { cluster, namespace, kind, severity, after, limit } = self;
        let severity = severity.map(Into::into);
        (findings::Wanted { cluster, namespace, kind, severity }, after.map(|after| after.0), limit.0)
    }
}

/// What is open, by cluster, kind, namespace and name, as the actors of the cluster analysis have found it. What is in its
/// grace period is not among it, nor what is healed.
#[utoipa::path(get, path = "/findings", operation_id = "listFindings", tag = "findings", params(Wanted),
    responses((status = 200, description = "A page", body = FindingPage), Any))]
pub(super) async fn list(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<FindingPage>, Refusal> {
    let (wanted, after, limit) = wanted.parts();
    Ok(Json(api.service.findings(&who, &wanted, after.as_deref(), limit).await?.into()))
}

/// One finding; for a day also one that is healed.
#[utoipa::path(get, path = "/findings/{id}", operation_id = "getFinding", tag = "findings",
    params(("id" = String, Path, description = "The finding")),
    responses((status = 200, description = "The finding", body = FindingOut), Known))]
pub(super) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<FindingOut>, Refusal> {
    let unknown = || Error::NotFound { what: "finding", name: id.clone() };
    let Id(key) = Id::try_from(id.clone()).map_err(|_| unknown())?;
    let known = api.service.finding(&who, &key).await.map_err(|error| match error {
        Error::NotFound { .. } => unknown(),
        error => error,
    })?;
    Ok(Json(known.into()))
}
