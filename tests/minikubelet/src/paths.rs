//! Where a container's paths and addresses are on this machine.

use std::path::{Path, PathBuf};

/// The mounts of one container: absolute path inside it, and the folder or file that stands for it here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths(Vec<(String, PathBuf)>);

impl Paths {
    pub(crate) fn new(mounts: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let mut mounts: Vec<_> =
            mounts.into_iter().map(|(path, here)| (path.trim_end_matches('/').to_owned(), here)).collect();
        // A mount below another one wins.
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(mounts)
    }

    /// What is mounted at this very path.
    pub(crate) fn at(&self, path: &str) -> Option<&Path> {
        self.0.iter().find(|(mounted, _)| mounted == path).map(|(_, here)| here.as_path())
    }

    /// Replaces each mounted path that stands in the text, alone or as the beginning of a longer path. What was
    /// replaced is not looked at again: the folders here may well lie under a path that is mounted there.
    pub(crate) fn rewrite(&self, text: &str) -> String {
        let mut rewritten = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        while let Some(next) = rest.chars().next() {
            let found = self.0.iter().find(|(path, _)| {
                rest.strip_prefix(path.as_str()).is_some_and(|after| {
                    !before.is_some_and(is_of_a_name) && !after.chars().next().is_some_and(is_of_a_name)
                })
            });
            let length = if let Some((path, here)) = found {
                rewritten.push_str(&here.to_string_lossy());
                path.len()
            } else {
                rewritten.push(next);
                next.len_utf8()
            };
            before = rest[..length].chars().next_back();
            rest = &rest[length..];
        }
        rewritten
    }
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// An address that listens on all of a pod's interfaces (`:8080`, `0.0.0.0:8080`, `[::]:8080`) on the pod's own address;
/// `None` for any other text.
pub(crate) fn listen_on(text: &str, ip: &str) -> Option<String> {
    let port = ["0.0.0.0:", "[::]:", ":"].iter().find_map(|any| text.strip_prefix(any))?;
    port.parse::<u16>().ok().map(|port| format!("{ip}:{port}"))
}

/// An address of the pod's own from the loopback network, by its uid, so that each pod has all ports to itself.
pub(crate) fn address(uid: &str) -> String {
    let digits: String = uid.chars().filter(char::is_ascii_hexdigit).take(6).collect();
    let bits = u32::from_str_radix(&digits, 16).unwrap_or(1);
    // 127.0.x.y belongs to this machine's own servers; 0 and 255 are left out for readers who know them as special.
    let byte = |shift: u32| (bits >> shift & 0xff).clamp(1, 254);
    format!("127.{}.{}.{}", byte(16), byte(8), byte(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths::new(
            [
                ("/tmp", "/tmp/k/tmp"),
                ("/var/run/asya", "/tmp/k/s"),
                ("/opt/asya/asya_runtime.py", "/tmp/k/r/f.py"),
            ]
            .map(|(path, here)| (path.to_owned(), here.into())),
        )
    }

    #[test]
    fn mounted_paths_are_found_in_texts_and_replaced_once() {
        for (text, expected) in [
            ("/var/run/asya", "/tmp/k/s"),
            ("/var/run/asya/x.sock", "/tmp/k/s/x.sock"),
            ("test -S /var/run/asya/x && ls /tmp", "test -S /tmp/k/s/x && ls /tmp/k/tmp"),
            ("file:///var/run/asya", "file:///tmp/k/s"),
            ("/opt/asya/asya_runtime.py", "/tmp/k/r/f.py"),
            ("A=/tmp:/tmp/x", "A=/tmp/k/tmp:/tmp/k/tmp/x"),
        ] {
            assert_eq!(paths().rewrite(text), expected);
        }
    }

    #[test]
    fn other_paths_stay() {
        for text in
            ["/var/run/asya2", "/opt/var/run/asya", "/opt/asya/asya_runtime.py.bak", "/tmp.txt", "é/x"]
        {
            assert_eq!(paths().rewrite(text), text);
        }
    }

    #[test]
    fn only_an_address_of_all_interfaces_moves_to_the_pod() {
        assert_eq!(listen_on(":8080", "127.1.2.3").unwrap(), "127.1.2.3:8080");
        assert_eq!(listen_on("0.0.0.0:80", "127.1.2.3").unwrap(), "127.1.2.3:80");
        for text in ["127.0.0.1:8080", "a:80", ":http", "12:30", ":", ""] {
            assert_eq!(listen_on(text, "127.1.2.3"), None);
        }
    }

    #[test]
    fn a_pod_has_an_address_outside_of_this_machines_own() {
        assert_eq!(address("0a0bff00-1111"), "127.10.11.254");
        assert_eq!(address("00000a-x"), "127.1.1.10");
    }
}
