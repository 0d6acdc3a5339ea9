//! Names of actors and queues, and the rule that leads from one to the other.

use std::{fmt, sync::Arc};

/// Prefix of every queue of the platform.
pub const QUEUE_PREFIX: &str = "asya-";
/// Suffix of the queue that holds dead letters of a queue.
pub const DEAD_LETTER_SUFFIX: &str = "-dlq";
/// Longest name that Kubernetes, SQS and RabbitMQ all take as part of a queue name.
pub const MAX_ACTOR_NAME: usize = 63;

/// The name of an actor: 1 to 63 of `[a-z0-9-]`, not starting with `asya-`.
///
/// The prefix is refused because publishers reach a queue both by the bare actor name and by the queue name: actors
/// `ocr` and `asya-ocr` would receive each other's messages.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorName(Arc<str>);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, too long, or with other characters than `[a-z0-9-]`.
    #[error("actor name {0:?} must be 1 to 63 characters of a-z, 0-9 and '-'")]
    Malformed(String),
    /// Starts with the prefix of queue names.
    #[error("actor name {0:?} must not start with \"asya-\": that prefix is added to make the queue's name")]
    Prefixed(String),
}

impl ActorName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`] with the name and the rule it breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let fits = (1..=MAX_ACTOR_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            return Err(NameError::Malformed(name.to_owned()));
        }
        if name.starts_with(QUEUE_PREFIX) {
            return Err(NameError::Prefixed(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The full name of a queue, for example `asya-ocr`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue(Arc<str>);

impl Queue {
    /// Takes a queue's name as it is: existing queues are used whatever they are called.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which publishers reach this queue on the topic exchange: its name without `asya-`.
    pub fn routing_key(&self) -> &str {
        self.0.strip_prefix(QUEUE_PREFIX).unwrap_or(&self.0)
    }

    /// The queue that holds this queue's dead letters.
    #[must_use]
    pub fn dead_letter(&self) -> Self {
        Self(format!("{}{DEAD_LETTER_SUFFIX}", self.0).into())
    }
}

/// How queues are named: `asya-{actor}`, or `asya-{namespace}-{actor}` in clusters that share a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    namespace: Option<Arc<str>>,
}

impl Naming {
    /// `asya-{actor}`: one machine, and those who move from the Go system.
    pub fn bare() -> Self {
        Self::default()
    }

    /// `asya-{namespace}-{actor}`.
    pub fn namespaced(namespace: &str) -> Self {
        Self { namespace: Some(namespace.into()) }
    }

    /// The queue of an actor. Takes text, because routes may name actors whose queues others created under names
    /// that [`ActorName`] would refuse.
    pub fn queue(&self, actor: &str) -> Queue {
        Queue::named(match &self.namespace {
            Some(namespace) => format!("{QUEUE_PREFIX}{namespace}-{actor}"),
            None => format!("{QUEUE_PREFIX}{actor}"),
        })
    }
}

macro_rules! shown_as_text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    )+};
}
shown_as_text!(ActorName, Queue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_reach_two_queues_are_refused() {
        assert!(matches!(ActorName::parse("asya-ocr"), Err(NameError::Prefixed(_))));
        for bad in ["", "OCR", "a.b", "a_b", &"a".repeat(64)] {
            assert!(matches!(ActorName::parse(bad), Err(NameError::Malformed(_))), "{bad}");
        }
        assert_eq!(ActorName::parse("ocr-2").unwrap().as_str(), "ocr-2");
    }

    #[test]
    fn a_queue_knows_its_routing_key_and_its_dead_letter_queue() {
        let queue = Naming::bare().queue("ocr");
        assert_eq!((queue.as_str(), queue.routing_key()), ("asya-ocr", "ocr"));
        assert_eq!(queue.dead_letter().as_str(), "asya-ocr-dlq");
        let queue = Naming::namespaced("team").queue("ocr");
        assert_eq!((queue.as_str(), queue.routing_key()), ("asya-team-ocr", "team-ocr"));
    }
}
