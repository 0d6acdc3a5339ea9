//! Why a turn of an agent is other than asked for, or ends without an answer.

use asya_llm::Error;
use asya_session::Body;

/// A wish that is not granted; the turn goes on.
pub(super) const OPTION: &str = "option_not_taken";
/// The model was asked too often.
pub(super) const TURNS: &str = "agent_turns";
/// The message took too many tokens.
pub(super) const TOKENS: &str = "agent_tokens";
/// The envelope's budget is used up.
pub(super) const BUDGET: &str = "agent_budget";
/// The model made one call again and again.
pub(super) const REPEATS: &str = "agent_repeats";
/// The model said nothing.
pub(super) const EMPTY: &str = "model_empty";

/// A model was asked for that is not on the agent's list.
pub(super) fn option(model: &str) -> Body {
    let text = format!("The model {model:?} is not one that this agent may use; it goes on with its own.");
    body(OPTION, text)
}

/// Whether it is the notice of [`option`], which ends nothing.
pub(super) fn is_option(body: &Body) -> bool {
    matches!(body, Body::Notice { code, .. } if code == OPTION)
}

/// The model was asked this often.
pub(super) fn turns(turns: u64) -> Body {
    let text = format!(
        "The model took {turns} turns and has not come to an answer. Say something to go on from here, or ask for a \
         smaller part; ASYA_AGENT_MAX_TURNS is the bound."
    );
    body(TURNS, text)
}

/// The message took this many tokens.
pub(super) fn tokens(tokens: u64) -> Body {
    let text = format!(
        "This message has used {tokens} tokens, and there is no answer yet. Say something to go on from here, or ask for \
         a smaller part; ASYA_AGENT_MAX_TOKENS is the bound."
    );
    body(TOKENS, text)
}

/// The budget of the envelope is used up.
pub(super) fn budget() -> Body {
    let text = "The budget of this message is used up, and there is no answer yet. Say something to go on from here with a \
                new one, or ask for a smaller part; spec.budgets of the Agent is the bound.";
    body(BUDGET, text.to_owned())
}

/// The model made one call this often in a row.
pub(super) fn repeats(tool: &str, times: usize) -> Body {
    let text = format!(
        "The model wanted to call {tool:?} {times} times in a row with the same arguments, though it was told not to. Say \
         something to go on, with a hint that it lacks."
    );
    body(REPEATS, text)
}

/// The model answered with no words and no calls.
pub(super) fn empty() -> Body {
    body(EMPTY, "The model answered nothing. Say something to ask it again.".to_owned())
}

/// The model does not answer this, now or later.
pub(super) fn model(error: &Error) -> Body {
    let text = format!("There is no answer: {error}. What to do: {}.", error.kind.next_step());
    body(&code(error), text)
}

/// How metrics call it, if it is about a bound of the agent or an empty answer.
pub(super) fn counted(code: &str) -> Option<&'static str> {
    let counted =
        [(TURNS, "turns"), (TOKENS, "tokens"), (BUDGET, "envelope"), (REPEATS, "repeats"), (EMPTY, "empty")];
    counted.into_iter().find_map(|(known, result)| (known == code).then_some(result))
}

/// The code of the notice about an error of the model.
fn code(error: &Error) -> String {
    format!("model_{}", error.kind.code())
}

fn body(code: &str, text: String) -> Body {
    Body::Notice { code: code.to_owned(), text }
}
