//! The three requests that go out in tens: send, delete, hide. Each entry succeeds or fails alone, and is tried again
//! alone when it is not to blame.

use std::{collections::HashMap, time::Duration};

use asya_envelope::Queue;
use aws_sdk_sqs::{
    Client,
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        MessageAttributeValue, SendMessageBatchRequestEntry,
    },
};
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};

use super::{
    Service,
    batch::{MAX_ENTRIES, pack},
    config::seconds,
    directory::Address,
    failure::Failure,
};

/// Tries of an entry that failed alone; the client itself tries whole requests again.
const ENTRY_RETRIES: usize = 4;
/// The first pause before an entry is tried again; doubled each time.
const ENTRY_PAUSE: Duration = Duration::from_millis(100);
/// The type of every attribute that we write.
const STRING: &str = "String";

/// A message to be sent.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub body: Bytes,
    /// At most 900 s.
    pub delay: Duration,
    /// Beside the body; they count towards its size.
    pub attributes: Vec<(&'static str, String)>,
}

/// A message to be hidden for a time from now on.
#[derive(Clone, Debug)]
pub(super) struct Hide {
    pub receipt: String,
    pub period: Duration,
}

impl Letter {
    /// Its size as the service counts.
    pub(super) fn size(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(name, value)| name.len() + STRING.len() + value.len()).sum();
        self.body.len() + attributes
    }

    fn entry(&self, id: usize) -> SendMessageBatchRequestEntry {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let mut entry = SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(body);
        if !self.delay.is_zero() {
            entry = entry.delay_seconds(seconds(self.delay));
        }
        for (name, value) in &self.attributes {
            let value = MessageAttributeValue::builder().data_type(STRING).string_value(value);
            entry = entry.message_attributes(*name, value.build().expect("the type is set"));
        }
        entry.build().expect("id and body are set")
    }
}

pub(super) async fn send(service: &Service, queue: &Queue, letters: Vec<Letter>) -> Vec<Result<(), Failure>> {
    let check = |letter: &Letter, address: &Address| {
        acceptable(&letter.body)?;
        let (size, limit) = (letter.size(), address.max_message);
        if size > limit { Err(Failure::Over { size, limit }) } else { Ok(()) }
    };
    each_alone(service, queue, letters, Letter::size, check, |client, url, entries| {
        Box::pin(async move {
            let entries = entries.iter().map(|(id, letter)| letter.entry(*id)).collect();
            let sent = client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await;
            let sent = sent.map_err(|error| Failure::of(&error))?;
            Ok(verdicts(sent.successful.iter().map(|entry| entry.id.as_str()), &sent.failed))
        })
    })
    .await
}

pub(super) async fn delete(
    service: &Service,
    queue: &Queue,
    receipts: Vec<String>,
) -> Vec<Result<(), Failure>> {
    each_alone(
        service,
        queue,
        receipts,
        |_| 0,
        |_, _| Ok(()),
        |client, url, entries| {
            Box::pin(async move {
                let entries = entries.iter().map(|(id, receipt)| {
                    DeleteMessageBatchRequestEntry::builder()
                        .id(id.to_string())
                        .receipt_handle(receipt.as_str())
                        .build()
                        .expect("id and receipt are set")
                });
                let deleted = client
                    .delete_message_batch()
                    .queue_url(url)
                    .set_entries(Some(entries.collect()))
                    .send()
                    .await;
                let deleted = deleted.map_err(|error| Failure::of(&error))?;
                Ok(verdicts(deleted.successful.iter().map(|entry| entry.id.as_str()), &deleted.failed))
            })
        },
    )
    .await
}

pub(super) async fn hide(service: &Service, queue: &Queue, hides: Vec<Hide>) -> Vec<Result<(), Failure>> {
    each_alone(
        service,
        queue,
        hides,
        |_| 0,
        |_, _| Ok(()),
        |client, url, entries| {
            Box::pin(async move {
                let entries = entries.iter().map(|(id, hide)| {
                    ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(id.to_string())
                        .receipt_handle(&hide.receipt)
                        .visibility_timeout(seconds(hide.period))
                        .build()
                        .expect("id and receipt are set")
                });
                let hidden = client
                    .change_message_visibility_batch()
                    .queue_url(url)
                    .set_entries(Some(entries.collect()))
                    .send()
                    .await;
                let hidden = hidden.map_err(|error| Failure::of(&error))?;
                Ok(verdicts(hidden.successful.iter().map(|entry| entry.id.as_str()), &hidden.failed))
            })
        },
    )
    .await
}

/// Whether the service takes these characters. It refuses what XML 1.0 cannot carry, among it U+FFFE and U+FFFF, which
/// JSON permits.
pub(super) fn acceptable(body: &[u8]) -> Result<(), Failure> {
    let refused = |reason: String| Err(Failure::Refused(reason));
    let Ok(text) = std::str::from_utf8(body) else {
        return refused("sqs takes text in UTF-8 only".to_owned());
    };
    if text.is_empty() {
        return refused("sqs takes no empty messages".to_owned());
    }
    match text.char_indices().find(|(_, c)| !permitted(*c)) {
        Some((at, c)) => refused(format!(
            "sqs does not take the character U+{:04X} (at byte {at}); write it as an escape in the JSON",
            u32::from(c)
        )),
        None => Ok(()),
    }
}

