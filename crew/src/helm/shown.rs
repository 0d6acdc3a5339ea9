//! What a person sees of a deed: our own diff of all objects, hooks among them, without secrets; and how bad it can get.

use std::collections::BTreeSet;

use asya_session::Risk;
use serde_json::Value;

use super::{arguments::Verb, deed::Deed, objects::Objects, values::without};
use crate::kube::{
    answer::start_of,
    consent::{
        powers,
        refused::{Refused, refuse},
        shown::{UNSEEN, between, sentence},
    },
};

/// Largest diff, in bytes: what is longer nobody reads before they approve it.
const LARGEST: usize = 64 * 1024;
/// Groups whose kinds are known well enough to know that what was there before can be had again.
const KNOWN: [&str; 6] = ["", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"];
/// Groups of kinds that give rights.
const GIVING: &str = "rbac.authorization.k8s.io";

/// What a person is shown of a deed, made from nothing but the deed and the objects.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) summary: String,
    pub(super) diff: String,
    pub(super) risk: Risk,
}

impl Shown {
    /// What is shown of a deed that makes `is` of `was`, without these secrets.
    ///
    /// # Errors
    /// It cannot be shown.
    pub(super) fn of(deed: &Deed, was: &Objects, is: &Objects, secrets: &[String]) -> Result<Self, Refused> {
        let mut diff = String::new();
        let mut because = BTreeSet::new();
        let mut hides = false;
        let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
        for key in keys {
            let (before, after) = (was.get(key), is.get(key));
            let none = Value::Null;
            let names = [format!("now: {key}"), format!("then: {key}")];
            let found = between(
                before.unwrap_or(&none),
                after.unwrap_or(&none),
                [names[0].as_str(), names[1].as_str()],
            )?;
            if found.text.is_empty() {
                continue;
            }
            diff.push_str(&found.text);
            hides |= found.hides;
            let had = before.map(powers::of).unwrap_or_default();
            because.extend(after.map(powers::of).unwrap_or_default().difference(&had).cloned());
            if key.group == GIVING {
                because.insert(format!("it gives or takes rights: {key}"));
            } else if key.namespace.is_none() {
                because.insert(format!("it concerns everybody: {key}"));
            } else if !KNOWN.contains(&key.group.as_str()) {
                because.insert(format!("it changes a kind that this tool does not know: {key}"));
            }
        }
        // Also where nothing around it says that it is one.
        let masked = without(&diff, secrets);
        hides |= masked != diff;
        diff = masked;
        if diff.len() > LARGEST {
            if deed.verb != Verb::Uninstall {
                return refuse(format!(
                    "its diff has more than {LARGEST} bytes, which nobody reads before they approve it: use helm itself"
                ));
            }
            let end = start_of(&diff, LARGEST).rfind('\n').map_or(0, |end| end + 1);
            let left = diff[end..].lines().count();
            diff.truncate(end);
            diff.push_str(&format!(" … and {left} lines more\n"));
        }
        let by_verb = if deed.verb == Verb::Uninstall { Risk::High } else { Risk::Medium };
        let risk = if because.is_empty() && !hides { by_verb } else { Risk::High };
        let mut summary = deed.summary();
        if hides {
            summary.push_str("; ");
            summary.push_str(UNSEEN);
        }
        for reason in because {
            summary.push_str("; ");
            summary.push_str(&reason);
        }
        let hooks = was.keys().chain(is.keys()).filter(|key| key.hook.is_some());
        for hook in hooks.map(ToString::to_string).collect::<BTreeSet<_>>() {
            summary.push_str("; ");
            summary.push_str(&hook);
        }
        Ok(Self { summary: sentence(&summary), diff, risk })
    }
}
