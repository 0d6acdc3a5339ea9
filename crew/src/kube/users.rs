//! Which user of a cluster a person is.

use asya_cluster::review::Person;

/// Where the person's name stands in a template.
const SUB: &str = "{sub}";
/// Where a group's name stands in a template.
const GROUP: &str = "{group}";
/// What names begin with that are the cluster's own: administrators, nodes, its controllers.
const OWN: &str = "system:";
/// The one of those groups in which everybody is.
const EVERYBODY: &str = "system:authenticated";

/// Turns who asked into a user of the cluster, as the API server's own settings for OIDC do (`--oidc-username-prefix`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    user: String,
    group: Option<String>,
}

impl Users {
    /// By a template such as `oidc:{sub}`.
    ///
    /// # Errors
    /// A sentence: it is the same user for everybody, or one of the cluster's own.
    pub fn named(template: &str) -> Result<Self, String> {
        Ok(Self { user: checked(template, SUB)?, group: None })
    }

    /// The same, with groups by a template such as `oidc:{group}`. Without one nobody is in any.
    ///
    /// # Errors
    /// As [`Users::named`].
    pub fn in_groups(self, template: &str) -> Result<Self, String> {
        Ok(Self { group: Some(checked(template, GROUP)?), ..self })
    }

    /// The user that a person is, by the names in a verified subject. Groups of the cluster's own are left out: whoever can
    /// name a group elsewhere must not become an administrator here.
    ///
    /// # Errors
    /// A sentence: the person would be nobody, or a user of the cluster's own.
    pub fn person(&self, sub: &str, groups: &[String]) -> Result<Person, String> {
        let user = self.user.replace(SUB, sub);
        if sub.is_empty() || user.starts_with(OWN) {
            return Err(format!("{user:?} is no user of a person"));
        }
        let named = groups.iter().filter(|group| !group.is_empty());
        let groups = self.group.iter().flat_map(|template| {
            named.clone().map(|group| template.replace(GROUP, group)).filter(|group| !group.starts_with(OWN))
        });
        Ok(Person { user, groups: groups.chain([EVERYBODY.to_owned()]).collect() })
    }
}

fn checked(template: &str, place: &str) -> Result<String, String> {
    if template.matches(place).count() != 1 {
        return Err(format!("{template:?} must have {place} once"));
    }
    if template.starts_with(OWN) {
        return Err(format!("{template:?}: names that begin with {OWN} are the cluster's own"));
    }
    Ok(template.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn groups(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_person_is_who_the_template_says() {
        let users = Users::named("oidc:{sub}").unwrap();
        let ann = users.person("ann@example.org", &groups(&["sre"])).unwrap();
        assert_eq!(ann, Person { user: "oidc:ann@example.org".to_owned(), groups: groups(&[EVERYBODY]) });
        let ann = users.in_groups("oidc:{group}").unwrap().person("ann", &groups(&["sre", ""])).unwrap();
        assert_eq!(ann.groups, groups(&["oidc:sre", EVERYBODY]));
    }

    #[test]
    fn nobody_becomes_one_of_the_clusters_own() {
        let users = Users::named("{sub}").unwrap().in_groups("{group}").unwrap();
        for sub in ["", "system:admin", "system:serviceaccount:kube-system:default"] {
            assert!(users.person(sub, &[]).is_err(), "{sub}");
        }
        let ann = users.person("ann", &groups(&["system:masters", "sre"])).unwrap();
        assert_eq!(ann.groups, groups(&["sre", EVERYBODY]));
        assert!(users.person("{sub}", &groups(&["{group}"])).is_ok(), "a name is no template");
    }
}
