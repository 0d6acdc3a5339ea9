//! Which rights were missing, and the commands that give them.

use std::collections::{BTreeMap, BTreeSet};

use asya_analysis::Unverified;

use crate::collect::Unread;

/// What the roles in the commands are called.
const ROLE: &str = "asya-analyze";

/// Rights that were missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Who asked, as the API server calls them.
    user: Option<String>,
    /// By namespace (none: everywhere): what may not be done with which resources.
    missing: BTreeMap<Option<String>, BTreeMap<String, BTreeSet<&'static str>>>,
}

impl Rights {
    /// Those that `unread` shows.
    #[must_use]
    pub fn missing(unread: &[Unread]) -> Self {
        let mut rights = Self::default();
        for unread in unread.iter().filter(|unread| unread.why == Unverified::Forbidden) {
            let resources = rights.missing.entry(unread.namespace.clone()).or_default();
            resources.entry(unread.resource.clone()).or_default().insert(unread.verb);
            rights.user = rights.user.or_else(|| user(&unread.said));
        }
        rights
    }

    /// Whether none is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// One sentence for each place: `list secrets and pods in namespace prod`.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.missing
            .iter()
            .map(|(place, resources)| {
                let words: Vec<String> = by_verbs(resources)
                    .into_iter()
                    .map(|(verbs, resources)| format!("{} {}", verbs.join("/"), resources.join(", ")))
                    .collect();
                let place = place
                    .as_ref()
                    .map_or_else(|| "everywhere".to_owned(), |namespace| format!("in namespace {namespace}"));
                format!("{} {place}", words.join("; "))
            })
            .collect()
    }

    /// The commands with which an administrator gives just these rights.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        // Places that lack the same share a role.
        let mut roles: BTreeMap<Rule, Vec<Option<&str>>> = BTreeMap::new();
        for (place, resources) in &self.missing {
            for rule in by_verbs(resources) {
                roles.entry(rule).or_default().push(place.as_deref());
            }
        }
        let subject = self.user.as_deref().map_or_else(|| "--user=NAME".to_owned(), subject);
        let mut commands = Vec::new();
        for (n, ((verbs, resources), places)) in roles.into_iter().enumerate() {
            let role = if n == 0 { ROLE.to_owned() } else { format!("{ROLE}-{}", n + 1) };
            commands.push(format!(
                "kubectl create clusterrole {role} --verb={} --resource={}",
                verbs.join(","),
                resources.join(",")
            ));
            for place in places {
                let (kind, options) = match place {
                    Some(namespace) => ("rolebinding", format!(" -n {namespace}")),
                    None => ("clusterrolebinding", String::new()),
                };
                commands
                    .push(format!("kubectl create {kind} {role}{options} --clusterrole={role} {subject}"));
            }
        }
        commands
    }
}

/// Verbs, and the resources that they are for.
type Rule = (Vec<&'static str>, Vec<String>);

/// Resources with the same verbs together.
fn by_verbs(resources: &BTreeMap<String, BTreeSet<&'static str>>) -> Vec<Rule> {
    let mut grouped: BTreeMap<Vec<&'static str>, Vec<String>> = BTreeMap::new();
    for (resource, verbs) in resources {
        grouped.entry(verbs.iter().copied().collect()).or_default().push(resource.clone());
    }
    grouped.into_iter().collect()
}

/// Who the API server says may not.
fn user(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    (!user.is_empty()).then(|| user.to_owned())
}

fn subject(user: &str) -> String {
    let account = user.strip_prefix("system:serviceaccount:");
    let argument =
        account.map_or_else(|| format!("--user={user}"), |account| format!("--serviceaccount={account}"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.:@/+,".contains(c);
    if argument.chars().all(plain) { argument } else { format!("'{}'", argument.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use asya_analysis::GroupKind;

    use super::*;
    use crate::fetch::Fetch;

    fn forbidden(verb: &'static str, resource: &str, namespace: Option<&str>, user: &str) -> Unread {
        Unread {
            fetch: Fetch::List(GroupKind::new("", "X"), namespace.map(str::to_owned)),
            namespace: namespace.map(str::to_owned),
            verb,
            resource: resource.to_owned(),
            why: Unverified::Forbidden,
            said: format!(
                "{resource} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"\""
            ),
            wrong: false,
            subject: false,
        }
    }

    #[test]
    fn the_commands_give_just_what_is_missing_where_it_is_missing() {
        let unread = [
            forbidden("list", "pods", Some("prod"), "alice"),
            forbidden("get", "secrets", Some("prod"), "alice"),
            forbidden("list", "deployments.apps", Some("prod"), "alice"),
        ];
        let rights = Rights::missing(&unread);
        assert_eq!(rights.sentences(), ["get secrets; list deployments.apps, pods in namespace prod"]);
        assert_eq!(
            rights.commands(),
            [
                "kubectl create clusterrole asya-analyze --verb=get --resource=secrets",
                "kubectl create rolebinding asya-analyze -n prod --clusterrole=asya-analyze --user=alice",
                "kubectl create clusterrole asya-analyze-2 --verb=list --resource=deployments.apps,pods",
                "kubectl create rolebinding asya-analyze-2 -n prod --clusterrole=asya-analyze-2 --user=alice",
            ]
        );
    }

    #[test]
    fn whoever_lacks_it_everywhere_gets_a_cluster_role_binding() {
        let rights = Rights::missing(&[forbidden("list", "nodes", None, "system:serviceaccount:ci:robot")]);
        assert_eq!(
            rights.commands()[1],
            "kubectl create clusterrolebinding asya-analyze --clusterrole=asya-analyze --serviceaccount=ci:robot"
        );
    }

    #[test]
    fn a_strange_user_name_cannot_end_the_command() {
        let rights = Rights::missing(&[forbidden("list", "nodes", None, "x'; rm -rf $HOME")]);
        assert!(rights.commands()[1].ends_with("'--user=x'\\''; rm -rf $HOME'"), "{:?}", rights.commands());
    }

    #[test]
    fn what_failed_is_no_missing_right() {
        let mut unread = forbidden("list", "pods", None, "alice");
        unread.why = Unverified::Failed("etcd is down".to_owned());
        assert!(Rights::missing(&[unread]).is_empty());
    }
}
