//! Whether somebody may do something, as the API server says.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

/// How long the API server may take for a review.
const ANSWER: Duration = Duration::from_secs(10);

/// What somebody wants to do with something of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The verb, as in roles: `get`, `list`, `patch`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, as it stands in paths and roles: `pods`.
    pub resource: String,
    /// The part of it that is meant: `log`; empty for the whole.
    pub subresource: String,
    /// The namespace; none: everywhere, or what belongs to no namespace.
    pub namespace: Option<String>,
    /// The one object that is meant; none: any.
    pub name: Option<String>,
}

impl Right {
    /// The resource as messages of the API server name it: `pods/log`, `deployments.apps`.
    #[must_use]
    pub fn full_name(&self) -> String {
        let Self { group, resource, subresource, .. } = self;
        let dot = if group.is_empty() { "" } else { "." };
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("{resource}{dot}{group}{slash}{subresource}")
    }

    fn attributes(&self) -> ResourceAttributes {
        let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        ResourceAttributes {
            verb: said(&self.verb),
            group: said(&self.group),
            resource: said(&self.resource),
            subresource: said(&self.subresource),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            ..ResourceAttributes::default()
        }
    }
}

impl fmt::Display for Right {
    /// In words: `get pods/log in namespace shop`, `list nodes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.full_name())?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in namespace {namespace}"))
    }
}

/// Somebody, as the cluster knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user's name.
    pub user: String,
    /// The groups.
    pub groups: Vec<String>,
}

/// What a review said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, in the API server's words; often empty.
    pub reason: String,
}

/// A review did not come about, so nothing is allowed; why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreviewed(String);

impl Person {
    /// Asks whether this person may (SubjectAccessReview). It takes the right to `create subjectaccessreviews`.
    ///
    /// # Errors
    /// [`Unreviewed`]: the API server gives no review, or not within ten seconds.
    pub async fn may(&self, client: &Client, right: &Right) -> Result<Said, Unreviewed> {
        let spec = SubjectAccessReviewSpec {
            user: Some(self.user.clone()),
            groups: Some(self.groups.clone()),
            resource_attributes: Some(right.attributes()),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api = Api::<SubjectAccessReview>::all(client.clone());
        said(async { Ok(api.create(&PostParams::default(), &review).await?.status) }).await
    }
}

/// Asks whether whoever this client is may (SelfSubjectAccessReview).
///
/// # Errors
/// As [`Person::may`].
pub async fn own(client: &Client, right: &Right) -> Result<Said, Unreviewed> {
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(right.attributes()),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api = Api::<SelfSubjectAccessReview>::all(client.clone());
    said(async { Ok(api.create(&PostParams::default(), &review).await?.status) }).await
}

async fn said(
    review: impl Future<Output = kube::Result<Option<SubjectAccessReviewStatus>>>,
) -> Result<Said, Unreviewed> {
    let status = match timeout(ANSWER, review).await {
        Ok(Ok(status)) => status,
        Ok(Err(kube::Error::Api(refusal))) => return Err(Unreviewed(refusal.message.clone())),
        Ok(Err(error)) => return Err(Unreviewed(error.to_string())),
        Err(_) => return Err(Unreviewed(format!("the API server gave no review within {ANSWER:?}"))),
    };
    let Some(status) = status else {
        return Err(Unreviewed("the API server's review says nothing".to_owned()));
    };
    let SubjectAccessReviewStatus { allowed, denied, reason, evaluation_error } = status;
    let reason = reason.filter(|reason| !reason.is_empty()).or(evaluation_error).unwrap_or_default();
    Ok(Said { allowed: allowed && denied != Some(true), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_told_in_words() {
        let logs = Right {
            verb: "get".to_owned(),
            resource: "pods".to_owned(),
            subresource: "log".to_owned(),
            namespace: Some("shop".to_owned()),
            name: Some("web-0".to_owned()),
            ..Right::default()
        };
        assert_eq!(logs.to_string(), "get pods/log in namespace shop");
        let scale = Right {
            verb: "patch".to_owned(),
            group: "apps".to_owned(),
            resource: "deployments".to_owned(),
            subresource: "scale".to_owned(),
            ..Right::default()
        };
        assert_eq!(scale.to_string(), "patch deployments.apps/scale");
    }
}
