//! Secrets as programs are told them: in the environment, or as files that are read again whenever they are needed.

use std::{fmt, path::PathBuf};

/// A secret text. Its `Debug` shows where it comes from, never what it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Plain(String),
    /// A file that holds it; a newline at its end does not count.
    File(PathBuf),
}

impl Secret {
    /// The text as it is now.
    ///
    /// # Errors
    /// The file cannot be read or is empty; says which.
    pub fn read(&self) -> Result<String, String> {
        let path = match self {
            Self::Plain(text) => return Ok(text.clone()),
            Self::File(path) => path,
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("credentials file {} cannot be read: {error}", path.display()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("credentials file {} is empty", path.display())),
            text => Ok(text.to_owned()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("***"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// Percent-encoded for an address: any user name, password and vhost works.
pub fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time_and_named_when_it_is_missing_or_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let secret = Secret::File(path.clone());
        let missing = secret.read().unwrap_err();
        assert!(missing.contains(path.to_str().unwrap()), "{missing}");
        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read().unwrap_err().contains("is empty"));
        for text in ["first", "a second one"] {
            std::fs::write(&path, format!("{text}\n")).unwrap();
            assert_eq!(secret.read().unwrap(), text);
        }
    }
}
