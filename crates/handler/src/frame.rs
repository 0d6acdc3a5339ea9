//! Frames: a 4-byte big-endian length, then that many bytes. Pure; the sockets are elsewhere.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut, buf::Limit};

use crate::budget::Grant;

/// Bytes of the length before each body.
pub const PREFIX: usize = 4;
/// Bytes of the header of a streaming body: type and request id.
pub const HEADER: usize = 9;
/// Added to the largest reply for headers and metadata.
pub const MARGIN: usize = 64 * 1024;
/// Largest body unless the handshake says otherwise: the largest reply and some room for metadata.
pub const DEFAULT_CAP: usize = 64 * 1024 * 1024 + MARGIN;
/// Size of a connection's read buffer: many small frames per read. A frame that does not fit gets memory of its own.
const CHUNK: usize = 64 * 1024;
/// Up to this size a copy is cheaper than one more slice in a vectored write.
const COPY: usize = 16 * 1024;
/// Slices in one vectored write; systems take at least 16 and usually 1,024.
const SLICES: usize = 64;

/// Why a byte stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A body is longer than the cap. It is not read.
    #[error("a frame of {length} bytes is over the cap of {cap}")]
    TooLarge {
        /// Length that the frame claims.
        length: usize,
        /// The cap.
        cap: usize,
        /// The request it belongs to, if it is a streaming frame.
        id: u64,
    },
}

/// What [`Decoder::next_frame`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole body.
    Frame(Bytes),
    /// More bytes must be read first.
    More,
    /// A large body of this size has begun: nothing more is read until [`Decoder::admit`].
    Large(usize),
}

/// Finds frames in a byte stream, however it is cut. Memory: one buffer of 64 KiB, and one body below the cap.
#[derive(Debug)]
pub struct Decoder {
    cap: usize,
    buffer: Vec<u8>,
    start: usize,
    large: Option<Large>,
}

#[derive(Debug)]
struct Large {
    length: usize,
    admitted: bool,
    body: Vec<u8>,
    grant: Option<Grant>,
}

/// A body and the memory it was granted; both go together.
struct Granted {
    body: Vec<u8>,
    _grant: Grant,
}

impl AsRef<[u8]> for Granted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Decoder {
    /// A decoder that refuses bodies longer than `cap`.
    pub fn new(cap: usize) -> Self {
        Self { cap, buffer: Vec::with_capacity(CHUNK), start: 0, large: None }
    }

    /// Changes the cap; for a connection that learns it in the handshake.
    pub fn set_cap(&mut self, cap: usize) {
        self.cap = cap;
    }

