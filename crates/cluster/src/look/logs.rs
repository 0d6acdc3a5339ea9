//! The end of a container's log.

use asya_analysis::scrub::scrub;

use super::object::not_found;
use super::{Error, kinds};
use crate::catalogue::encode;
use crate::{Api, Refusal};

/// Lines from the end of a log that nobody gave a number of.
pub const DEFAULT_LINES: u64 = 100;
/// Most lines.
pub const MAX_LINES: u64 = 2000;
/// Most that is read of a log, in bytes. The API server counts them from the first of the lines on.
const READ: u32 = 2 * 1024 * 1024;

/// Which log, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// The container; needed where the pod has several.
    pub container: Option<&'a str>,
    /// Whether it is that of the container before its last restart.
    pub previous: bool,
    /// Lines from the end; none: [`DEFAULT_LINES`], and at most [`MAX_LINES`].
    pub lines: Option<u64>,
    /// Only lines that are younger, in seconds.
    pub since: Option<u64>,
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The lines, without what looks like a secret.
    pub text: String,
    /// Whether it was longer than is read: its last lines are missing then.
    pub cut: bool,
}

impl Wanted<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::NoObject`], [`Error::NoLog`] and [`Error::Refused`].
    pub async fn read(&self, api: &Api) -> Result<Log, Error> {
        let Self { namespace, pod, container, previous, lines, since } = *self;
        let pods = kinds::pods();
        let lines = lines.map_or(DEFAULT_LINES, |lines| lines.clamp(1, MAX_LINES));
        let mut path =
            format!("{}/{}/log?tailLines={lines}&limitBytes={READ}", pods.path(Some(namespace)), encode(pod));
        if let Some(container) = container {
            path.push_str(&format!("&container={}", encode(container)));
        }
        if previous {
            path.push_str("&previous=true");
        }
        if let Some(seconds) = since {
            // The API server takes no larger one, nor zero.
            path.push_str(&format!("&sinceSeconds={}", seconds.clamp(1, i32::MAX.unsigned_abs().into())));
        }
        let text = api.text(&path).await.map_err(|refusal| match refusal {
            Refusal::NotFound { object: true } => not_found(&pods, Some(namespace), pod),
            // "a container name must be specified", "previous terminated container not found": it says which there are.
            Refusal::Wrong(said) => Error::NoLog(scrub(&said)),
            refusal => Error::refused("get", "pods/log", Some(namespace))(refusal),
        })?;
        Ok(Log { text: scrub(&text), cut: text.len() >= READ as usize })
    }
}

/// The last lines of a text, of at most so many bytes.
#[must_use]
pub fn end_of(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let from = (text.len() - most..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let end = &text[from..];
    end.split_once('\n').map_or(end, |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn the_end_of_a_text_is_whole_lines_unless_it_has_but_one() {
        assert_eq!(end_of("a\nb\n", 10), "a\nb\n");
        assert_eq!(end_of("aaaa\nbb\n", 5), "bb\n");
        assert_eq!(end_of("ääää", 3), "ä");
    }
}
