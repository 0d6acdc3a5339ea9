//! How many tokens a request takes, before it is sent.
//!
//! An estimate, not a tokenizer: each provider has its own, and some publish none. Three bytes of ASCII count as one
//! token (English prose has about four, logs and identifiers about three), each other character as one, and each message
//! and tool as four more for the format. So prose is overrated by about a third, cluster texts by little, and languages
//! of other scripts are about right. It guards a budget and a window; what was really used is [`Usage`], as reported.

use crate::{message::Message, request::Request, response::Usage};

/// Of the format around each message or tool.
const FRAME: u64 = 4;
/// Bytes of ASCII per token.
const PER_TOKEN: u64 = 3;

/// About how many tokens a text has.
pub fn tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let others = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    ascii.div_ceil(PER_TOKEN) + others
}

/// What a request is expected to take: its text, and an answer as long as it may be.
pub fn usage(request: &Request, max_tokens: u32) -> Usage {
    let mut input = tokens(&request.system);
    for message in &request.messages {
        input += FRAME;
        match message {
            Message::User { text } => input += tokens(text),
            Message::Tool { name, text, .. } => input += tokens(name) + tokens(text),
            Message::Assistant { text, calls } => {
                input += tokens(text);
                for call in calls {
                    input += FRAME + tokens(&call.name) + tokens(&call.arguments.to_string());
                }
            }
        }
    }
    for tool in &request.tools {
        input +=
            FRAME + tokens(&tool.name) + tokens(&tool.description) + tokens(&tool.parameters.to_string());
    }
    Usage { input, output: u64::from(request.max_tokens.unwrap_or(max_tokens)), cached: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_counts_by_threes_and_other_letters_one_by_one() {
        for (text, count) in [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("你好", 2), ("naïve", 3)] {
            assert_eq!(tokens(text), count, "{text}");
        }
    }

    #[test]
    fn everything_that_is_sent_counts() {
        let mut request = Request::ask("abc", "abcdef");
        assert_eq!(usage(&request, 100), Usage { input: 1 + 4 + 2, output: 100, cached: 0 });
        request.max_tokens = Some(7);
        request.tools = vec![crate::Tool {
            name: "get".to_owned(),
            description: "abc".to_owned(),
            parameters: serde_json::json!({}),
        }];
        assert_eq!(usage(&request, 100), Usage { input: 7 + 4 + 1 + 1 + 1, output: 7, cached: 0 });
    }
}
