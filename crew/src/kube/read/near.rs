//! What is there instead of what is not: models misspell names, and guess the random ends of them.

use asya_cluster::{
    Api,
    look::{Error, kinds, list::Wanted},
    namespaces::Namespaces,
};

/// Names that are looked at.
const MOST: usize = 1000;
/// Names that are told.
const TOLD: usize = 5;
/// How alike a name must be that does not begin like the one that is not there.
const ALIKE: f64 = 0.65;

/// What to add to the words of `error`: names that are near, as far as they may be listed; else nothing.
pub(in crate::kube) async fn near(api: &Api, namespaces: &Namespaces, error: &Error) -> String {
    let (served, namespace, name) = match error {
        Error::NoObject { served, namespace, name } => (Some((**served).clone()), namespace.as_deref(), name),
        Error::NotThere { name } => (kinds::known("namespace"), None, name),
        _ => return String::new(),
    };
    let Some(served) = served else { return String::new() };
    let wanted = Wanted { served: &served, namespace, labels: "", limit: MOST };
    let Ok(listed) = wanted.list(api, |row| Some(row.name)).await else { return String::new() };
    let mut names = listed.items;
    if matches!(error, Error::NotThere { .. }) {
        names.retain(|name| namespaces.contains(name));
    }
    let near = nearest(name, names);
    match near.as_slice() {
        [] => String::new(),
        near => format!("; there is {}", near.join(", ")),
    }
}

/// The names that are most like `name`, the nearest first.
fn nearest(name: &str, names: Vec<String>) -> Vec<String> {
    let score = |other: &str| {
        let within = other.starts_with(name) || name.starts_with(other) || other.contains(name);
        let alike =
            strsim::jaro_winkler(name, other).max(strsim::normalized_damerau_levenshtein(name, other));
        alike + f64::from(u8::from(within))
    };
    let mut scored: Vec<(f64, String)> = names.into_iter().map(|other| (score(&other), other)).collect();
    scored.retain(|(score, _)| *score >= ALIKE);
    scored.sort_by(|(one, a), (other, b)| other.total_cmp(one).then_with(|| a.cmp(b)));
    scored.into_iter().take(TOLD).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_names_come_first_and_others_not_at_all() {
        let names = ["web-7d9f8b6c5-x2x4z", "api", "wbe", "checkout", "web"].map(str::to_owned).to_vec();
        let near = nearest("web", names.clone());
        assert_eq!(near, ["web", "web-7d9f8b6c5-x2x4z", "wbe"], "as it is, as it begins, and then misspelt");
        assert_eq!(nearest("chekout", names.clone()), ["checkout"]);
        assert!(nearest("zzz", names).is_empty());
    }
}
