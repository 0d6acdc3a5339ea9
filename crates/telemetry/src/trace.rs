//! W3C trace context, continued from hop to hop. <https://www.w3.org/TR/trace-context/>

use std::{fmt, time::SystemTime};

/// Where one hop stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span that caused what follows; never 0.
    pub span_id: u64,
    /// Bit 0: the trace is recorded.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent`. Versions other than 00 are read as far as 00 goes, as the standard asks; anything
    /// malformed is nothing, and the trace starts anew.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if hex(version, 2)? == 0xff || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let context = Self {
            trace_id: hex(trace, 32)?,
            span_id: u64::try_from(hex(span, 16)?).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// A trace that begins here, recorded. `random` must be random.
    pub fn start(random: (u128, u64)) -> Self {
        Self { trace_id: random.0.max(1), span_id: random.1.max(1), flags: 1 }
    }

    /// The next span of the same trace. `random` must be random.
    #[must_use]
    pub fn child(self, random: u64) -> Self {
        Self { span_id: random.max(1), ..self }
    }

    /// True when the trace is recorded.
    pub fn sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags & 1)
    }
}

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One run of a handler.
    Run,
    /// One request that was answered.
    Request,
}

/// One run of a handler or one request, as tracing backends show it.
#[derive(Clone, Debug)]
pub struct Span {
    /// What it is of.
    pub kind: Kind,
    /// Where it stands in its trace.
    pub context: TraceContext,
    /// The span that caused it, if the trace did not begin here.
    pub parent: Option<u64>,
    /// What was done.
    pub name: String,
    /// The envelope's id; nothing for requests.
    pub envelope: String,
    /// Which run of the handler.
    pub attempt: u32,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// The code, if it failed.
    pub error: Option<String>,
}

/// Exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_context_is_written_as_it_was_read() {
        let context = TraceContext::parse(SAMPLE).unwrap();
        assert_eq!(context.to_string(), SAMPLE);
        assert!(context.sampled());
    }

    #[test]
    fn a_child_stays_in_the_trace_and_has_a_span_of_its_own() {
        let parent = TraceContext::parse(SAMPLE).unwrap();
        let child = parent.child(7);
        assert_eq!((child.trace_id, child.flags, child.span_id), (parent.trace_id, parent.flags, 7));
        assert_eq!(parent.child(0).span_id, 1, "0 is not a span");
    }

    #[test]
    fn malformed_contexts_are_nothing() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf9-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(later).is_some(), "a later version may say more");
    }
}
