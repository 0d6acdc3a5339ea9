//! How many sockets one person may have at a time, at this replica.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who has how many.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One of somebody's; given back when it is dropped.
#[derive(Debug)]
pub struct OwnSeat {
    all: Arc<Seats>,
    name: String,
}

impl Seats {
    /// So many for everybody.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// How many one person may have.
    pub fn most(&self) -> usize {
        self.most
    }

    /// One more for a principal, unless it has all of its own.
    pub fn take(self: &Arc<Self>, name: &str) -> Option<OwnSeat> {
        let mut taken = self.taken();
        let own = taken.entry(name.to_owned()).or_default();
        if *own >= self.most {
            return None;
        }
        *own += 1;
        Some(OwnSeat { all: Arc::clone(self), name: name.to_owned() })
    }

    /// The map is whole whatever panicked: each change of it is one step.
    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnSeat {
    fn drop(&mut self) {
        let mut taken = self.all.taken();
        if let Some(own) = taken.get_mut(&self.name) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_their_own_and_who_has_none_is_forgotten() {
        let seats = Seats::new(2);
        let ann = [seats.take("ann"), seats.take("ann")];
        assert!(ann.iter().all(Option::is_some) && seats.take("ann").is_none());
        let bob = seats.take("bob");
        assert!(bob.is_some());
        drop(ann);
        assert!(seats.take("ann").is_some(), "they are given back");
        drop(bob);
        assert!(seats.taken().is_empty());
    }
}
