#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::Semaphore;

use super::*;

#[test]
fn a_key_is_read_as_it_was_written_and_nothing_else_is_one() {
    for id in ["17", "body-0123:4-1", "", "broker:x:y", "ä/b c"] {
        let key = Key { actor: "ocr-1".to_owned(), id: id.to_owned() };
        assert_eq!(Key::parse(&key.to_string()), Some(key));
    }
    for text in ["", "ocr:17", "broker:17", "broker::17", "broker:OCR:17", "broker:asya-ocr:17", "0197e3a2"] {
        assert_eq!(Key::parse(text), None, "{text}");
    }
}

#[test]
fn a_reason_has_the_code_in_front_of_it() {
    assert_eq!(told("poison: delivered 20 times"), ("poison", "delivered 20 times"));
    assert_eq!(told("no code: here"), (NO_CODE, "no code: here"));
    assert_eq!(told("late"), (NO_CODE, "late"));
    assert_eq!(told(""), (NO_CODE, MOVED));
}

/// Actors `a0`, `a1`, …, of which every third is known to have no dead letters.
struct Many(usize);

impl Source for Many {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        let actor = |number: usize| Actor {
            name: format!("a{number}"),
            queue: format!("asya-a{number}"),
            dead: [Some(0), Some(5), None][number % 3],
            ..Actor::default()
        };
        let actors = (0..self.0).map(actor).collect();
        async move { Ok(actors) }.boxed()
    }
}

/// A broker that answers when it is let, and counts how many look at a time and how many looks have ended.
#[derive(Default)]
struct Slow {
    let_go: Option<Arc<Semaphore>>,
    at_a_time: AtomicUsize,
    most: AtomicUsize,
    ended: AtomicUsize,
}

impl DeadLetters for Slow {
    fn list<'a>(
        &'a self,
        queue: &'a Queue,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>> {
        async move {
            let now = self.at_a_time.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if let Some(gate) = &self.let_go {
                gate.acquire().await.unwrap().forget();
            }
            self.at_a_time.fetch_sub(1, Ordering::SeqCst);
            self.ended.fetch_add(1, Ordering::SeqCst);
            let letter = |number: usize| DeadLetter {
                id: number.to_string(),
                body: Bytes::from(format!("{{\"id\": \"{queue}-{number}\"}}")),
                reason: "poison: it is".to_owned(),
                attempts: 0,
                dead_since: None,
                source: None,
            };
            Ok((0..limit.min(5)).map(letter).collect())
        }
        .boxed()
    }

    fn show<'a>(
        &'a self,
        queue: &'a Queue,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>> {
        async { Ok(self.list(queue, 1).await?.pop()) }.boxed()
    }

    fn replay<'a>(&'a self, _: &'a Queue, _: Selection) -> BoxFuture<'a, Result<u64, TransportError>> {
        async { Ok(0) }.boxed()
    }

    fn discard<'a>(&'a self, _: &'a Queue, _: Selection) -> BoxFuture<'a, Result<u64, TransportError>> {
        async { Ok(0) }.boxed()
    }
}

fn queues(slow: &Arc<Slow>, actors: usize) -> Arc<DeadQueues> {
    let dead = Arc::clone(slow) as Arc<dyn DeadLetters>;
    Arc::new(DeadQueues::new(dead, Arc::new(Many(actors)), Naming::bare()))
}

#[tokio::test]
async fn only_queues_that_may_have_something_are_looked_at_and_few_at_a_time() {
    let slow = Arc::new(Slow::default());
    let found = queues(&slow, 30).list(&DeadFilter::default(), 1000).await;
    assert_eq!((found.letters.len(), &found.warnings[..]), (100, &[][..]));
    assert_eq!(slow.ended.load(Ordering::SeqCst), 20);
    assert!((2..=AT_ONCE).contains(&slow.most.load(Ordering::SeqCst)));
    assert!(found.letters.iter().all(|dead| dead.body.is_empty() && dead.key.actor != "a0"));
    // Enough is enough.
    let slow = Arc::new(Slow::default());
    let found = queues(&slow, 300).list(&DeadFilter::default(), 7).await;
    assert_eq!(found.letters.len(), 7);
    assert!(found.warnings.iter().any(|text| text.contains("at most 7 are listed")), "{:?}", found.warnings);
    assert!(slow.ended.load(Ordering::SeqCst) <= 2 + AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_is_a_warning_in_time() {
    let slow = Arc::new(Slow { let_go: Some(Arc::new(Semaphore::new(0))), ..Slow::default() });
    let queues = queues(&slow, 30);
    let began = Instant::now();
    let found = queues.list(&DeadFilter::default(), 1000).await;
    assert!(found.letters.is_empty() && found.warnings[0].contains("not every"), "{:?}", found.warnings);
    let shown = queues.show(&Key { actor: "b".to_owned(), id: "0".to_owned() }).await;
    assert!(matches!(shown, Err(TransportError::Unavailable(_))), "{shown:?}");
    assert!(began.elapsed() <= PATIENCE * 2 + Duration::from_secs(1));
}

#[tokio::test]
async fn a_look_that_nobody_waits_for_any_more_gives_back_what_it_has() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = Arc::new(Slow { let_go: Some(Arc::clone(&gate)), ..Slow::default() });
    let queues = queues(&slow, 2);
    let filter = DeadFilter::default();
    {
        let mut list = std::pin::pin!(queues.list(&filter, 10));
        while slow.at_a_time.load(Ordering::SeqCst) == 0 {
            assert!(list.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    gate.add_permits(1);
    let ended = async {
        while slow.ended.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
}

#[tokio::test]
async fn one_looks_at_a_queue_at_a_time() {
    let slow = Arc::new(Slow::default());
    let queues = queues(&slow, 0);
    let filter = DeadFilter { actor: Some("a".to_owned()), ..DeadFilter::default() };
    let looks = futures::future::join_all((0..8).map(|_| queues.list(&filter, 10))).await;
    assert!(looks.iter().all(|found| found.letters.len() == 5));
    assert_eq!(slow.most.load(Ordering::SeqCst), 1);
}
