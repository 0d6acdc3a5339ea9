//! Requests in tens: what waits for a queue while a request is on the wire goes out together.
//!
//! Nothing waits for company: the first item goes out alone at once, and the batches grow with the load. Each item is
//! answered alone. What waits is bounded by its callers, each of which waits for its own item.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use asya_envelope::Queue;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Most entries of one request, by the service.
pub(super) const MAX_ENTRIES: usize = 10;
/// Requests on the wire at a time and per queue.
const MAX_REQUESTS: usize = 8;

/// Carries out at most [`MAX_ENTRIES`] items and answers each, in their order.
type Run<T, A> = Box<dyn Fn(Queue, Vec<T>) -> BoxFuture<'static, Vec<A>> + Send + Sync>;

/// Collects items by queue.
pub(super) struct Batcher<T, A> {
    lanes: Mutex<HashMap<Queue, Lane<T, A>>>,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    run: Run<T, A>,
}

struct Lane<T, A> {
    waiting: VecDeque<(T, oneshot::Sender<A>)>,
    requests: usize,
}

impl<T: Send + 'static, A: Send + 'static> Batcher<T, A> {
    pub(super) fn new(tasks: TaskTracker, run: Run<T, A>) -> Arc<Self> {
        Arc::new(Self { lanes: Mutex::default(), tasks, runtime: tokio::runtime::Handle::current(), run })
    }

    /// Puts an item in line at once; the future yields its answer, or `None` when the runtime ends first.
    pub(super) fn submit(
        self: &Arc<Self>,
        queue: &Queue,
        item: T,
    ) -> impl Future<Output = Option<A>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let start = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let lane =
                lanes.entry(queue.clone()).or_insert_with(|| Lane { waiting: VecDeque::new(), requests: 0 });
            lane.waiting.push_back((item, answer));
            let start = lane.requests < MAX_REQUESTS;
            lane.requests += usize::from(start);
            start
        };
        if start {
            self.tasks.spawn_on(Arc::clone(self).work(queue.clone()), &self.runtime);
        }
        async move { answered.await.ok() }
    }

    async fn work(self: Arc<Self>, queue: Queue) {
        loop {
            // Those who were woken together get in line together.
            tokio::task::yield_now().await;
            let Some((items, answers)) = self.take(&queue) else { return };
            if items.is_empty() {
                continue;
            }
            let results = (self.run)(queue.clone(), items).await;
            for (answer, result) in answers.into_iter().zip(results) {
                // Whoever asked may have gone; it is done all the same.
                let _ = answer.send(result);
            }
        }
    }

    /// The next batch; `None` ends the worker.
    fn take(&self, queue: &Queue) -> Option<(Vec<T>, Vec<oneshot::Sender<A>>)> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.get_mut(queue)?;
        if lane.waiting.is_empty() {
            lane.requests -= 1;
            if lane.requests == 0 {
                lanes.remove(queue);
            }
            return None;
        }
        let count = lane.waiting.len().min(MAX_ENTRIES);
        Some(lane.waiting.drain(..count).filter(|(_, answer)| !answer.is_closed()).unzip())
    }
}

/// Cuts items of these sizes, in order, into batches of at most `max_count` items and `max_bytes` bytes. An item that
/// is larger by itself gets a batch of its own.
pub(super) fn pack(sizes: &[usize], max_count: usize, max_bytes: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, &size) in sizes.iter().enumerate() {
        if index > start && (index - start == max_count || bytes + size > max_bytes) {
            batches.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        batches.push(start..sizes.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn batches_end_at_ten_entries_and_at_the_byte_limit() {
        assert_eq!(pack(&[1; 23], 10, 100), [0..10, 10..20, 20..23]);
        assert_eq!(pack(&[60, 40, 1, 99, 100], 10, 100), [0..2, 2..4, 4..5]);
        assert_eq!(pack(&[5, 500, 5], 10, 100), [0..1, 1..2, 2..3]);
        assert!(pack(&[], 10, 100).is_empty());
    }

    proptest! {
        #[test]
        fn packing_keeps_every_item_once_and_in_order(
            sizes in prop::collection::vec(0usize..300, 0..60),
            max_count in 1usize..11,
            max_bytes in 1usize..400,
        ) {
            let batches = pack(&sizes, max_count, max_bytes);
            let covered: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(covered, (0..sizes.len()).collect::<Vec<_>>());
            for batch in batches {
                prop_assert!(!batch.is_empty() && batch.len() <= max_count);
                let bytes: usize = sizes[batch.clone()].iter().sum();
                prop_assert!(bytes <= max_bytes || batch.len() == 1);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn items_that_wait_go_out_together_and_each_gets_its_own_answer() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let batcher = Batcher::<u32, u32>::new(
            TaskTracker::new(),
            Box::new(move |_, items| {
                seen.lock().unwrap().push(items.len());
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    items.into_iter().map(|item| item * 2).collect()
                })
            }),
        );
        let queue = Queue::named("q");
        let answers: Vec<_> = (0..25).map(|item| batcher.submit(&queue, item)).collect();
        for (item, answer) in (0..25).zip(answers) {
            assert_eq!(answer.await, Some(item * 2));
        }
        assert_eq!(*sizes.lock().unwrap(), [10, 10, 5]);
        assert!(batcher.lanes.lock().unwrap().values().all(|lane| lane.waiting.is_empty()));
    }
}