    /// Lets `read` append what it reads, within bounds. Zero room is never offered unless a large body waits for
    /// [`Decoder::admit`] or frames have not been taken.
    pub fn fill<R>(&mut self, read: impl FnOnce(&mut Limit<&mut Vec<u8>>) -> R) -> R {
        if let Some(large) = self.large.as_mut().filter(|large| large.admitted) {
            let room = large.length - large.body.len();
            return read(&mut (&mut large.body).limit(room));
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let room = CHUNK - self.buffer.len();
        read(&mut (&mut self.buffer).limit(room))
    }

    /// Takes the next frame.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is of no use any more.
    pub fn next_frame(&mut self) -> Result<Step, FrameError> {
        if let Some(large) = &self.large {
            if !large.admitted {
                return Ok(Step::Large(large.length));
            }
            if large.body.len() < large.length {
                return Ok(Step::More);
            }
            let large = self.large.take().expect("looked at above");
            return Ok(Step::Frame(match large.grant {
                Some(grant) => Bytes::from_owner(Granted { body: large.body, _grant: grant }),
                None => large.body.into(),
            }));
        }
        let rest = &self.buffer[self.start..];
        let Some((length, body)) = rest.split_first_chunk::<PREFIX>() else { return Ok(Step::More) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.cap {
            // The header tells whose reply it is; more than a header is coming, because the cap is larger.
            let Some(id) = body.get(1..HEADER) else { return Ok(Step::More) };
            let id = u64::from_be_bytes(id.try_into().expect("eight bytes were asked for"));
            return Err(FrameError::TooLarge { length, cap: self.cap, id });
        }
        if let Some(body) = body.get(..length) {
            // A copy, so that one small body that is kept does not keep the whole buffer.
            let frame = Bytes::copy_from_slice(body);
            self.start += PREFIX + length;
            return Ok(Step::Frame(frame));
        }
        if PREFIX + length <= CHUNK {
            return Ok(Step::More);
        }
        self.large = Some(Large { length, admitted: false, body: Vec::new(), grant: None });
        Ok(Step::Large(length))
    }

    /// Lets the large body that [`Step::Large`] announced be read; the grant lives as long as its bytes.
    pub fn admit(&mut self, grant: Option<Grant>) {
        let Some(large) = &mut self.large else { return };
        let begun = &self.buffer[self.start + PREFIX..];
        large.body.reserve_exact(large.length);
        large.body.extend_from_slice(begun);
        large.grant = grant;
        large.admitted = true;
        self.buffer.clear();
        self.start = 0;
    }

    /// True when the stream may end here without cutting a frame.
    pub fn at_boundary(&self) -> bool {
        self.large.is_none() && self.start == self.buffer.len()
    }
}

/// Frames on their way out of one connection: small ones are copied together, large bodies are only referred to.
#[derive(Debug, Default)]
pub struct WriteQueue {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
}

impl WriteQueue {
    /// Appends one frame whose body is written by `body`.
    pub fn frame(&mut self, body: impl FnOnce(&mut Self)) {
        let before = self.len();
        let at = (self.chunks.len(), self.tail.len());
        self.tail.put_u32(0);
        body(self);
        let length = u32::try_from(self.len() - before - PREFIX).expect("frames are capped far below 4 GiB");
        // The prefix is in the tail, or in the chunk that the tail became when a large slice was appended.
        if self.chunks.len() == at.0 {
            self.tail[at.1..at.1 + PREFIX].copy_from_slice(&length.to_be_bytes());
        } else {
            let chunk = std::mem::take(&mut self.chunks[at.0]);
            let mut chunk = BytesMut::from(chunk);
            chunk[at.1..at.1 + PREFIX].copy_from_slice(&length.to_be_bytes());
            self.chunks[at.0] = chunk.freeze();
        }
    }

    /// Appends bytes to the frame that is being written.
    pub fn put(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    /// Appends bytes that may be large and need not be copied.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPY {
            return self.put(bytes);
        }
        self.chunks.push_back(self.tail.split().freeze());
        self.chunks.push_back(bytes.clone());
    }

    /// Appends a section: a length and the bytes that `content` writes. `content` must not use
    /// [`WriteQueue::put_shared`].
    pub fn section(&mut self, content: impl FnOnce(&mut BytesMut)) {
        let at = self.tail.len();
        self.tail.put_u32(0);
        content(&mut self.tail);
        let length = u32::try_from(self.tail.len() - at - PREFIX).expect("frames are capped far below 4 GiB");
        self.tail[at..at + PREFIX].copy_from_slice(&length.to_be_bytes());
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.tail.is_empty()
    }

    /// Offers what waits to `write` as slices; it returns how many bytes it took, and those are removed.
    ///
    /// # Errors
    /// Whatever `write` returns.
    pub fn drain<E>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<usize, E> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for chunk in self.chunks.iter().take(SLICES - 1) {
            slices[used] = IoSlice::new(chunk);
            used += 1;
        }
        if self.chunks.len() < SLICES {
            slices[used] = IoSlice::new(&self.tail);
            used += 1;
        }
        let written = write(&slices[..used])?;
        let mut left = written;
        while let Some(chunk) = self.chunks.front_mut() {
            if left < chunk.len() {
                chunk.advance(left);
                return Ok(written);
            }
            left -= chunk.len();
            self.chunks.pop_front();
        }
        self.tail.advance(left);
        if self.tail.is_empty() {
            // Gives the room of what was written back to the next frames.
            self.tail.clear();
        }
        Ok(written)
    }

