//! Server-sent events, as far as gateways use them.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// What kind; empty: `message`.
    pub(crate) name: String,
    /// The number that a reader comes back with, if this event has one.
    pub(crate) id: Option<String>,
    /// Its lines.
    pub(crate) data: String,
}

/// Takes bytes, gives whole events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    rest: Vec<u8>,
    event: Event,
}

impl Events {
    /// Events that these bytes end. Events without data are none.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|&byte| byte == b'\n') {
            let line = &self.rest[begin..begin + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            begin += length + 1;
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    found.push(event);
                }
            } else if let Some(data) = field(line, b"data:") {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(&data);
            } else if let Some(id) = field(line, b"id:") {
                self.event.id = Some(id);
            } else if let Some(name) = field(line, b"event:") {
                self.event.name = name;
            }
        }
        self.rest.drain(..begin);
        found
    }

    /// How much is kept of an event that has not ended.
    pub(crate) fn kept(&self) -> usize {
        self.rest.len() + self.event.data.len()
    }
}

fn field(line: &[u8], name: &[u8]) -> Option<String> {
    let value = line.strip_prefix(name)?;
    let value = value.strip_prefix(b" ").unwrap_or(value);
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = ": ping\n\nid: 1\nretry: 3000\ndata:\n\nevent: update\r\nid: 2\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:ü\n\nx";
        let update = Event { name: "update".into(), id: Some("2".into()), data: "{\"a\":\n1}".into() };
        let plain = Event { data: "ü".into(), ..Event::default() };
        for size in 1..text.len() {
            let mut events = Events::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| events.take(chunk)).collect();
            assert_eq!(found, [update.clone(), plain.clone()], "in pieces of {size}");
            assert_eq!(events.kept(), 1);
        }
    }
}
