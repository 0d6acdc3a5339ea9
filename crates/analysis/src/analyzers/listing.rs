//! Lists of names in a text.

/// `one, two and three`; at most `most` of them by name.
pub(crate) fn some_of(names: &[String], most: usize) -> String {
    match names {
        [] => "none".to_owned(),
        [name] => name.clone(),
        names if names.len() > most => {
            format!("{} and {} more", names[..most].join(", "), names.len() - most)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_cut_and_counted() {
        let names = |n: usize| (1..=n).map(|n| n.to_string()).collect::<Vec<_>>();
        let said: Vec<String> = (0..5).map(|n| some_of(&names(n), 3)).collect();
        assert_eq!(said, ["none", "1", "1 and 2", "1, 2 and 3", "1, 2, 3 and 1 more"]);
    }
}
