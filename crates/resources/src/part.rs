//! Rules about parts of an object, once as CEL and once as a function, and where in an object those parts are.

use serde_json::Value;

use crate::{Problem, Step};

/// One rule about a part of an object.
#[derive(Debug)]
pub struct Rule {
    /// The part, as `spec.sinks[]`.
    pub at: &'static str,
    /// What must hold, in CEL over `self`.
    pub cel: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
    /// The same as `cel`, as a function.
    pub(crate) holds: fn(&Value) -> bool,
}

/// Every rule that an object breaks, and every key of a list (the list, and the field that is its key) that stands there
/// twice.
pub(crate) fn broken(object: &Value, rules: &[Rule], keyed: &[(&str, &str)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in rules {
        let broken =
            parts(object, rule.at).into_iter().filter(|(_, part)| part.is_object() && !(rule.holds)(part));
        problems.extend(broken.map(|(path, _)| Problem::error(path, rule.message)));
    }
    for (at, key) in keyed {
        let mut seen = Vec::new();
        for (mut path, part) in parts(object, at) {
            if seen.contains(&&part[key]) && !part[key].is_null() {
                path.push(Step::Key((*key).to_owned()));
                problems.push(Problem::error(path, format!("{} stands there twice", part[key])));
            }
            seen.push(&part[key]);
        }
    }
    problems
}

/// The parts of an object at a path such as `spec.sinks[]`, each with where it stands.
fn parts<'a>(object: &'a Value, at: &str) -> Vec<(Vec<Step>, &'a Value)> {
    let mut found = vec![(Vec::new(), object)];
    for step in at.split('.') {
        let (key, is_list) = step.strip_suffix("[]").map_or((step, false), |key| (key, true));
        let below = found.into_iter().filter_map(|(mut path, value)| {
            let value = value.get(key).filter(|value| !value.is_null())?;
            path.push(Step::Key(key.to_owned()));
            Some((path, value))
        });
        found = if is_list {
            below.flat_map(|(path, list)| entries(path, list)).collect()
        } else {
            below.collect()
        };
    }
    found
}

fn entries(path: Vec<Step>, list: &Value) -> impl Iterator<Item = (Vec<Step>, &Value)> {
    list.as_array().into_iter().flatten().enumerate().map(move |(index, entry)| {
        let mut path = path.clone();
        path.push(Step::Index(index));
        (path, entry)
    })
}

/// Whether a member is there; null is the same as absent, as in Kubernetes.
pub(crate) fn has(object: &Value, key: &str) -> bool {
    object.get(key).is_some_and(|value| !value.is_null())
}
