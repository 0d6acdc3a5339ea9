//! What is wrong at the moment, by place, and the one word about it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::Health;

/// The place of everything that is published.
pub(super) const PUBLISHING: &str = "publishing";

/// Collects troubles; the transport is up while there is none.
#[derive(Debug)]
pub(super) struct Board {
    troubles: Mutex<BTreeMap<String, String>>,
    shown: watch::Sender<Health>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { troubles: Mutex::default(), shown: watch::Sender::new(Health::Up) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.shown.subscribe()
    }

    /// Something does not work there. Logged when it is news.
    pub(super) fn trouble(&self, place: &str, reason: String) {
        self.change(|troubles| {
            let news = troubles.get(place) != Some(&reason);
            if news {
                tracing::warn!(place, reason, "sqs does not work");
                troubles.insert(place.to_owned(), reason);
            }
            news
        });
    }

    /// It works there (again).
    pub(super) fn clear(&self, place: &str) {
        self.change(|troubles| {
            let news = troubles.remove(place).is_some();
            if news {
                tracing::info!(place, "sqs works again");
            }
            news
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> bool) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut troubles) {
            let health = match troubles.values().next() {
                Some(reason) => Health::Down(reason.clone()),
                None => Health::Up,
            };
            self.shown.send_replace(health);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_up_again_only_when_the_last_trouble_is_gone() {
        let board = Board::new();
        let watch = board.watch();
        board.trouble("a", "first".to_owned());
        board.trouble("b", "second".to_owned());
        assert_eq!(watch.borrow().reason(), Some("first"));
        board.clear("a");
        assert_eq!(watch.borrow().reason(), Some("second"));
        board.clear("b");
        assert!(watch.borrow().is_up());
    }
}
