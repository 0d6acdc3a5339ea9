//! What came of a call that somebody approved, told to the gateway by whoever gets the result.
//!
//! A tool that proposes its changes itself tells their outcomes itself. Any other is an ordinary actor and knows nothing of
//! operations.

use asya_envelope::Route;
use asya_session::{Body, Outcome};

use super::{Agent, result, talk::Here, talk::Talk};
use crate::{actor::ActError, approval::place::Place, asked::Asked, desk::DeskError};

/// Largest part of a result that is kept as an outcome, in bytes.
const KEPT: usize = 4 * 1024;

impl Agent {
    /// Tells what `body`, which is appended next, says of the operation by which it came. A repeat tells it again, and
    /// changes nothing.
    ///
    /// # Errors
    /// The gateway is away.
    pub(super) async fn tell(
        &self,
        asked: &Asked,
        talk: &Talk,
        here: &Here,
        route: &Route,
        body: &Body,
    ) -> Result<(), ActError> {
        let Body::Tool { call, text, failed, .. } = body else { return Ok(()) };
        let place = place(&self.rules.approval, &asked.claims.session, &here.envelope, route);
        let Some(place) = place.filter(|_| talk.at(here).next().is_none()) else { return Ok(()) };
        let operation = place.operation(call);
        let outcome = Outcome { ok: !failed, text: result::cut(text, KEPT) };
        match self.desk.outcome(&asked.token, &operation, &outcome).await {
            Ok(_) => Ok(()),
            Err(DeskError::Away(reason)) => Err(ActError::Gateway(reason)),
            // It was rejected, or the call is not what was approved there.
            Err(error) => {
                tracing::debug!(operation, %error, "no outcome");
                Ok(())
            }
        }
    }
}

/// Where somebody was asked before the actor that the envelope comes from; none, if nobody was, or that actor asks itself.
fn place<'a>(approval: &str, session: &'a str, envelope: &'a str, route: &'a Route) -> Option<Place<'a>> {
    let hop = route.current.checked_sub(2)?;
    let at = |index: usize| route.actors.get(index).map(String::as_str);
    let asks_itself = hop.checked_sub(1).is_some_and(|before| at(before) == at(hop + 1));
    let actor = at(hop).filter(|actor| *actor == approval && !asks_itself)?;
    Some(Place { session, envelope, hop, actor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_place_before_an_ordinary_actor_and_no_other() {
        let cases: [(&[&str], usize, Option<usize>); 6] = [
            (&["agent", "approval", "refund", "agent"], 3, Some(1)),
            (&["agent", "look", "agent", "approval", "refund", "agent"], 5, Some(3)),
            (&["agent", "refund", "agent"], 2, None),
            (&["agent", "k8s-write", "approval", "k8s-write", "agent"], 4, None),
            (&["agent", "approval", "refund", "more", "agent"], 4, None),
            (&["agent"], 0, None),
        ];
        for (actors, current, hop) in cases {
            let mut route = Route::new(actors.iter().copied());
            route.current = current;
            let found = place("approval", "s", "e", &route);
            assert_eq!(found.map(|place| place.hop), hop, "{actors:?}");
        }
    }
}
