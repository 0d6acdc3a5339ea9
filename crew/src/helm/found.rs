//! What became of a change that nobody has told the end of, by what helm knows of the release.

use super::{
    Helm,
    arguments::Verb,
    deed::Deed,
    picture::{described, label},
    program::Room,
    release::Revision,
};
use crate::kube::consent::refused::Stop;

/// How a release is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This operation has made it so.
    Done,
    /// Nothing has happened since it was looked at.
    Untouched,
    /// This operation has begun it: the status, and what can be done next.
    Half(String),
    /// Something else has happened.
    Other,
}

impl Helm {
    /// What became of a deed under this id.
    pub(super) async fn found(&self, deed: &Deed, operation: &str, room: &Room) -> Result<Found, Stop> {
        let history = self.history(deed.on(), room).await?;
        let found = of(deed, operation, &history);
        // A revision says only at its end what made it; its label says so from the beginning.
        let Found::Half(_) = found else { return Ok(found) };
        let labelled = matches!(deed.verb, Verb::Rollback | Verb::Uninstall)
            || self.is_labelled(deed.on(), &label(operation), room).await?;
        Ok(if labelled { found } else { Found::Other })
    }
}

/// What the history says. What is [`Found::Half`] may also be somebody else's.
fn of(deed: &Deed, operation: &str, history: &[Revision]) -> Found {
    let before = deed.upon.as_ref().map_or(0, |upon| upon.revision);
    let Some(last) = history.last() else {
        return match deed.verb {
            Verb::Install => Found::Untouched,
            Verb::Uninstall => Found::Done,
            _ => Found::Other,
        };
    };
    if deed.upon.as_ref() == Some(&last.upon()) {
        return Found::Untouched;
    }
    let back = deed.to.map(|to| format!("Rollback to {to}"));
    let ours = |one: &&Revision| match deed.verb {
        Verb::Rollback => one.revision == before + 1 && Some(&one.description) == back.as_ref(),
        _ => one.description == described(operation),
    };
    if history.iter().filter(|one| one.revision > before).find(ours).is_some_and(Revision::worked) {
        return Found::Done;
    }
    let its = if deed.verb == Verb::Uninstall { before } else { before + 1 };
    if last.revision == its && !last.worked() {
        return Found::Half(format!("the release is {}: {}", last.status, next(history)));
    }
    Found::Other
}

/// What can be done with a release whose last change did not come to its end.
pub(super) fn next(history: &[Revision]) -> String {
    let good = history.iter().rev().find(|one| one.worked());
    match (good, history.last()) {
        (_, Some(last)) if last.status == "uninstalling" => "propose uninstall again".to_owned(),
        (Some(good), _) => format!("propose rollback to revision {}, or uninstall", good.revision),
        (None, _) => "propose uninstall, and install it then anew".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::{super::release::Upon, *};

    fn deed(verb: Verb, upon: Option<u64>) -> Deed {
        Deed {
            verb,
            namespace: "shop".to_owned(),
            release: "redis".to_owned(),
            chart: None,
            values: super::super::values::Values::default(),
            reset_values: false,
            to: (verb == Verb::Rollback).then_some(1),
            upon: upon.map(|revision| Upon {
                revision,
                updated: format!("t{revision}"),
                status: "deployed".to_owned(),
            }),
        }
    }

    fn history(all: &[(u64, &str, &str)]) -> Vec<Revision> {
        let one = |(revision, status, description): &(u64, &str, &str)| json!({"revision": revision, "updated": format!("t{revision}"), "status": status, "description": description});
        all.iter().map(|each| serde_json::from_value(one(each)).unwrap()).collect()
    }

    fn found(deed: &Deed, all: &[(u64, &str, &str)]) -> String {
        match of(deed, "op-1", &history(all)) {
            Found::Half(next) => next,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_the_history_says_is_what_became_of_it() {
        let own = "asya operation op-1";
        let install = deed(Verb::Install, None);
        for (all, expected) in [
            (&[][..], "Untouched"),
            (&[(1, "deployed", own)], "Done"),
            (&[(1, "superseded", own), (2, "deployed", "Upgrade complete")], "Done"),
            (&[(1, "deployed", "Install complete")], "Other"),
            (
                &[(1, "pending-install", "Initial install underway")],
                "the release is pending-install: propose uninstall, and install it then anew",
            ),
        ] {
            assert_eq!(found(&install, all), expected, "{all:?}");
        }
        let upgrade = deed(Verb::Upgrade, Some(2));
        let before = [(1, "superseded", ""), (2, "deployed", "")];
        assert_eq!(found(&upgrade, &before), "Untouched");
        assert_eq!(found(&upgrade, &[(2, "superseded", ""), (3, "deployed", own)]), "Done");
        assert_eq!(found(&upgrade, &[(2, "superseded", ""), (3, "deployed", "somebody")]), "Other");
        assert_eq!(
            found(&upgrade, &[(1, "superseded", ""), (2, "deployed", ""), (3, "failed", "timed out")]),
            "the release is failed: propose rollback to revision 2, or uninstall"
        );
        assert_eq!(found(&upgrade, &[]), "Other");
        let rollback = deed(Verb::Rollback, Some(2));
        assert_eq!(found(&rollback, &[(2, "superseded", ""), (3, "deployed", "Rollback to 1")]), "Done");
        assert_eq!(found(&rollback, &[(2, "superseded", ""), (3, "deployed", "Rollback to 2")]), "Other");
        let uninstall = deed(Verb::Uninstall, Some(2));
        assert_eq!(found(&uninstall, &[]), "Done");
        assert_eq!(found(&uninstall, &before), "Untouched");
        assert!(found(&uninstall, &[(2, "uninstalling", "")]).ends_with("propose uninstall again"));
    }
}
