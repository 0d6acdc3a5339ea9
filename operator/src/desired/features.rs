//! What a Python runtime can do beside running handlers.

/// What stands before the words of [`Features`] in a file of ours, in a comment.
const MARK: &[u8] = b"asya-runtime-features:";
/// Most bytes of a line with them.
const MARK_LINE: usize = 200;

/// What a runtime can do beside running handlers. Runtimes of others, such as the Go system's, say nothing of it: what
/// they do not know as an argument would start them a second time in the same container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `--probe` and `--probe live` ask the runtime that runs.
    pub probe: bool,
    /// It ends with 0 when the sidecar tells it to.
    pub shutdown: bool,
}

impl Features {
    /// Of the runtime that is delivered with this operator.
    pub const OURS: Self = Self { probe: true, shutdown: true };

    /// What the file says of itself.
    pub fn of(file: &[u8]) -> Self {
        let Some(at) = file.windows(MARK.len()).position(|window| window == MARK) else {
            return Self::default();
        };
        let rest = &file[at + MARK.len()..];
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words: Vec<_> = line[..line.len().min(MARK_LINE)].split(u8::is_ascii_whitespace).collect();
        Self {
            probe: words.contains(&b"probe".as_slice()),
            shutdown: words.contains(&b"shutdown".as_slice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_in_a_comment_what_it_can_do() {
        let file = b"#!/usr/bin/env python3\nPK\x03# asya-runtime-features: probe shutdown\nimport sys\n";
        assert_eq!(Features::of(file), Features::OURS);
        let some = Features::of(b"# asya-runtime-features: probe\nshutdown = 1\n");
        assert_eq!(some, Features { probe: true, shutdown: false });
    }

    #[test]
    fn of_others_nothing_is_asked() {
        assert_eq!(Features::of(b"print('the runtime')\n"), Features::default());
    }
}
