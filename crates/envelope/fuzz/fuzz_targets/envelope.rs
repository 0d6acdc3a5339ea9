//! Any bytes: parsing does not panic, what parses comes back from its own encoding, its platform headers are read or refused, and
//! what does not parse can be wrapped.
#![no_main]

use asya_envelope::{Approved, Budget, Envelope, ErrorReport, Limits, Spent, Wrapped, lineage};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let report = ErrorReport::new("fuzz", "fuzz", "fuzz", 1, jiff::Timestamp::UNIX_EPOCH);
    let wrapped = match Envelope::parse(body.clone()) {
        Ok(envelope) => {
            assert_eq!(Envelope::parse(envelope.encode()).expect("own encoding parses"), envelope);
            let _ = (Budget::of(&envelope.headers), Spent::of(&envelope.headers), Approved::here(&envelope));
            let _ = lineage::descends(&envelope, "a");
            report.wrap(&envelope, &Limits::default())
        }
        Err(_) => report.wrap_unparsed(&body, &Limits::default()),
    };
    let (Wrapped::Whole(error) | Wrapped::Excerpt(error)) = wrapped;
    Envelope::parse(error).expect("an error envelope is an envelope");
});
