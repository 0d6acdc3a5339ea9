//! Server-sent events, as far as model providers use them (WHATWG HTML, "Server-sent events"): lines that end in LF, CR
//! or CRLF, split anywhere by the network; unknown fields and comments are skipped.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sse {
    /// Its type; empty: none.
    pub(crate) event: String,
    /// Its lines of data.
    pub(crate) data: String,
}

/// Bytes in, events out. Memory is bounded by whoever bounds the bytes.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Sse,
    has_data: bool,
    /// The last byte was a CR: an LF right after it belongs to it.
    after_cr: bool,
    started: bool,
}

impl Parser {
    /// The events that `bytes` complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Sse> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' => self.end_line(&mut events),
                b'\r' => {
                    self.after_cr = true;
                    self.end_line(&mut events);
                }
                byte => self.line.push(byte),
            }
        }
        events
    }

    /// The event that has begun, when no empty line follows any more: some servers leave the last one out.
    pub(crate) fn finish(&mut self) -> Option<Sse> {
        let mut events = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut events);
        }
        self.end_line(&mut events);
        events.pop()
    }

    fn end_line(&mut self, events: &mut Vec<Sse>) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let mut line: &str = &line;
        if !std::mem::replace(&mut self.started, true) {
            line = line.trim_start_matches('\u{feff}');
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.event),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sse(event: &str, data: &str) -> Sse {
        Sse { event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_of_every_line_ending_comments_and_unknown_fields_are_read() {
        for end in ["\n", "\r", "\r\n"] {
            let text = [
                "\u{feff}: hello",
                "event: message_start",
                "data: {\"a\":",
                "data:1}",
                "id: 7",
                "odd",
                "",
                "",
                "data",
                "",
                "event: lost",
                "",
                "data: x",
                "",
                "",
            ]
            .join(end);
            let mut parser = Parser::default();
            let events = parser.push(text.as_bytes());
            assert_eq!(events, [sse("message_start", "{\"a\":\n1}"), sse("", ""), sse("", "x")], "{end:?}");
            assert_eq!(parser.finish(), None);
        }
    }

    #[test]
    fn a_last_event_without_its_empty_line_is_not_lost() {
        for tail in ["", "\n", "\r\n"] {
            let mut parser = Parser::default();
            assert_eq!(parser.push(format!("data: [DONE]{tail}").as_bytes()), []);
            assert_eq!(parser.finish(), Some(sse("", "[DONE]")), "{tail:?}");
            assert_eq!(parser.finish(), None);
        }
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_how_bytes_are_split(
            lines in prop::collection::vec("(data: ?|event:|:|x)?[a-zé\u{1F600} ]{0,6}", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n"]), 12),
            cuts in prop::collection::vec(1usize..5, 0..40),
        ) {
            let text: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
            let mut whole = Parser::default();
            let mut expected = whole.push(text.as_bytes());
            expected.extend(whole.finish());
            let (mut split, mut events, mut rest) = (Parser::default(), Vec::new(), text.as_bytes());
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                events.extend(split.push(now));
                rest = later;
            }
            events.extend(split.push(rest));
            events.extend(split.finish());
            prop_assert_eq!(events, expected);
        }
    }
}
