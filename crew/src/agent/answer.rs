//! What a model answered, as an entry.

use std::collections::BTreeSet;

use asya_llm::{Finish, Request, Response, estimate};
use asya_session::{Body, Call, Usage, desk::ENTRY};
use serde::Serialize;

use super::{notice, result};

/// Most calls of one turn that are kept; more of them are no plan.
const CALLS: usize = 32;
/// Longest text that is kept, in bytes: written as JSON it may be six times as long, and fits all the same.
const TEXT: usize = 40 * 1024;
/// What is left of an entry for its other members, in bytes.
const REST: usize = 4 * 1024;
/// What stands behind an answer that the bound of tokens cut.
const CUT: &str = "\n\n[the answer ends here because it reached the bound of its length]";

/// What is appended as entry `n` for an answer of `model` (`provider/model`) to `request`.
pub(super) fn entry(n: u64, model: &str, request: &Request, response: Response) -> Body {
    let usage = used(request, &response);
    let Response { text, calls, finish, .. } = response;
    let mut text = result::cut(&text, TEXT);
    if finish == Finish::Length && calls.is_empty() {
        text.push_str(CUT);
    }
    let (mut ids, mut kept, mut size) = (BTreeSet::new(), Vec::new(), length(&text));
    for (index, call) in calls.into_iter().take(CALLS).enumerate() {
        // Some servers give all calls one id, or none.
        let id =
            if call.id.is_empty() || ids.contains(&call.id) { format!("call-{n}-{index}") } else { call.id };
        ids.insert(id.clone());
        let call = Call { id, name: call.name, arguments: call.arguments, signature: call.signature };
        size += length(&call);
        if size > ENTRY - REST {
            break;
        }
        kept.push(call);
    }
    if text.trim().is_empty() && kept.is_empty() {
        return notice::empty();
    }
    Body::Assistant { text, calls: kept, model: model.to_owned(), usage }
}

/// What is appended for a summary.
pub(super) fn summary(upto: u64, request: &Request, response: Response) -> Body {
    let usage = used(request, &response);
    if response.text.trim().is_empty() {
        return notice::empty();
    }
    Body::Summary { text: result::cut(&response.text, TEXT), upto, usage }
}

/// How long it is as JSON, in bytes.
fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(ENTRY, |text| text.len())
}

/// What the call used, estimated where the provider does not say.
fn used(request: &Request, response: &Response) -> Usage {
    let estimated =
        || asya_llm::Usage { output: estimate::tokens(&response.text), ..estimate::usage(request, 0) };
    let usage = response.usage.unwrap_or_else(estimated);
    Usage { calls: 1, input: usage.input, output: usage.output }
}

#[cfg(test)]
mod tests {
    use asya_llm::ToolCall;
    use serde_json::json;

    use super::*;

    fn response(text: &str, calls: &[(&str, usize)], finish: Finish) -> Response {
        let call = |&(id, size): &(&str, usize)| ToolCall {
            id: id.to_owned(),
            name: "get".to_owned(),
            arguments: json!({"x": "y".repeat(size)}),
            signature: None,
        };
        Response { text: text.to_owned(), calls: calls.iter().map(call).collect(), finish, usage: None }
    }

    fn made(response: Response) -> (String, Vec<String>) {
        let body = entry(7, "p/m", &Request::ask("be brief", "why?"), response);
        assert!(serde_json::to_string(&body).unwrap().len() <= ENTRY);
        match body {
            Body::Assistant { text, calls, usage, .. } => {
                assert!(usage.calls == 1 && usage.input > 0);
                (text, calls.into_iter().map(|call| call.id).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_have_ids_of_their_own_whatever_the_server_says() {
        let (_, ids) = made(response("", &[("a", 1), ("a", 1), ("", 1), ("b", 1)], Finish::Calls));
        assert_eq!(ids, ["a", "call-7-1", "call-7-2", "b"]);
    }

    #[test]
    fn an_answer_always_fits_into_an_entry() {
        let (text, ids) = made(response(&"\"".repeat(ENTRY), &[("a", 40_000); 9], Finish::Calls));
        assert!(text.contains("are shown") && ids.len() < 9, "{} calls", ids.len());
        made(response(&"\u{1}".repeat(ENTRY), &[], Finish::Stop));
        assert_eq!(made(response("x", &[("a", 1); 100], Finish::Calls)).1.len(), CALLS);
    }

    #[test]
    fn a_cut_answer_says_so_and_an_empty_one_is_a_notice() {
        assert!(made(response("half a sen", &[], Finish::Length)).0.ends_with(CUT));
        let nothing = entry(1, "p/m", &Request::default(), response(" \n", &[], Finish::Stop));
        assert!(matches!(nothing, Body::Notice { code, .. } if code == notice::EMPTY));
        // Nothing may stand for what was said.
        let nothing = summary(7, &Request::default(), response(" ", &[], Finish::Stop));
        assert!(matches!(nothing, Body::Notice { code, .. } if code == notice::EMPTY));
    }
}