/// The characters of XML 1.0.
pub(super) fn permitted(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// What became of each entry that the answer names.
type Verdicts = HashMap<usize, Result<(), Failure>>;

fn verdicts<'a>(done: impl Iterator<Item = &'a str>, failed: &[BatchResultErrorEntry]) -> Verdicts {
    let failed = failed.iter().map(|entry| (entry.id(), Err(Failure::of_entry(entry))));
    done.map(|id| (id, Ok(())))
        .chain(failed)
        .filter_map(|(id, verdict)| Some((id.parse().ok()?, verdict)))
        .collect()
}

/// Carries out one kind of request for all items: packed by count and bytes, entries tried again alone, an address
/// that has gone stale looked up once more.
async fn each_alone<T: Sync>(
    service: &Service,
    queue: &Queue,
    items: Vec<T>,
    size: impl Fn(&T) -> usize,
    check: impl Fn(&T, &Address) -> Result<(), Failure>,
    call: impl for<'a> Fn(&'a Client, &'a str, Vec<(usize, &'a T)>) -> BoxFuture<'a, Result<Verdicts, Failure>>,
) -> Vec<Result<(), Failure>> {
    let mut results: Vec<Option<Result<(), Failure>>> = items.iter().map(|_| None).collect();
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(ENTRY_PAUSE)
        .with_jitter()
        .with_max_times(ENTRY_RETRIES)
        .build();
    let (mut max_entries, mut looked_again) = (MAX_ENTRIES, false);
    let failure = loop {
        let address = match service.directory.lookup(queue).await {
            Ok(address) => address,
            Err(failure) => break failure,
        };
        let mut open: Vec<usize> = (0..items.len()).filter(|&i| results[i].is_none()).collect();
        for &index in &open {
            results[index] = check(&items[index], &address).err().map(Err);
        }
        open.retain(|&index| results[index].is_none());
        if open.is_empty() {
            break nothing_left();
        }
        let sizes: Vec<usize> = open.iter().map(|&index| size(&items[index])).collect();
        let batches = pack(&sizes, max_entries, address.max_batch());
        let answers = join_all(batches.iter().map(|batch| {
            let entries = open[batch.clone()].iter().map(|&index| (index, &items[index])).collect();
            call(&service.client, &address.url, entries)
        }))
        .await;
        let mut again = None;
        let (mut stale, mut split) = (false, false);
        for (batch, answer) in batches.into_iter().zip(answers) {
            let batch = &open[batch];
            match answer {
                Ok(mut verdicts) => {
                    for &index in batch {
                        match verdicts.remove(&index) {
                            Some(Err(Failure::Again(reason))) => again = Some(reason),
                            Some(verdict) => results[index] = Some(verdict),
                            None => again = Some("the answer does not name the entry".to_owned()),
                        }
                    }
                }
                Err(Failure::Missing) if !looked_again => {
                    service.directory.forget(queue);
                    stale = true;
                }
                Err(Failure::TooLong(_)) if batch.len() > 1 => {
                    max_entries = 1;
                    split = true;
                }
                Err(Failure::TooLong(_)) => {
                    // Its limit is below what it says of itself.
                    let size = size(&items[batch[0]]);
                    let limit = address.max_message.min(size.saturating_sub(1));
                    results[batch[0]] = Some(Err(Failure::Over { size, limit }));
                }
                Err(failure) => {
                    for &index in batch {
                        results[index] = Some(Err(failure.clone()));
                    }
                }
            }
        }
        looked_again |= stale;
        match again {
            None if stale || split => {}
            None => break nothing_left(),
            Some(reason) => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break Failure::Again(reason),
            },
        }
    };
    results.into_iter().map(|result| result.unwrap_or_else(|| Err(failure.clone()))).collect()
}

/// Why the tries end when every entry has its verdict; no entry is left to be given it.
fn nothing_left() -> Failure {
    Failure::Again("not tried".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_the_service_refuses_are_named() {
        assert_eq!(acceptable("{\"a\":\"ä\u{1F600}\\u0000\t\"}".as_bytes()), Ok(()));
        for (bad, named) in [("\u{FFFE}", "U+FFFE"), ("\u{FFFF}", "U+FFFF"), ("\u{1}", "U+0001")] {
            let Err(Failure::Refused(reason)) = acceptable(format!("\"{bad}\"").as_bytes()) else {
                panic!("{named} was taken");
            };
            assert!(reason.contains(named), "{reason}");
        }
        assert!(acceptable(b"").is_err());
        assert!(acceptable(b"\xff").is_err());
    }

    #[test]
    fn attributes_count_towards_the_size() {
        let letter = Letter {
            body: Bytes::from_static(b"12345"),
            delay: Duration::ZERO,
            attributes: vec![("ab", "cde".to_owned())],
        };
        assert_eq!(letter.size(), 5 + 2 + 6 + 3);
    }
}
