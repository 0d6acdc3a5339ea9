//! What an agent does next. Pure: from a session, what came and where it came, to one step; no clock, no network.
//!
//! A delivery takes steps until one of them ends it. Every step that appends makes the session longer, and the next one
//! follows from the longer session: so a delivery that was killed anywhere goes on where it stood when it comes again, and
//! the model is not asked what it has answered.
//!
//! | the session's end | what is done |
//! |---|---|
//! | the envelope has gone on from here, or its turn has ended elsewhere | [`Step::Drop`] |
//! | a call of this turn waits, and nothing was appended here | its answer is appended: what came |
//! | a call of a turn before waits | a failed answer is appended: that turn has ended |
//! | a call waits that was answered neither here nor before | [`Step::Send`]; or a failed answer, if it cannot be made |
//! | all calls are answered | [`Step::Ask`], after a summary where all does not fit |
//! | the model has answered, or cannot | [`Step::End`] |

use asya_envelope::{Raw, Route};
use asya_llm::{Request, estimate};
use asya_session::{Body, Call, Entry, Options};

use super::{
    compact::{self, Compaction},
    notice, result,
    talk::{Asked, Here, Talk},
    tools::Toolbox,
    view,
};

/// What a result is cut to, in bytes, where conversations do not fit otherwise.
const SHORT: usize = 4 * 1024;

/// What an agent is told that decides its steps.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Its actor.
    pub(super) actor: String,
    /// The actor that asks for approval.
    pub(super) approval: String,
    /// What the model is told to be.
    pub(super) prompt: String,
    /// The tools.
    pub(super) tools: Toolbox,
    /// Models that may be asked for.
    pub(super) models: Vec<String>,
    /// Answers of the model to one message.
    pub(super) turns: u64,
    /// Tokens that one message may take.
    pub(super) tokens: u64,
    /// Identical calls in a row that are made.
    pub(super) repeats: usize,
    /// Tokens of a question, above which a summary is made.
    pub(super) context: u64,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// This is appended.
    Append(Body),
    /// The model is asked; its answer is appended.
    Ask(Request),
    /// The model is asked for a summary, which is appended.
    Compact(Compaction),
    /// A call goes to its tool.
    Send {
        /// The arguments, as its actor gets them: the whole payload.
        payload: Raw,
        /// The way there and back, and on.
        route: Route,
    },
    /// The turn is over.
    End {
        /// What the envelope carries on: `{"text": …}`, with the code of the notice that stands for an answer.
        payload: Raw,
    },
    /// Nothing is to be done with this delivery any more.
    Drop(&'static str),
}

