//! Ids of fan-out children.
//!
//! Children of one id are numbered over its whole life: item 0 keeps the id and carries how many child numbers are
//! used up ([`headers::CHILDREN`]); the next fan-out of that id starts there. So a redelivered fan-out makes the same
//! ids, and no two children of one id share one.

use serde::{Deserialize, Serialize};

use crate::{
    Envelope, Raw,
    headers::{self, Headers},
};

/// More child numbers than any life uses up: a header that says more is not ours, and its sums would overflow.
const MOST_CHILDREN: u64 = u64::MAX / 2;

/// The id of child number `number` (1-based over the id's life) of `id`.
pub fn child_id(id: &str, number: u64) -> String {
    format!("{id}-{number}")
}

/// Gives out the identities of one fan-out.
#[derive(Clone, Debug)]
pub struct Lineage {
    id: String,
    parent_id: Option<String>,
    used: u64,
}

impl Lineage {
    /// Starts where the input's life has come to.
    pub fn of(input: &Envelope) -> Self {
        Self {
            id: input.id.clone(),
            parent_id: input.parent_id.clone(),
            used: input.headers.get_u64(headers::CHILDREN).filter(|used| *used <= MOST_CHILDREN).unwrap_or(0),
        }
    }

    /// Makes `item` the `index`-th (0-based) of `count` items; `count` is known only for item 0, which is published
    /// last. A single item (`index` 0 of `count` 1) is not a fan-out and is left as it is.
    pub fn assign(&self, item: &mut Envelope, index: u64, count: Option<u64>) {
        if index == 0 {
            item.id.clone_from(&self.id);
            item.parent_id.clone_from(&self.parent_id);
            let Some(count @ 2..) = count else { return };
            item.headers.set(headers::CHILDREN, Raw::of(&(self.used + count - 1)));
        } else {
            item.id = child_id(&self.id, self.used + index);
            item.parent_id = Some(self.id.clone());
            item.headers.remove(headers::CHILDREN);
        }
        let mut parts = parts_of(&item.headers);
        parts.push(Part {
            group: format!("{}/{}", self.id, self.used),
            index,
            count: count.filter(|_| index == 0),
        });
        item.headers.set(headers::FAN, Raw::of(&parts));
    }
}

/// Which part of which fan-out an envelope is: one entry of [`headers::FAN`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `<id>/<child numbers used before>`: one fan-out of one id.
    pub group: String,
    /// 0-based position.
    pub index: u64,
    /// How many parts there are; only item 0 knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
}

impl Part {
    /// The id that was fanned out, and that the joined result carries again.
    pub fn id(&self) -> &str {
        self.group.rsplit_once('/').map_or(&*self.group, |(id, _)| id)
    }

    /// The id of this part; `None` if the group is not one that [`Lineage`] makes.
    pub fn made(&self) -> Option<String> {
        let (id, used) = self.group.rsplit_once('/')?;
        let number =
            used.parse::<u64>().ok().filter(|used| *used <= MOST_CHILDREN)?.checked_add(self.index)?;
        Some(if self.index == 0 { id.to_owned() } else { child_id(id, number) })
    }
}

/// The fan-outs that an envelope is part of, innermost last; none if the header is absent or broken.
pub fn parts_of(headers: &Headers) -> Vec<Part> {
    headers.get(headers::FAN).and_then(|raw| serde_json::from_slice(raw.as_bytes()).ok()).unwrap_or_default()
}

/// How many fan-outs an envelope is within, one in the other; `None` if the header is broken.
pub fn depth(headers: &Headers) -> Option<u64> {
    let Some(raw) = headers.get(headers::FAN) else { return Some(0) };
    serde_json::from_slice::<Vec<Part>>(raw.as_bytes()).ok().map(|parts| parts.len() as u64)
}

/// True if an envelope is `root`, or was fanned out of it: its fan-outs lead from the root's id to its own, step by step.
/// The id alone does not tell: a client may have named an envelope `root-1`.
pub fn descends(envelope: &Envelope, root: &str) -> bool {
    let mut id = root.to_owned();
    for part in parts_of(&envelope.headers) {
        match part.made() {
            Some(made) if part.id() == id => id = made,
            _ => return false,
        }
    }
    id == envelope.id
}

/// The children of an envelope that go on by themselves, as first and last number: those of fan-outs of its id that it is
/// still item 0 of, for no fan-in has joined them.
pub fn open_children(envelope: &Envelope) -> Vec<(u64, u64)> {
    let parts = parts_of(&envelope.headers).into_iter();
    let own = parts.filter(|part| part.index == 0 && part.id() == envelope.id);
    own.filter_map(|part| {
        let used: u64 = part.group.rsplit_once('/')?.1.parse().ok().filter(|used| *used <= MOST_CHILDREN)?;
        let children =
            part.count.filter(|count| *count <= MOST_CHILDREN)?.checked_sub(1).filter(|n| *n > 0)?;
        Some((used + 1, used + children))
    })
    .collect()
}

