//! Whether a transport works, as others may watch it.

/// The state of a transport's connections, shown in `/readyz`, a metric and the actor's condition. None of it restarts
/// anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Messages can be received and sent.
    Up,
    /// The broker takes no publishes for now (memory or disk alarm): take no new work.
    Blocked(String),
    /// Not connected, or the own queue is missing; being mended with back-off.
    Down(String),
}

impl Health {
    /// True when messages can be received and sent.
    pub fn is_up(&self) -> bool {
        *self == Self::Up
    }

    /// Why it is not up.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Up => None,
            Self::Blocked(reason) | Self::Down(reason) => Some(reason),
        }
    }
}
