//! Whether the API server lets only those approve who may.
//!
//! Two things have to hold: the policy and its binding are those that this program was built with, and the API server
//! refuses an approval in the name of nobody. The first says what the rules are, the second that they are in force.

use asya_resources::k8sgpt::mutation::{APPROVAL_POLICY, APPROVE_ANNOTATION};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, cluster::refused};
use crate::actor::ActError;

/// The name of policy and binding.
const NAME: &str = "asya-remedy-approval";
/// No user is called like this.
const NOBODY: &str = "asya.sh/nobody";

/// Why nothing may be approved; none: the policy is in force.
pub(super) async fn missing(
    client: &Client,
    mutations: &Api<DynamicObject>,
    mutation: &str,
) -> Result<Option<String>, ActError> {
    let shipped: Vec<Value> = serde_saphyr::from_multiple(APPROVAL_POLICY)
        .map_err(|error| ActError::Unfit(format!("the policy of this program: {error}")))?;
    for object in &shipped {
        let kind = object["kind"].as_str().unwrap_or_default();
        let of = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        let resource = match kind {
            "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
            _ => "validatingadmissionpolicybindings",
        };
        let api: Api<DynamicObject> =
            Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&of, resource));
        match api.get_opt(NAME).await {
            Ok(Some(known)) if known.data["spec"] == object["spec"] => {}
            Ok(Some(_)) => {
                return Ok(Some(format!("the {kind} {NAME} is not the one that this version brings")));
            }
            Ok(None) => return Ok(Some(format!("there is no {kind} {NAME}"))),
            Err(error) => {
                let why = refused(error)?.sentence;
                return Ok(Some(format!("the {kind} {NAME} cannot be read: {why}")));
            }
        }
    }
    let approval = json!({"metadata": {"annotations": {APPROVE_ANNOTATION: NOBODY}}});
    let params = PatchParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match mutations.patch(mutation, &params, &Patch::Merge(approval)).await {
        Ok(_) => Ok(Some(format!("the policy {NAME} is not in force yet"))),
        Err(error) => {
            let why = refused(error)?;
            // Whatever else refuses is not what protects approvals.
            Ok((!why.sentence.contains(NAME))
                .then(|| format!("whether {NAME} is in force is not known: {}", why.sentence)))
        }
    }
}