/// True if all children of an envelope that are not open went into its payload: it had some, and its fan-in waited for
/// all of them.
pub fn is_joined(headers: &Headers) -> bool {
    headers.get(headers::CHILDREN).is_some() && headers.get(headers::GAPS).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    fn fan_out(input: &Envelope, count: u64) -> Vec<Envelope> {
        let lineage = Lineage::of(input);
        (0..count)
            .map(|index| {
                let mut item = input.clone();
                lineage.assign(&mut item, index, Some(count));
                item
            })
            .collect()
    }

    #[test]
    fn the_first_child_keeps_the_id_and_the_others_name_their_parent() {
        let children = fan_out(&Envelope::new("a", Route::new(["x"]), Raw::null()), 3);
        let ids: Vec<_> = children.iter().map(|c| (c.id.as_str(), c.parent_id.as_deref())).collect();
        assert_eq!(ids, [("a", None), ("a-1", Some("a")), ("a-2", Some("a"))]);
    }

    #[test]
    fn a_second_fan_out_of_the_same_id_makes_new_ids() {
        let first = fan_out(&Envelope::new("a", Route::new(["x", "y"]), Raw::null()), 3);
        let mut ids: Vec<_> = first.iter().flat_map(|c| fan_out(c, 3)).map(|c| c.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 9);
    }

    #[test]
    fn a_count_that_a_client_made_up_does_not_overflow() {
        let mut input = Envelope::new("a", Route::new(["x"]), Raw::null());
        input.headers.set(headers::CHILDREN, Raw::of(&u64::MAX));
        let ids: Vec<_> = fan_out(&input, 3).into_iter().map(|child| child.id).collect();
        assert_eq!(ids, ["a", "a-1", "a-2"]);
    }

    #[test]
    fn a_redelivered_fan_out_makes_the_same_ids() {
        let input = Envelope::new("a", Route::new(["x"]), Raw::null());
        assert_eq!(fan_out(&input, 4), fan_out(&input, 4));
    }

    #[test]
    fn parts_of_nested_fan_outs_stack() {
        let outer = fan_out(&Envelope::new("a", Route::new(["x"]), Raw::null()), 2);
        let inner = fan_out(&outer[1], 3);
        let parts = parts_of(&inner[0].headers);
        assert_eq!(parts[0], Part { group: "a/0".into(), index: 1, count: None });
        assert_eq!(parts[1], Part { group: "a-1/0".into(), index: 0, count: Some(3) });
        assert_eq!(parts[1].id(), "a-1");
        assert_eq!([&outer[0], &inner[2]].map(|item| depth(&item.headers)), [Some(1), Some(2)]);
        assert_eq!(depth(&Headers::default()), Some(0));
        let mut broken = Headers::default();
        broken.set(headers::FAN, Raw::of(&"deep"));
        assert_eq!(depth(&broken), None);
    }

    #[test]
    fn children_are_open_until_a_fan_in_takes_their_group_off() {
        let first = fan_out(&Envelope::new("a", Route::new(["x", "y"]), Raw::null()), 3).remove(0);
        assert_eq!((open_children(&first), is_joined(&first.headers)), (vec![(1, 2)], true));
        let mut second = fan_out(&first, 2).remove(0);
        assert_eq!(open_children(&second), [(1, 2), (3, 3)]);
        // The inner one is joined; a child has none of its own.
        let mut parts = parts_of(&second.headers);
        parts.pop();
        second.headers.set(headers::FAN, Raw::of(&parts));
        assert_eq!(open_children(&second), [(1, 2)]);
        assert_eq!(open_children(&fan_out(&first, 2)[1]), []);
        second.headers.set(headers::GAPS, Raw::of(&["one is missing"]));
        assert!(!is_joined(&second.headers));
    }

    #[test]
    fn open_children_of_a_made_up_header_do_not_overflow() {
        let mut envelope = Envelope::new("a", Route::new(["x"]), Raw::null());
        for (group, count) in
            [("a/18446744073709551615", 2), ("a/1", u64::MAX), ("a", 2), ("a/x", 2), ("a/0", 0)]
        {
            let part = Part { group: group.to_owned(), index: 0, count: Some(count) };
            envelope.headers.set(headers::FAN, Raw::of(&[part]));
            assert_eq!(open_children(&envelope), [], "{group} {count}");
        }
    }

    #[test]
    fn the_lineage_leads_to_the_root_and_to_no_other_id() {
        let root = Envelope::new("a", Route::new(["x", "y"]), Raw::null());
        for child in fan_out(&root, 3).iter().flat_map(|child| fan_out(child, 3)) {
            assert!(descends(&child, "a") && !descends(&child, "a-1-1-1"), "{}", child.id);
        }
        let named = Envelope::new("a-1", Route::new(["x"]), Raw::null());
        assert!(!descends(&named, "a") && descends(&named, "a-1"));
        assert!(fan_out(&named, 2).iter().all(|child| !descends(child, "a")));
        // Whatever a client makes up.
        for group in ["a/18446744073709551615", "a/9223372036854775807", "a", "a/x", "/0", ""] {
            let mut envelope = named.clone();
            let part = Part { group: group.to_owned(), index: u64::MAX, count: None };
            envelope.headers.set(headers::FAN, Raw::of(&[part]));
            assert!(!descends(&envelope, "a"), "{group}");
        }
    }

    #[test]
    fn one_item_is_not_a_fan_out() {
        let input = Envelope::new("a", Route::new(["x"]), Raw::null());
        assert_eq!(fan_out(&input, 1), [input]);
    }
}
