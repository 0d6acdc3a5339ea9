//! What tools and settings name and what a cluster has, as one list.

use std::collections::{BTreeMap, BTreeSet};

use asya_envelope::Naming;

use super::Actor;

/// Most actors that a warning names.
const NAMED: usize = 5;

/// Where the actors are that envelopes are sent to.
#[derive(Clone, Debug, Default)]
pub(super) struct Home {
    /// How their queues are named.
    pub(super) naming: Naming,
    /// Their namespace.
    pub(super) namespace: Option<String>,
    /// Their transport.
    pub(super) transport: String,
}

impl Home {
    /// The queue of an actor of a namespace.
    fn queue(&self, namespace: Option<&str>, name: &str) -> String {
        match namespace {
            Some(namespace) if self.naming != Naming::bare() => Naming::namespaced(namespace).queue(name),
            _ => self.naming.queue(name),
        }
        .to_string()
    }
}

/// Every actor once, by name, those that envelopes are sent to before others of the same name; and what does not fit
/// together. `named` are actors with those that routes lead to from each.
pub(super) fn merged(
    named: BTreeMap<String, BTreeSet<String>>,
    cluster: Vec<Actor>,
    home: &Home,
) -> (Vec<Actor>, Vec<String>) {
    // By name and, of other namespaces, namespace.
    let mut actors: BTreeMap<(String, Option<String>), Actor> = BTreeMap::new();
    let mut elsewhere = Vec::new();
    for mut actor in cluster {
        let owns = !actor.queue.is_empty();
        if !owns {
            actor.queue = home.queue(actor.namespace.as_deref(), &actor.name);
        }
        let sent_to = home.naming.queue(&actor.name).to_string();
        let at_home = actor.namespace.is_some() && actor.namespace == home.namespace;
        if at_home && actor.queue != sent_to {
            elsewhere.push(format!("{} ({})", actor.name, actor.queue));
        }
        let foreign = if at_home || actor.queue == sent_to { None } else { actor.namespace.clone() };
        let key = (actor.name.clone(), foreign);
        // Of several that would read one queue, the one that has it; the operator tells the others of the conflict.
        if owns || !actors.contains_key(&key) {
            actors.insert(key, actor);
        }
    }
    for (name, next) in named {
        let actor = actors.entry((name.clone(), None)).or_insert_with(|| Actor {
            queue: home.queue(home.namespace.as_deref(), &name),
            namespace: home.namespace.clone(),
            transport: home.transport.clone(),
            name,
            ..Actor::default()
        });
        actor.next = next.into_iter().collect();
    }
    (actors.into_values().collect(), warnings(elsewhere, home))
}

fn warnings(elsewhere: Vec<String>, home: &Home) -> Vec<String> {
    if elsewhere.is_empty() {
        return Vec::new();
    }
    let more = elsewhere.len().saturating_sub(NAMED);
    let mut some = elsewhere.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        some = format!("{some} and {more} more");
    }
    let template = home.naming.queue("{actor}");
    vec![format!(
        "these actors read other queues than the gateway sends to, which is {template}: {some}; \
         ASYA_QUEUE_TEMPLATE must be the operator's (queues.template of both charts)"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(naming: Naming) -> Home {
        Home { naming, namespace: Some("team".to_owned()), transport: "rabbitmq".to_owned() }
    }

    fn route(names: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let next = |at: usize| names.get(at + 1).map(|&name| name.to_owned()).into_iter().collect();
        names.iter().enumerate().map(|(at, &name)| (name.to_owned(), next(at))).collect()
    }

    fn seen(namespace: &str, name: &str, queue: &str) -> Actor {
        Actor {
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
            queue: queue.to_owned(),
            transport: "rabbitmq".to_owned(),
            ready: Some(2),
            ..Actor::default()
        }
    }

    /// Name, namespace, queue, replicas and successors of each.
    fn rows(actors: &[Actor]) -> Vec<String> {
        let row = |actor: &Actor| {
            let namespace = actor.namespace.as_deref().unwrap_or("-");
            let ready = actor.ready.map_or("-".to_owned(), |ready| ready.to_string());
            format!("{} {namespace} {} {ready} {}", actor.name, actor.queue, actor.next.join(","))
        };
        actors.iter().map(row).collect()
    }

    #[test]
    fn actors_of_routes_and_of_the_cluster_are_one_list() {
        let cluster = vec![seen("team", "read", "asya-team-read"), seen("team", "direct", "")];
        let (actors, warnings) =
            merged(route(&["split", "read"]), cluster, &home(Naming::namespaced("team")));
        assert_eq!(
            rows(&actors),
            [
                "direct team asya-team-direct 2 ",
                "read team asya-team-read 2 ",
                "split team asya-team-split - read"
            ]
        );
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn actors_of_other_namespaces_stand_beside_those_that_envelopes_are_sent_to() {
        let cluster = vec![seen("a", "read", ""), seen("team", "read", "")];
        let (actors, _) = merged(route(&["read"]), cluster, &home(Naming::namespaced("team")));
        assert_eq!(rows(&actors), ["read team asya-team-read 2 ", "read a asya-a-read 2 "]);
    }

    #[test]
    fn names_of_queues_without_a_namespace_make_actors_of_all_namespaces_one() {
        // The second lost the queue's name to the first; a tool names both.
        let cluster = vec![seen("a", "read", "asya-read"), seen("team", "read", "")];
        let (actors, _) = merged(route(&["read"]), cluster, &home(Naming::bare()));
        assert_eq!(rows(&actors), ["read a asya-read 2 "]);
    }

    #[test]
    fn an_actor_that_reads_another_queue_than_is_sent_to_is_told() {
        let cluster = vec![seen("team", "read", "asya-team-read")];
        let (actors, warnings) = merged(route(&["read"]), cluster, &home(Naming::bare()));
        assert_eq!(rows(&actors), ["read team asya-team-read 2 "]);
        assert!(warnings[0].contains("asya-{actor}: read (asya-team-read)"), "{warnings:?}");
    }
}