    /// Takes everything that waits as one buffer.
    pub fn take(&mut self) -> Bytes {
        if self.chunks.is_empty() {
            return self.tail.split().freeze();
        }
        let mut all = BytesMut::with_capacity(self.len());
        for chunk in self.chunks.drain(..) {
            all.put_slice(&chunk);
        }
        all.put_slice(&self.tail.split());
        all.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames_of(decoder: &mut Decoder, stream: &[u8], cut: &[usize]) -> Result<Vec<Bytes>, FrameError> {
        let mut found = Vec::new();
        let (mut at, mut cuts) = (0, cut.iter().copied().cycle());
        loop {
            match decoder.next_frame()? {
                Step::Frame(body) => found.push(body),
                Step::Large(_) => decoder.admit(None),
                Step::More if at == stream.len() => return Ok(found),
                Step::More => {
                    let want = cuts.next().unwrap_or(usize::MAX).max(1).min(stream.len() - at);
                    at += decoder.fill(|room| {
                        let take = want.min(room.remaining_mut());
                        room.put_slice(&stream[at..at + take]);
                        take
                    });
                }
            }
        }
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_stream_is_cut(
            sizes in proptest::collection::vec(prop_oneof![0..64usize, 0..200_000usize], 0..12),
            cut in proptest::collection::vec(1..100_000usize, 1..8),
        ) {
            let bodies: Vec<Bytes> =
                sizes.iter().enumerate().map(|(i, n)| Bytes::from(vec![i as u8; *n])).collect();
            let mut queue = WriteQueue::default();
            for body in &bodies {
                queue.frame(|out| out.put_shared(body));
            }
            let mut stream = Vec::new();
            while !queue.is_empty() {
                queue.drain(|slices| {
                    let slice = slices.iter().find(|s| !s.is_empty()).expect("something waits");
                    let take = slice.len().min(cut[0]);
                    stream.extend_from_slice(&slice[..take]);
                    Ok::<_, ()>(take)
                }).unwrap();
            }
            let mut decoder = Decoder::new(200_000);
            prop_assert_eq!(frames_of(&mut decoder, &stream, &cut).unwrap(), bodies);
            prop_assert!(decoder.at_boundary());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic_or_hold_more_than_the_cap(
            stream in proptest::collection::vec(any::<u8>(), 0..4096),
            cut in proptest::collection::vec(1..500usize, 1..4),
        ) {
            let mut decoder = Decoder::new(70_000);
            let _ = frames_of(&mut decoder, &stream, &cut);
            let held = decoder.buffer.capacity() + decoder.large.map_or(0, |large| large.body.capacity());
            prop_assert!(held <= CHUNK + 70_000);
        }
    }

    #[test]
    fn a_frame_over_the_cap_is_refused_and_says_whose_it_is() {
        let mut stream = 1001_u32.to_be_bytes().to_vec();
        stream.push(0x12);
        stream.extend(7_u64.to_be_bytes());
        let refused = frames_of(&mut Decoder::new(1000), &stream, &[3]);
        assert_eq!(refused, Err(FrameError::TooLarge { length: 1001, cap: 1000, id: 7 }));
    }

    #[test]
    fn a_large_body_waits_until_it_is_admitted_and_its_grant_lives_as_long_as_its_bytes() {
        let budget = crate::Budget::new(200 * 1024);
        let mut queue = WriteQueue::default();
        queue.frame(|out| out.put(&vec![1; 100 * 1024]));
        let stream = queue.take();
        let mut decoder = Decoder::new(DEFAULT_CAP);
        decoder.fill(|room| room.put_slice(&stream[..CHUNK]));
        assert_eq!(decoder.next_frame(), Ok(Step::Large(100 * 1024)));
        assert_eq!(decoder.next_frame(), Ok(Step::Large(100 * 1024)));
        decoder.admit(budget.try_take(100 * 1024));
        decoder.fill(|room| room.put_slice(&stream[CHUNK..]));
        let Ok(Step::Frame(body)) = decoder.next_frame() else { panic!("must be complete") };
        let part = body.slice(10..20);
        drop(body);
        assert_eq!(budget.free(), 100 * 1024);
        drop(part);
        assert_eq!(budget.free(), 200 * 1024);
    }
}
