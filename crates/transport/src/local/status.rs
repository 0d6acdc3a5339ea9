//! Health: what is missing, what is broken.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use asya_envelope::Queue;
use tokio::sync::watch;

use crate::Health;

/// What is wrong at the moment.
#[derive(Default)]
struct Troubles {
    /// Queues that consumers wait for, and how many consumers of each.
    missing: BTreeMap<Queue, usize>,
    /// Why the last transaction failed.
    broken: Option<String>,
}

/// Gathers troubles and tells those who watch.
pub(super) struct Status {
    troubles: Mutex<Troubles>,
    sender: watch::Sender<Health>,
}

impl Default for Status {
    fn default() -> Self {
        Self { troubles: Mutex::default(), sender: watch::Sender::new(Health::Up) }
    }
}

impl Status {
    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.sender.subscribe()
    }

    /// One more consumer waits for this queue.
    pub(super) fn missing(&self, queue: &Queue) {
        let mut troubles = self.troubles();
        *troubles.missing.entry(queue.clone()).or_default() += 1;
        self.tell(&troubles);
    }

    /// One consumer less waits for this queue.
    pub(super) fn found(&self, queue: &Queue) {
        let mut troubles = self.troubles();
        if let Some(waiting) = troubles.missing.get_mut(queue) {
            *waiting -= 1;
            if *waiting == 0 {
                troubles.missing.remove(queue);
            }
        }
        self.tell(&troubles);
    }

    /// How the last transaction went.
    pub(super) fn transaction(&self, failed: Option<&str>) {
        let mut troubles = self.troubles();
        if troubles.broken.as_deref() != failed {
            troubles.broken = failed.map(str::to_owned);
            self.tell(&troubles);
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().expect("no panic while troubles are locked")
    }

    fn tell(&self, troubles: &Troubles) {
        let health = match (&troubles.broken, troubles.missing.is_empty()) {
            (Some(reason), _) => Health::Down(format!("the queue file cannot be written: {reason}")),
            (None, false) => {
                let names: Vec<_> = troubles.missing.keys().map(Queue::as_str).collect();
                Health::Down(format!("no such queue: {}", names.join(", ")))
            }
            (None, true) => Health::Up,
        };
        self.sender.send_if_modified(|current| {
            let changed = *current != health;
            *current = health;
            changed
        });
    }
}
