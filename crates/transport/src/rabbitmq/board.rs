//! One health out of many parts: two connections and any number of consumers.

use std::{collections::BTreeMap, sync::Mutex};

use tokio::sync::watch;

use crate::Health;

/// Where the parts say how they are.
#[derive(Debug)]
pub(super) struct Board {
    parts: Mutex<BTreeMap<String, Health>>,
    overall: watch::Sender<Health>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            parts: Mutex::default(),
            overall: watch::Sender::new(Health::Down("not connected yet".into())),
        }
    }

    pub(super) fn set(&self, part: &str, health: Health) {
        let mut parts = self.parts.lock().expect("no panic while held");
        parts.insert(part.to_owned(), health);
        self.publish(&parts);
    }

    pub(super) fn remove(&self, part: &str) {
        let mut parts = self.parts.lock().expect("no panic while held");
        parts.remove(part);
        self.publish(&parts);
    }

    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.overall.subscribe()
    }

    /// Down outweighs blocked, blocked outweighs up.
    fn publish(&self, parts: &BTreeMap<String, Health>) {
        let down = parts.values().find(|health| matches!(health, Health::Down(_)));
        let worst =
            down.or_else(|| parts.values().find(|health| !health.is_up())).cloned().unwrap_or(Health::Up);
        self.overall.send_if_modified(|health| {
            let changed = *health != worst;
            *health = worst;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_part_is_the_health_of_the_whole() {
        let board = Board::new();
        let health = board.watch();
        assert!(matches!(&*health.borrow(), Health::Down(_)), "before anything is connected");
        board.set("a", Health::Up);
        assert_eq!(*health.borrow(), Health::Up);
        board.set("b", Health::Blocked("memory".into()));
        board.set("c", Health::Down("queue missing".into()));
        assert_eq!(*health.borrow(), Health::Down("queue missing".into()));
        board.remove("c");
        assert_eq!(*health.borrow(), Health::Blocked("memory".into()));
        board.set("b", Health::Up);
        assert_eq!(*health.borrow(), Health::Up);
    }
}
