//! Any bytes from a peer: nothing panics, no body is longer than the cap, and what can be read can be written and read
//! again. The first byte says how the stream is cut.
#![no_main]

use asya_handler::{
    answer,
    frame::{Decoder, Step, WriteQueue},
    message::{Hello, HelloAnswer, Message, Mode, parse_handshake},
};
use bytes::{BufMut, Bytes};
use libfuzzer_sys::fuzz_target;

const CAP: usize = 100_000;

fuzz_target!(|data: &[u8]| {
    let Some((cut, mut stream)) = data.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    let mut decoder = Decoder::new(CAP);
    loop {
        match decoder.next_frame() {
            Ok(Step::Frame(body)) => {
                assert!(body.len() <= CAP);
                look_at(&body);
            }
            Ok(Step::Large(_)) => decoder.admit(None),
            Ok(Step::More) if stream.is_empty() => return,
            Ok(Step::More) => {
                let taken = decoder.fill(|room| {
                    let take = cut.min(stream.len()).min(room.remaining_mut());
                    room.put_slice(&stream[..take]);
                    take
                });
                stream = &stream[taken..];
            }
            Err(_) => return,
        }
    }
});

fn look_at(body: &Bytes) {
    let _ = parse_handshake::<Hello>(body);
    let _ = parse_handshake::<HelloAnswer>(body);
    let _ = answer::one_shot(body);
    let Ok(message) = Message::parse(body) else { return };
    if let Message::Result(_, parts) = &message {
        let _ = answer::result(Mode::Payload, parts);
        let _ = answer::result(Mode::Envelope, parts);
    }
    if let Message::Progress(_, progress) = &message
        && !progress.fraction.is_finite()
    {
        return;
    }
    let mut out = WriteQueue::default();
    message.write(&mut out);
    let written = out.take();
    assert_eq!(Message::parse(&written.slice(4..)).expect("own words can be read"), message);
}
