//! From a result to what a model reads: text within a bound, without credentials; of all else what it is.

use std::fmt::Write as _;

use asya_envelope::Raw;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde::Serialize;

use super::hidden::Hidden;

/// Longest sentence of an error, in bytes.
pub(super) const SENTENCE: usize = 4 * 1024;
/// Longest name or type that is told of what is no text, in bytes.
const NAME: usize = 200;

/// What goes on.
#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// What goes on where the tool says that it failed.
#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
}

/// The payload that a result becomes: its text, at most `most` bytes.
pub(super) fn payload(result: &CallToolResult, most: usize, hidden: &Hidden) -> Raw {
    let text = text(result, hidden);
    let failed = result.is_error == Some(true);
    let most = if failed { most.min(SENTENCE) } else { most };
    let (shown, all) = hidden.beginning(&text, most);
    match (failed, shown.as_str()) {
        (true, "") => Raw::of(&Error { error: "the tool failed and does not say why" }),
        (true, shown) => Raw::of(&Error { error: shown }),
        (false, text) => Raw::of(&Text { text, truncated: !all }),
    }
}

/// The blocks on lines of their own; the structured form where no block has text, for it says the same.
fn text(result: &CallToolResult, hidden: &Hidden) -> String {
    let short = |text: &str| hidden.beginning(text, NAME).0;
    let blocks: Vec<_> = result.content.iter().map(|one| block(one, &short)).collect();
    let mut text = String::new();
    if let Some(value) = &result.structured_content
        && blocks.iter().all(|(readable, _)| !readable)
    {
        let _ = writeln!(text, "{value}");
    }
    for (_, block) in blocks {
        text.push_str(&block);
        text.push('\n');
    }
    text.pop();
    text
}

/// A block as text, and whether it is one that can be read.
fn block(block: &ContentBlock, short: &dyn Fn(&str) -> String) -> (bool, String) {
    // What is no text, by its type and about its size: base64 has four letters for three bytes.
    let named = |what: &str, kind: Option<&str>, base64: &str| {
        let kind = short(kind.unwrap_or("unknown type"));
        format!("[{what}, {kind}, {} bytes; not shown]", base64.len() / 4 * 3)
    };
    match block {
        ContentBlock::Text(text) => (true, text.text.clone()),
        ContentBlock::Image(image) => (false, named("image", Some(&image.mime_type), &image.data)),
        ContentBlock::Audio(audio) => (false, named("audio", Some(&audio.mime_type), &audio.data)),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                (true, format!("[{}]\n{text}", short(uri)))
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                (false, named(&format!("file {}", short(uri)), mime_type.as_deref(), blob))
            }
            _ => (false, "[a resource of a kind that is not known here]".to_owned()),
        },
        ContentBlock::ResourceLink(link) => {
            (false, format!("[link {}: {}]", short(&link.name), short(&link.uri)))
        }
        _ => (false, "[something of a kind that is not known here]".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(result: &Value, most: usize) -> Value {
        let result: CallToolResult = serde_json::from_value(result.clone()).unwrap();
        let hidden = Hidden::default();
        hidden.hide("Bearer tok-of-server");
        serde_json::from_str(payload(&result, most, &hidden).as_str()).unwrap()
    }

    fn words(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn every_kind_of_content_is_text_or_named() {
        let pdf = json!({"type": "resource", "resource": {"uri": "file:///a.pdf", "mimeType": "application/pdf", "blob": "AAAABBBB"}});
        let note = json!({"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "two"}});
        let image = json!({"type": "image", "data": "AAAA", "mimeType": "image/png"});
        let sound = json!({"type": "audio", "data": "AAAA", "mimeType": "audio/wav"});
        let link = json!({"type": "resource_link", "uri": "https://a.example/x", "name": "x"});
        let content = json!([words("one"), note, image, sound, pdf, link]);
        let text = "one\n[file:///a.txt]\ntwo\n[image, image/png, 3 bytes; not shown]\n[audio, audio/wav, 3 bytes; not shown]\n\
            [file file:///a.pdf, application/pdf, 6 bytes; not shown]\n[link x: https://a.example/x]";
        assert_eq!(read(&json!({"content": content}), 1000), json!({"text": text}));
        assert_eq!(read(&json!({"content": []}), 1000), json!({"text": ""}));
    }

    #[test]
    fn the_structured_form_is_shown_where_there_is_no_text() {
        let structured = json!({"n": 1});
        let both = json!({"content": [words("one")], "structuredContent": structured});
        assert_eq!(read(&both, 1000), json!({"text": "one"}));
        let image = json!({"type": "image", "data": "AAAA", "mimeType": "image/png"});
        let alone = json!({"content": [image], "structuredContent": structured});
        assert_eq!(read(&alone, 1000), json!({"text": "{\"n\":1}\n[image, image/png, 3 bytes; not shown]"}));
    }

    #[test]
    fn what_failed_is_an_error() {
        let failed = |content: Value| read(&json!({"content": content, "isError": true}), 1000);
        assert_eq!(failed(json!([words("no such order")])), json!({"error": "no such order"}));
        assert_eq!(failed(json!([])), json!({"error": "the tool failed and does not say why"}));
    }

    #[test]
    fn what_is_long_is_cut_at_a_letter_and_no_secret_survives_at_the_cut() {
        assert_eq!(read(&json!({"content": [words(&"é".repeat(60))]}), 101)["text"], "é".repeat(50));
        let edge = format!("{} AKIAIOSFODNN7EXAMPLE and more", "x".repeat(85));
        let answer = read(&json!({"content": [words(&edge)]}), 96);
        assert!(!answer["text"].as_str().unwrap().contains("AKIA"), "{answer}");
        assert_eq!(answer["truncated"], true);
        let own = read(&json!({"content": [words("you sent Bearer tok-of-server")]}), 1000);
        assert_eq!(own, json!({"text": "you sent ***"}));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_comes_stays_within_the_bound(piece in ".{0,80}", times in 0..200_usize, most in 1..5000_usize) {
            let answer = read(&json!({"content": [words(&piece.repeat(times))]}), most);
            proptest::prop_assert!(answer["text"].as_str().unwrap().len() <= most);
        }
    }
}
