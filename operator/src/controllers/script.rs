//! The Python runtime that is injected, as the file that it is.

use std::path::Path;

use serde_json::Value;

use crate::desired::runtime::{self, Features, User};

/// What goes before every reason why there is no runtime: alerts look for it.
pub const CANNOT: &str = "the runtime ConfigMap cannot be made";

/// One version of the runtime.
#[derive(Clone, Debug)]
pub struct Script {
    bytes: Vec<u8>,
    name: String,
    features: Features,
}

impl Script {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence with the words `runtime ConfigMap`.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|error| format!("{CANNOT}: reading {}: {error}", path.display()))?;
        Self::of(bytes).map_err(|why| format!("{CANNOT}: {}: {why}", path.display()))
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// A sentence: it is empty, or larger than an object may be.
    pub fn of(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty".to_owned());
        }
        runtime::alias("", &bytes)?;
        Ok(Self { name: runtime::name(&bytes), features: Features::of(&bytes), bytes })
    }

    /// Name of this version's ConfigMap.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can do.
    pub fn features(&self) -> Features {
        self.features
    }

    /// The ConfigMaps of a namespace: this version, owned by these, and the documented name, owned by nobody.
    ///
    /// # Errors
    /// None that [`Script::of`] would not have returned.
    pub fn config_maps(&self, namespace: &str, users: &[User]) -> Result<[Value; 2], String> {
        Ok([runtime::versioned(namespace, &self.bytes, users)?, runtime::alias(namespace, &self.bytes)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_runtime_is_said_with_the_words_that_alerts_look_for() {
        let error = Script::read(Path::new("/nowhere/asya_runtime.py")).unwrap_err();
        assert!(error.contains("runtime ConfigMap") && error.contains("/nowhere"), "{error}");
    }

    #[test]
    fn what_is_no_runtime_is_refused_when_it_is_read() {
        assert!(Script::of(Vec::new()).is_err());
        assert!(Script::of(vec![b'x'; 1_000_000]).unwrap_err().contains("runtime ConfigMap"));
    }
}
