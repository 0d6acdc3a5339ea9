//! Pure: who owns a queue when several actors resolve to it.

use std::collections::{BTreeMap, BTreeSet};

use asya_envelope::Queue;

use crate::settings::Template;

/// What decides about a queue, of one actor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Seconds since 1970 at which the actor was created: the older owns.
    pub created: i64,
    /// Its uid; decides between two of the same second, and stays the same for ever.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The transport that it names. Equal names of queues on two transports are two queues.
    pub transport: String,
}

/// For each actor, by uid, that resolves to a queue of another: the owner's claim. An actor's dead-letter queue belongs
/// to it as its queue does, so `ocr` and `ocr-dlq` conflict. Actors that are being deleted keep their claim until they
/// are gone.
pub fn conflicts<'a>(claims: &'a [Claim], template: Template) -> BTreeMap<&'a str, &'a Claim> {
    let mut ordered: Vec<&Claim> = claims.iter().collect();
    ordered.sort();
    let mut owners: BTreeMap<(&str, Queue), &Claim> = BTreeMap::new();
    let mut losers = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for claim in ordered {
        if !seen.insert(claim.uid.as_str()) {
            continue;
        }
        let queue = template.queue(&claim.namespace, &claim.name);
        let wanted = [queue.dead_letter(), queue].map(|queue| (claim.transport.as_str(), queue));
        match wanted.iter().find_map(|key| owners.get(key)) {
            Some(owner) => {
                losers.insert(claim.uid.as_str(), *owner);
            }
            None => owners.extend(wanted.map(|key| (key, claim))),
        }
    }
    losers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(created: i64, uid: &str, namespace: &str, name: &str) -> Claim {
        Claim {
            created,
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            transport: "rabbitmq".to_owned(),
        }
    }

    fn losers(claims: &[Claim], template: Template) -> Vec<(String, String)> {
        conflicts(claims, template)
            .into_iter()
            .map(|(uid, owner)| (uid.to_owned(), owner.uid.clone()))
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(loser, owner)| ((*loser).to_owned(), (*owner).to_owned())).collect()
    }

    #[test]
    fn the_older_actor_owns_a_queue_that_two_namespaces_resolve_to() {
        let claims =
            [claim(20, "b", "dev", "ocr"), claim(10, "a", "prod", "ocr"), claim(5, "c", "dev", "llm")];
        assert_eq!(losers(&claims, Template::Bare), pairs(&[("b", "a")]));
        assert_eq!(losers(&claims, Template::Namespaced), pairs(&[]));
    }

    #[test]
    fn names_with_hyphens_can_meet_in_spite_of_their_namespaces() {
        let claims = [claim(1, "a", "team", "a-ocr"), claim(2, "b", "team-a", "ocr")];
        assert_eq!(losers(&claims, Template::Namespaced), pairs(&[("b", "a")]));
    }

    #[test]
    fn the_uid_decides_within_one_second_whatever_the_order() {
        let (one, other) = (claim(1, "a", "x", "ocr"), claim(1, "b", "y", "ocr"));
        for claims in [[one.clone(), other.clone()], [other, one]] {
            assert_eq!(losers(&claims, Template::Bare), pairs(&[("b", "a")]));
        }
    }

    #[test]
    fn another_transport_is_another_queue() {
        let mut claims = [claim(1, "a", "x", "ocr"), claim(2, "b", "y", "ocr")];
        claims[1].transport = "sqs".to_owned();
        assert_eq!(losers(&claims, Template::Bare), pairs(&[]));
    }

    #[test]
    fn an_actor_called_as_anothers_dead_letter_queue_conflicts_with_it() {
        let claims =
            [claim(1, "a", "x", "ocr"), claim(2, "b", "x", "ocr-dlq"), claim(3, "c", "x", "ocr-dlq-dlq")];
        // The third does not meet the first, and the second owns nothing.
        assert_eq!(losers(&claims, Template::Namespaced), pairs(&[("b", "a")]));
    }

    #[test]
    fn a_loser_owns_nothing_so_the_third_meets_the_first() {
        let claims = [claim(1, "a", "x", "ocr"), claim(2, "b", "y", "ocr"), claim(3, "c", "z", "ocr")];
        assert_eq!(losers(&claims, Template::Bare), pairs(&[("b", "a"), ("c", "a")]));
    }
}
