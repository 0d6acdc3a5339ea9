//! A tool call.

use std::time::Duration;

use asya_store::envelopes::{Follow, Status};
use rmcp::{
    ErrorData, Peer, RoleServer,
    model::{CallToolRequestParams, CallToolResult, ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};
use tokio::time::{sleep, timeout};

use super::{Server, answer, server};
use crate::{
    auth::{Principal, Role},
    service::{Error, send::Extras},
};

/// What 100 percent is called.
const WHOLE: f64 = 100.0;
/// Pause before a store that was away is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Why an envelope was cancelled, as its record says it.
pub(super) const CANCELLED: &str = "the client cancelled the call";

impl Server {
    /// Calls a tool. The answer is a handle at once, unless the tool waits or the client asks for progress.
    ///
    /// Dropping the request cancels the envelope where the protocol says so: on a pipe, and over HTTP when each request
    /// stands alone. In a session a lost connection means nothing; there the client says that it cancels.
    pub(super) async fn call(
        &self,
        who: &Principal,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let (sent, tool) = match self.service.call(who, &request.name, arguments, extras(context)).await {
            Ok(sent) => sent,
            Err(error @ Error::NotFound { .. }) => return Err(answer::error(&error)),
            Err(error) => return Ok(answer::refused(&error)),
        };
        let token = context.meta.get_progress_token();
        let limit = tool.wait.or(token.is_some().then_some(tool.wait_limit));
        let Some(limit) = limit.filter(|_| who.roles.has(Role::Read)) else {
            return Ok(answer::handle(&sent.id, &tool, Status::Pending, None));
        };
        let _running = self.running.token();
        let session = self.session_of(&context.extensions);
        if let Some(session) = &session {
            if let Err(error) = self.sessions.remember_call(session, &context.id, &sent.id).await {
                tracing::warn!(%error, id = sent.id, "this call cannot be cancelled");
            }
            // Cancelled before it was noted: who looked for the note has found none.
            if context.ct.is_cancelled() && !self.stop.is_cancelled() {
                self.cancel(who, &sent.id).await;
            }
        }
        let progress = token.map(|token| Progress { peer: context.peer.clone(), token, told: None });
        let waited = async {
            let updates = self.service.follow(who, &sent.id, 0).await?;
            timeout(limit, to_the_end(updates, progress)).await.ok();
            self.service.record(who, &sent.id).await
        };
        let outcome = tokio::select! {
            outcome = waited => outcome,
            // Nobody reads what is answered from here on.
            () = context.ct.cancelled() => {
                if session.is_none() && !self.stop.is_cancelled() {
                    self.cancel(who, &sent.id).await;
                }
                return Ok(answer::handle(&sent.id, &tool, Status::Running, Some(CANCELLED)));
            }
        };
        if let Some(session) = &session
            && let Err(error) = self.sessions.take_call(session, &context.id).await
        {
            tracing::debug!(%error, id = sent.id, "an ended call stays noted until its session is forgotten");
        }
        let contents = who.roles.has(Role::Payload);
        Ok(match outcome {
            Ok(tracked) if tracked.summary.status.is_final() => answer::ended(&tracked, contents),
            Ok(tracked) => {
                let seconds = limit.as_secs_f64();
                let message = format!("it has not ended within {seconds} s; read its record for the result");
                answer::handle(&sent.id, &tool, tracked.summary.status, Some(&message))
            }
            // It was sent, and the client must not send it again.
            Err(error) => answer::handle(&sent.id, &tool, Status::Running, Some(&error.to_string())),
        })
    }

    /// Cancels what a client has called and does not want any more.
    pub(super) async fn cancel(&self, who: &Principal, id: &str) {
        match self.service.cancel(who, id, CANCELLED).await {
            Ok(_) | Err(Error::Conflict(_)) => {}
            Err(error) => tracing::warn!(%error, id, "a cancelled call's envelope goes on"),
        }
    }
}

/// The trace context: of the message, as 2026-07-28 has it, else of the request that carried it.
fn extras(context: &RequestContext<RoleServer>) -> Extras {
    let headers = server::parts(&context.extensions).map(|parts| &parts.headers);
    let text = |name: &str| {
        let said = context.meta.get(name).and_then(|value| value.as_str());
        let carried = || headers?.get(name)?.to_str().ok();
        said.or_else(carried).map(str::to_owned)
    };
    Extras { traceparent: text("traceparent"), tracestate: text("tracestate"), ..Extras::default() }
}

/// Who is told how far it is.
struct Progress {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    told: Option<f64>,
}

impl Progress {
    /// Tells a percentage that has gone up: the protocol wants no other.
    async fn tell(&mut self, percent: f64, message: Option<String>) {
        if self.told.is_some_and(|told| percent <= told) {
            return;
        }
        self.told = Some(percent);
        let mut told = ProgressNotificationParam::new(self.token.clone(), percent).with_total(WHOLE);
        told.message = message;
        if let Err(error) = self.peer.notify_progress(told).await {
            tracing::debug!(%error, "a client takes no progress");
        }
    }
}

/// Follows an envelope until it has ended. A store that is away is waited for.
async fn to_the_end(mut updates: Follow, mut progress: Option<Progress>) {
    loop {
        match updates.next().await {
            Ok(Some(update)) => {
                if let (Some(progress), Some(percent)) = (&mut progress, update.percent) {
                    progress.tell(percent, update.message).await;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a call waits for the store");
                sleep(AGAIN).await;
            }
        }
    }
}
