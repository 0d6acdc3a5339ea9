//! YAML with the place of every value.

use std::fmt;

use asya_resources::Step;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

/// A place in a file, 1-based.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// One YAML value that knows where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    Scalar(Value),
    List(Vec<Node>),
    Object(Vec<(Place, String, Node)>),
}

/// Why a file is not YAML.
#[derive(Debug)]
pub(crate) struct NotYaml {
    pub(crate) place: Place,
    pub(crate) message: String,
}

/// Reads every document of a file; empty documents are passed over.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, NotYaml> {
    let nodes = serde_saphyr::from_multiple::<Node>(text).map_err(|error| {
        let message = error.without_snippet().to_string();
        // The place stands before the message already.
        let message =
            message.split_once(" at line ").map_or(message.as_str(), |(what, _place)| what).to_owned();
        NotYaml { place: error.location().map(place).unwrap_or_default(), message }
    })?;
    Ok(nodes.into_iter().filter(|node| !matches!(node.tree, Tree::Scalar(Value::Null))).collect())
}

impl Node {
    /// The value without its places.
    pub(crate) fn value(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => items.iter().map(Self::value).collect(),
            Tree::Object(members) => {
                members.iter().map(|(_, key, node)| (key.clone(), node.value())).collect()
            }
        }
    }

    /// Where the path leads: the key of its last step, or as far as it can be followed.
    pub(crate) fn find(&self, path: &[Step]) -> Place {
        let Some((step, rest)) = path.split_first() else { return self.place };
        match (step, &self.tree) {
            (Step::Key(key), Tree::Object(members)) => {
                match members.iter().find(|(_, name, _)| name == key) {
                    Some((place, ..)) if rest.is_empty() => *place,
                    Some((place, _, node)) => match node.tree {
                        // What is wrong with a whole object is said at its key.
                        _ if rest.is_empty() => *place,
                        _ => node.find(rest),
                    },
                    None => self.place,
                }
            }
            (Step::Index(index), Tree::List(items)) => {
                items.get(*index).map_or(self.place, |node| node.find(rest))
            }
            _ => self.place,
        }
    }
}

fn place(location: serde_saphyr::Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { place: place(spanned.referenced), tree: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element::<Node>()? {
            list.push(node);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            members.push((place(key.referenced), key.value, node));
        }
        Ok(Tree::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nb:\n  - x: yes\n  - {y: [1, 2.5], z: null}\n---\n---\nc: \"1\"\n";

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn every_document_is_read_with_the_places_of_its_values() {
        let nodes = parse(TEXT).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(
            nodes[0].value(),
            serde_json::json!({"a": 1, "b": [{"x": true}, {"y": [1, 2.5], "z": null}]})
        );
        assert_eq!(nodes[1].value(), serde_json::json!({"c": "1"}));
        assert_eq!(nodes[0].find(&[key("b"), Step::Index(0), key("x")]), Place { line: 3, column: 5 });
        assert_eq!(nodes[0].find(&[key("b"), Step::Index(1), key("z")]).line, 4);
        assert_eq!(nodes[1].find(&[key("c")]).line, 7);
    }

    #[test]
    fn a_missing_member_is_at_the_object_that_lacks_it() {
        let nodes = parse(TEXT).unwrap();
        assert_eq!(nodes[0].find(&[key("b"), Step::Index(1), key("nope")]).line, 4);
    }

    #[test]
    fn broken_yaml_says_where() {
        let error = parse("a: 1\nb: [1,\nc: 2\n").unwrap_err();
        assert!(error.place.line >= 2, "{error:?}");
        assert!(parse("a: 1\na: 2\n").unwrap_err().message.contains("duplicate"), "a key written twice");
    }
}
