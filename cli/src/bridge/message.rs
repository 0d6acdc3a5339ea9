//! What has to be known of a message to carry it over HTTP.

use serde::Deserialize;
use serde_json::{Value, json};

/// Version of the protocol from which each request says its own.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// JSON-RPC: the text is no JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: an error of the server, here of the way to it.
pub(super) const UNREACHED: i32 = -32000;

/// One message of the client.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// Of requests, and of answers to the server's.
    pub(super) id: Option<Value>,
    /// Of requests and notifications.
    pub(super) method: Option<String>,
    #[serde(default)]
    params: Value,
}

impl Message {
    /// Reads as much as is needed.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The id, if an answer is expected.
    pub(super) fn request(&self) -> Option<&Value> {
        self.id.as_ref().filter(|_| self.method.is_some())
    }

    /// The version that this request says itself; `None` where a session has one.
    pub(super) fn version(&self) -> Option<&str> {
        self.params.get("_meta")?.get(VERSION)?.as_str()
    }

    /// What the request is about, as proxies want it in a header.
    pub(super) fn name(&self) -> Option<&str> {
        let member = match self.method.as_deref()? {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            _ => return None,
        };
        self.params.get(member)?.as_str()
    }

    /// The request that this notification cancels.
    pub(super) fn cancels(&self) -> Option<&Value> {
        let cancels = self.method.as_deref() == Some("notifications/cancelled");
        self.params.get("requestId").filter(|_| cancels)
    }

    /// Whether it is of this method.
    pub(super) fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }
}

/// An answer that says why there is none.
pub(super) fn error(id: Option<&Value>, code: i32, text: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}).to_string()
}

/// Whether the text is the answer to the request.
pub(super) fn answers(text: &str, id: &Value) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        id: Option<Value>,
        method: Option<String>,
    }
    serde_json::from_str::<Answer>(text)
        .is_ok_and(|answer| answer.method.is_none() && answer.id.as_ref() == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: &Value) -> Message {
        Message::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_version_and_the_name_are_found_where_the_protocol_has_them() {
        let call = json!({"id": 1, "method": "tools/call", "params": {"name": "ocr", "_meta": {VERSION: "2026-07-28"}}});
        let call = message(&call);
        assert_eq!(
            (call.version(), call.name(), call.request()),
            (Some("2026-07-28"), Some("ocr"), Some(&json!(1)))
        );
        let read =
            message(&json!({"id": "a", "method": "resources/read", "params": {"uri": "asya://queues/ocr"}}));
        assert_eq!((read.version(), read.name()), (None, Some("asya://queues/ocr")));
        let cancel = message(&json!({"method": "notifications/cancelled", "params": {"requestId": 1}}));
        assert_eq!((cancel.cancels(), cancel.request()), (Some(&json!(1)), None));
        assert_eq!(message(&json!({"id": 1, "result": {}})).request(), None);
    }

    #[test]
    fn only_the_answer_with_the_id_answers() {
        assert!(answers(r#"{"id":1,"result":{}}"#, &json!(1)));
        for other in [r#"{"id":"1","result":{}}"#, r#"{"id":1,"method":"ping"}"#, "{", r#"{"method":"x"}"#] {
            assert!(!answers(other, &json!(1)), "{other}");
        }
    }
}
