//! Server-sent events, as far as the protocol uses them.

/// Takes bytes, gives the data of whole events.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: Vec<u8>,
    data: String,
}

impl Events {
    /// The data of events that these bytes end. Events without data are none.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|&byte| byte == b'\n') {
            let line = &self.rest[begin..begin + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            begin += length + 1;
            if line.is_empty() {
                if !self.data.is_empty() {
                    found.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                let data = data.strip_prefix(b" ").unwrap_or(data);
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(&String::from_utf8_lossy(data));
            }
        }
        self.rest.drain(..begin);
        found
    }

    /// How much is kept of an event that has not ended.
    pub(super) fn kept(&self) -> usize {
        self.rest.len() + self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = ": ping\n\nid: 1\nretry: 3000\ndata:\n\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:ü\n\nx";
        for size in 1..text.len() {
            let mut events = Events::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| events.take(chunk)).collect();
            assert_eq!(found, ["{\"a\":\n1}", "ü"], "in pieces of {size}");
            assert_eq!(events.kept(), 1);
        }
    }
}
