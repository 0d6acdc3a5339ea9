//! Random interleavings of everything that can happen to rows, compared with a model of a few lines.

use std::collections::BTreeMap;

use asya_envelope::Queue;
use asya_store::{Expect, Write};
use bytes::Bytes;
use proptest::prelude::*;
use rusqlite::{Connection, Transaction};

use super::{LocalOptions, rows, schema, writer::Fault};
use crate::{Depth, Outgoing};

const LEASE: i64 = 50;

#[derive(Clone, Debug)]
enum Op {
    Publish { delay: i64 },
    Take { limit: usize },
    Forward { hold: usize, missing: bool, conflict: bool },
    Retry { hold: usize, after: i64, attempts: u32 },
    Release { hold: usize },
    Untake { hold: usize },
    Bury { hold: usize },
    Renew { hold: usize },
    Revive { letter: usize },
    Discard { letter: usize },
    Pass { time: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    // Any hold ever had may be used again: most of them have ended.
    let hold = 0..64_usize;
    prop_oneof![
        4 => prop_oneof![Just(0), 1..80_i64].prop_map(|delay| Op::Publish { delay }),
        4 => (1..4_usize).prop_map(|limit| Op::Take { limit }),
        3 => (hold.clone(), proptest::bool::weighted(0.3), proptest::bool::weighted(0.3))
            .prop_map(|(hold, missing, conflict)| Op::Forward { hold, missing, conflict }),
        2 => (hold.clone(), 0..80_i64, 0..9_u32)
            .prop_map(|(hold, after, attempts)| Op::Retry { hold, after, attempts }),
        2 => hold.clone().prop_map(|hold| Op::Release { hold }),
        1 => hold.clone().prop_map(|hold| Op::Untake { hold }),
        2 => hold.clone().prop_map(|hold| Op::Bury { hold }),
        2 => hold.clone().prop_map(|hold| Op::Renew { hold }),
        1 => hold.clone().prop_map(|letter| Op::Revive { letter }),
        1 => hold.prop_map(|letter| Op::Discard { letter }),
        3 => (1..40_i64).prop_map(|time| Op::Pass { time }),
    ]
}

/// A message as it should be. Keyed by its number, which is its body and its age.
#[derive(Clone, Debug)]
struct Message {
    ready_at: i64,
    lease: i64,
    deliveries: u32,
    attempts: u32,
}

/// A delivery that somebody has or had.
#[derive(Clone, Debug)]
struct Hold {
    number: u64,
    id: i64,
    token: i64,
    ready_at: i64,
}

#[derive(Default)]
struct Model {
    now: i64,
    published: u64,
    live: BTreeMap<u64, Message>,
    dead: BTreeMap<u64, u32>,
    /// Numbers that were forwarded, in order: the second queue must hold exactly these.
    forwarded: Vec<u64>,
    records: u64,
    holds: Vec<Hold>,
    next_token: i64,
}

struct File {
    connection: Connection,
    queue: Queue,
    onward: Queue,
    _directory: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let connection = schema::open(&directory.path().join("q"), &LocalOptions::default()).unwrap();
        let (queue, onward) = (Queue::named("asya-a"), Queue::named("asya-b"));
        rows::ensure(&connection, &queue).unwrap();
        rows::ensure(&connection, &onward).unwrap();
        Self { connection, queue, onward, _directory: directory }
    }

    /// As the writer does it: an error undoes everything.
    fn change<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = self.connection.transaction().unwrap();
        let done = work(&transaction)?;
        transaction.commit().unwrap();
        Ok(done)
    }
}

fn outgoing(queue: &Queue, number: u64) -> Outgoing {
    Outgoing { queue: queue.clone(), body: Bytes::from(number.to_string()) }
}

fn number(body: &[u8]) -> u64 {
    std::str::from_utf8(body).unwrap().parse().unwrap()
}

impl Model {
    /// The hold that an operation means, and whether its lease still counts.
    fn hold(&self, index: usize) -> Option<(Hold, bool)> {
        let hold = self.holds.get(index % self.holds.len().max(1))?.clone();
        let current = self.live.get(&hold.number).is_some_and(|message| message.lease == hold.token);
        Some((hold, current))
    }