impl Rules {
    /// What is done next, where `arrived` came along `route`.
    pub(super) fn next(&self, talk: &Talk, here: &Here, route: &Route, arrived: &Raw) -> Step {
        if talk.has_gone_on(here) {
            return Step::Drop("a repeat: the envelope has gone on from here");
        }
        let last = talk.at(here).last();
        if let Some(end) = last.and_then(ended) {
            return end;
        }
        if !talk.runs(&here.envelope) {
            return Step::Drop("the turn of this envelope has ended");
        }
        let calls = talk.calls();
        let is_own = |asked: &&Asked<'_>| {
            asked.entry.place.as_ref().is_some_and(|place| place.envelope == here.envelope)
        };
        let mut open = calls.iter().filter(|asked| asked.answer.is_none());
        match open.next() {
            Some(asked) if !is_own(&asked) => {
                Step::Append(result::failed(asked.call, "the turn ended before this call was answered"))
            }
            Some(asked) if last.is_none() => Step::Append(result::of(asked.call, arrived)),
            Some(asked) => self.call(talk, asked, route),
            None if last.is_none() && calls.iter().any(|asked| is_own(&asked)) => {
                Step::Drop("no call of this turn waits for what came")
            }
            None => self.question(talk, here),
        }
    }

    /// A call is sent, or answered by what is wrong with it.
    fn call(&self, talk: &Talk, asked: &Asked<'_>, route: &Route) -> Step {
        let call = asked.call;
        let times = in_a_row(talk, asked);
        if times > self.repeats + 1 {
            return Step::Append(notice::repeats(&call.name, times));
        }
        if times > self.repeats {
            let why = format!(
                "this call was made {} times in a row with the same arguments, and is not made again: do something \
                 else, or answer with what you know",
                self.repeats
            );
            return Step::Append(result::failed(call, &why));
        }
        match self.tools.check(call) {
            Err(why) => Step::Append(result::failed(call, &why)),
            Ok(tool) => {
                let approval = tool.approval.then_some(&self.approval);
                let way = approval.into_iter().chain([&tool.actor, &self.actor]).cloned();
                Step::Send { payload: tool.payload(&call.arguments), route: inserted(route, way) }
            }
        }
    }

    /// The model is asked, if it may be.
    fn question(&self, talk: &Talk, here: &Here) -> Step {
        let options = talk.said().map(|(_, said)| options(said)).unwrap_or_default();
        if let Some(model) = options.model.as_ref().filter(|model| !self.models.contains(model))
            && !talk.since().any(|entry| notice::is_option(&entry.body))
        {
            return Step::Append(notice::option(model));
        }
        let (used, turns) = talk.used();
        if turns >= self.turns {
            return Step::Append(notice::turns(turns));
        }
        if used.tokens() >= self.tokens {
            return Step::Append(notice::tokens(used.tokens()));
        }
        let spent = talk.spent(here);
        if here.turns_left.is_some_and(|left| spent.turns >= left)
            || here.tokens_left.is_some_and(|left| spent.tokens >= left)
        {
            return Step::Append(notice::budget());
        }
        let whole = self.request(talk, &options, result::KEPT);
        if size(&whole) <= self.context {
            return Step::Ask(whole);
        }
        match compact::of(talk, self.context, result::KEPT) {
            Some(compaction) => Step::Compact(compaction),
            None => Step::Ask(self.request(talk, &options, SHORT)),
        }
    }

    fn request(&self, talk: &Talk, options: &Options, most: usize) -> Request {
        Request {
            model: options.model.clone().filter(|model| self.models.contains(model)),
            system: self.prompt.clone(),
            messages: view::messages(talk, most),
            tools: self.tools.told(),
            max_tokens: options.max_tokens.filter(|most| *most > 0),
            temperature: options.temperature.filter(|heat| (0.0..=2.0).contains(heat)),
            ..Request::default()
        }
    }
}

/// What follows from the last entry here if it ended the turn.
fn ended(entry: &Entry) -> Option<Step> {
    let payload = match &entry.body {
        Body::Assistant { text, calls, .. } if calls.is_empty() => serde_json::json!({"text": text}),
        Body::Notice { code, text } if !notice::is_option(&entry.body) => {
            serde_json::json!({"text": text, "notice": code})
        }
        _ => return None,
    };
    Some(Step::End { payload: Raw::of(&payload) })
}

/// How often this call was made in a row since something was said, itself included.
fn in_a_row(talk: &Talk, asked: &Asked<'_>) -> usize {
    let said = talk.said().map_or(0, |(n, _)| n);
    let calls = talk.calls();
    let same = |one: &Call| one.name == asked.call.name && one.arguments == asked.call.arguments;
    let before = calls.iter().filter(|one| one.entry.n > said);
    let until = before.take_while(|one| one.entry.n < asked.entry.n || one.call.id != asked.call.id);
    let until: Vec<_> = until.collect();
    1 + until.iter().rev().take_while(|one| same(one.call)).count()
}

/// The route with these actors to come next.
fn inserted(route: &Route, way: impl IntoIterator<Item = String>) -> Route {
    let mut next = route.advanced();
    next.actors.splice(next.current..next.current, way);
    next
}

fn options(said: &Body) -> Options {
    match said {
        Body::User { options, .. } => options.clone(),
        _ => Options::default(),
    }
}

fn size(request: &Request) -> u64 {
    estimate::usage(request, 0).input
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
