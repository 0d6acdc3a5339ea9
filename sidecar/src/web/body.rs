//! An answer's body: whole, by lines, or its beginning; within the largest reply and the memory budget.

use asya_handler::{Budget, Code, End, Failure, Fault, budget::Grant};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{
    WebConfig,
    answer::EXCERPT,
    call::{Clock, lost},
};

/// Bytes that are read before the budget is asked: most answers are smaller.
const FREE: usize = 64 * 1024;

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    body: Incoming,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no end of a line.
    searched: usize,
    /// Bytes that may still come.
    left: usize,
    /// Bytes that are taken from the budget at once: an answer that took them piece by piece could wait for another
    /// that does the same, for ever.
    whole: usize,
    max_reply: usize,
    budget: Option<Budget>,
    grant: Option<Grant>,
}

impl Reader {
    /// A reader; what its memory budget grants it holds until it is dropped.
    pub(super) fn new(config: &WebConfig, body: Incoming) -> Self {
        let said = body.size_hint().exact().and_then(|size| usize::try_from(size).ok());
        let (max_reply, budget) = (config.max_reply, config.budget.clone());
        let (buffer, whole) = (BytesMut::new(), said.unwrap_or(max_reply));
        Self { body, buffer, searched: 0, left: max_reply, whole, max_reply, budget, grant: None }
    }

    /// Spares what the body itself says it will not fit.
    ///
    /// # Errors
    /// The end of the run: too large.
    pub(super) fn refuse_if_too_large(&self) -> Result<(), End> {
        if self.whole > self.max_reply { Err(too_large(self.max_reply)) } else { Ok(()) }
    }

    /// All of it.
    ///
    /// # Errors
    /// The end of the run: too large, too late, or the connection broke.
    pub(super) async fn all(&mut self, clock: &mut Clock) -> Result<Bytes, End> {
        while self.fill(clock).await? {}
        Ok(self.buffer.split().freeze())
    }

    /// The next line that is not blank, without its end; `None` after the last one.
    ///
    /// # Errors
    /// As [`Reader::all`].
    pub(super) async fn line(&mut self, clock: &mut Clock) -> Result<Option<Bytes>, End> {
        if self.buffer.is_empty() {
            self.grant = None;
        }
        loop {
            let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            let line = match end {
                Some(end) => self.buffer.split_to(self.searched + end + 1),
                None => {
                    self.searched = self.buffer.len();
                    if self.fill(clock).await? {
                        continue;
                    }
                    if self.buffer.is_empty() {
                        return Ok(None);
                    }
                    self.buffer.split()
                }
            };
            self.searched = 0;
            let line = line.freeze();
            let text = line.trim_ascii();
            if !text.is_empty() {
                return Ok(Some(line.slice_ref(text)));
            }
        }
    }

    /// Its beginning, as far as it comes: of an error's body the status says enough.
    pub(super) async fn excerpt(&mut self, clock: &mut Clock) -> &[u8] {
        while self.buffer.len() < EXCERPT && matches!(self.fill(clock).await, Ok(true)) {}
        &self.buffer
    }

    /// Reads on; false at the end.
    async fn fill(&mut self, clock: &mut Clock) -> Result<bool, End> {
        loop {
            let data = match clock.within(self.body.frame()).await? {
                None => return Ok(false),
                Some(Err(error)) => return Err(lost(&error)),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(data) = data else { continue };
            self.left = self.left.checked_sub(data.len()).ok_or_else(|| too_large(self.max_reply))?;
            if let Some(budget) = self.budget.as_ref().filter(|_| self.grant.is_none())
                && self.buffer.len() + data.len() > FREE
            {
                self.grant = Some(clock.stopped(budget.take(self.whole)).await);
            }
            self.buffer.extend_from_slice(&data);
            return Ok(true);
        }
    }
}

fn too_large(max_reply: usize) -> End {
    let message = format!("the server's answer is larger than {max_reply} bytes (ASYA_MAX_REPLY)");
    End::Failed(Failure::new(Code::ReplyTooLarge, Fault::Final, message))
}
