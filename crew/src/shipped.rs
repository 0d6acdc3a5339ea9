//! Shipped actors from their settings, for the program of their own and for `asya up`.

use std::path::Path;

/// Where settings come from: the environment of a program, or of an actor's manifest.
pub struct Variables<'a> {
    /// The value of a variable.
    pub find: &'a dyn Fn(&str) -> Option<String>,
    /// What names of files are meant from.
    pub base: &'a Path,
}

impl Variables<'_> {
    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        asya_settings::filled((self.find)(name))
    }
}