    fn step(&mut self, file: &mut File, op: Op) {
        let now = self.now;
        match op {
            Op::Pass { time } => self.now += time,
            Op::Publish { delay } => {
                let message = outgoing(&file.queue, self.published);
                file.change(|connection| rows::publish(connection, &message, now, now + delay)).unwrap();
                let fresh = Message { ready_at: now + delay, lease: 0, deliveries: 0, attempts: 0 };
                self.live.insert(self.published, fresh);
                self.published += 1;
            }
            Op::Take { limit } => self.take(file, limit),
            Op::Forward { hold, missing, conflict } => self.forward(file, hold, missing, conflict),
            Op::Retry { hold, after, attempts } => {
                self.give_back(file, hold, |_| now + after, Some(attempts));
            }
            Op::Release { hold } => self.give_back(file, hold, |hold| hold.ready_at, None),
            Op::Untake { hold } => {
                let Some((hold, current)) = self.hold(hold) else { return };
                file.change(|connection| rows::untake(connection, hold.id, hold.token, hold.ready_at))
                    .unwrap();
                if current {
                    let message = self.live.get_mut(&hold.number).unwrap();
                    (message.lease, message.ready_at) = (0, hold.ready_at);
                    message.deliveries -= 1;
                }
            }
            Op::Bury { hold } => {
                let Some((hold, current)) = self.hold(hold) else { return };
                let result =
                    file.change(|connection| rows::bury(connection, hold.id, hold.token, "why", now));
                assert_eq!(current, result.is_ok(), "{hold:?}: {result:?}");
                if current {
                    let message = self.live.remove(&hold.number).unwrap();
                    self.dead.insert(hold.number, message.attempts);
                }
            }
            Op::Renew { hold } => {
                let Some((hold, current)) = self.hold(hold) else { return };
                let until = now + LEASE;
                let renewed =
                    file.change(|connection| rows::renew(connection, hold.id, hold.token, until)).unwrap();
                assert_eq!(current, renewed, "{hold:?}");
                if current {
                    self.live.get_mut(&hold.number).unwrap().ready_at = until;
                }
            }
            Op::Revive { letter } | Op::Discard { letter } => {
                let Some(number) = self.dead.keys().nth(letter % self.dead.len().max(1)).copied() else {
                    return;
                };
                let revive = matches!(op, Op::Revive { .. });
                let queue = file.queue.clone();
                let there = file.change(|connection| {
                    let sql = "SELECT id FROM bodies JOIN dead USING (id) WHERE body = CAST(?1 AS BLOB)";
                    let id: i64 = connection.query_row(sql, [number.to_string()], |row| row.get(0))?;
                    let queue = rows::queue_id(connection, &queue)?;
                    if revive {
                        rows::revive(connection, queue, id, now)
                    } else {
                        rows::discard(connection, queue, id)
                    }
                });
                assert!(there.unwrap());
                self.dead.remove(&number);
                if revive {
                    let fresh = Message { ready_at: now, lease: 0, deliveries: 0, attempts: 0 };
                    self.live.insert(number, fresh);
                }
            }
        }
    }

    fn take(&mut self, file: &mut File, limit: usize) {
        let (now, token, queue) = (self.now, self.next_token + 1, file.queue.clone());
        self.next_token += i64::try_from(limit).unwrap();
        let take =
            file.change(|connection| rows::take(connection, &queue, limit, token, now, now + LEASE)).unwrap();
        let mut ready: Vec<_> = self.live.iter().filter(|(_, message)| message.ready_at <= now).collect();
        ready.sort_by_key(|(number, message)| (message.ready_at, **number));
        let expected: Vec<u64> = ready.into_iter().take(limit).map(|(number, _)| *number).collect();
        let taken: Vec<u64> = take.messages.iter().map(|taken| number(&taken.body)).collect();
        assert_eq!(taken, expected);
        for taken in take.messages {
            let number = number(&taken.body);
            let message = self.live.get_mut(&number).unwrap();
            message.deliveries += 1;
            assert_eq!((taken.deliveries, taken.attempts), (message.deliveries, message.attempts));
            assert_eq!(taken.ready_at, message.ready_at);
            (message.lease, message.ready_at) = (taken.token, now + LEASE);
            self.holds.push(Hold { number, id: taken.id, token: taken.token, ready_at: taken.ready_at });
        }
        if expected.len() < limit {
            let soonest = self.live.values().map(|message| message.ready_at).min();
            assert_eq!(take.next_at, soonest);
        }
    }

    fn forward(&mut self, file: &mut File, hold: usize, missing: bool, conflict: bool) {
        let Some((hold, current)) = self.hold(hold) else { return };
        let mut messages = vec![outgoing(&file.onward, hold.number)];
        if missing {
            messages.push(outgoing(&Queue::named("asya-none"), hold.number));
        }
        let expect = if conflict { Expect::Version(999_999) } else { Expect::Anything };
        let write = Write { table: "t", key: "k".to_owned(), value: Some(Bytes::from_static(b"v")), expect };
        let now = self.now;
        let result = file.change(|connection| {
            rows::forward(connection, hold.id, hold.token, &messages, std::slice::from_ref(&write), now)
        });
        match result {
            Ok(()) => {
                assert!(current && !missing && !conflict);
                self.live.remove(&hold.number);
                self.forwarded.push(hold.number);
                self.records += 1;
            }
            Err(Fault::Lost) => assert!(!current),
            Err(Fault::Transport(_)) => assert!(current && missing),
            Err(Fault::Conflict(_)) => assert!(current && !missing && conflict),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn give_back(
        &mut self,
        file: &mut File,
        hold: usize,
        ready_at: impl Fn(&Hold) -> i64,
        attempts: Option<u32>,
    ) {
        let Some((hold, current)) = self.hold(hold) else { return };
        let ready_at = ready_at(&hold);
        let result =
            file.change(|connection| rows::give_back(connection, hold.id, hold.token, ready_at, attempts));
        assert_eq!(current, result.is_ok(), "{hold:?}: {result:?}");
        if current {
            let message = self.live.get_mut(&hold.number).unwrap();
            (message.lease, message.ready_at) = (0, ready_at);
            message.attempts = attempts.unwrap_or(message.attempts);
        }
    }

    fn check(&self, file: &File) {
        let count = |condition: &dyn Fn(&Message) -> bool| {
            self.live.values().filter(|message| condition(message)).count() as u64
        };
        let expected = Depth {
            ready: count(&|message| message.ready_at <= self.now),
            in_flight: count(&|message| message.ready_at > self.now && message.lease != 0),
            delayed: count(&|message| message.ready_at > self.now && message.lease == 0),
            dead: self.dead.len() as u64,
        };
        let queue = rows::queue_id(&file.connection, &file.queue).unwrap();
        assert_eq!(rows::depth(&file.connection, queue, self.now).unwrap(), expected);
    }

    /// Every message that was published is in exactly one place, and no body is left over.
    fn finish(&self, file: &File) {
        let onward: Vec<u64> = file
            .connection
            .prepare(
                "SELECT body FROM messages JOIN bodies USING (id) JOIN queues ON queue = queues.id
                      WHERE name = 'asya-b' ORDER BY ready_at, messages.id",
            )
            .unwrap()
            .query_map([], |row| Ok(number(&row.get::<_, Vec<u8>>(0)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(onward, self.forwarded);
        let count = |sql: &str| file.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let bodies = self.live.len() + self.dead.len() + self.forwarded.len();
        assert_eq!(count("SELECT count(*) FROM bodies"), i64::try_from(bodies).unwrap());
        let version = asya_store::sqlite::get(&file.connection, "t", "k").unwrap().map_or(0, |r| r.version);
        assert_eq!(version, self.records);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_of_outcomes_does_what_the_model_says(ops in proptest::collection::vec(op(), 1..120)) {
        let (mut file, mut model) = (File::new(), Model::default());
        for op in ops {
            model.step(&mut file, op);
            model.check(&file);
        }
        model.finish(&file);
    }
}
