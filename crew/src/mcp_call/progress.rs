//! How far the server says that it is with a call, told on: not more often than somebody can read, short, and cleaned.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResponse, CancelledNotification,
        CancelledNotificationParam, ClientConfig, ClientRequest, ProgressNotificationParam, ProgressToken,
        RequestId, ServerResult,
    },
    service::{NotificationContext, Peer, PeerRequestOptions, ServiceError},
};
use tokio::time::Instant;

use super::hidden::Hidden;
use crate::actor::Teller;

/// Least time between two reports of a call; what comes between is left out.
const EVERY: Duration = Duration::from_secs(1);
/// Longest words of a report, in bytes.
const MOST: usize = 200;

/// The calls that are told of, by what the server names them with.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<ProgressToken, Call>>>);

struct Call {
    teller: Teller,
    fraction: f64,
    /// When it may be told of again.
    next: Instant,
}

/// Our side of a session: it offers nothing, and hears how far calls are.
pub(super) struct Listener {
    pub(super) config: ClientConfig,
    pub(super) calls: Calls,
    pub(super) hidden: Hidden,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn on_progress(&self, said: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.calls.tell(&said, &self.hidden);
    }
}

impl Calls {
    /// The answer to a call; meanwhile `teller` is told how far it is. Dropped, it tells the server that nobody waits.
    ///
    /// # Errors
    /// Those of the library.
    pub(super) async fn call(
        &self,
        peer: &Peer<RoleClient>,
        params: CallToolRequestParams,
        teller: Teller,
    ) -> Result<CallToolResponse, ServiceError> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
        let token = handle.progress_token.clone();
        self.known().insert(token.clone(), Call { teller, fraction: 0.0, next: Instant::now() });
        let mut running = Running { calls: self, peer, token, id: Some(handle.id.clone()) };
        let answer = handle.await_response().await;
        running.id = None;
        match answer? {
            ServerResult::CallToolResult(result) => Ok(CallToolResponse::Complete(result)),
            ServerResult::InputRequiredResult(result) => Ok(CallToolResponse::InputRequired(result)),
            ServerResult::CreateTaskResult(result) => Ok(CallToolResponse::Task(result)),
            _ => Err(ServiceError::UnexpectedResponse),
        }
    }

    fn tell(&self, said: &ProgressNotificationParam, hidden: &Hidden) {
        let (teller, fraction) = {
            let mut calls = self.known();
            let now = Instant::now();
            let Some(call) = calls.get_mut(&said.progress_token).filter(|call| call.next <= now) else {
                return;
            };
            call.next = now + EVERY;
            // Without an end nobody knows how far it is.
            if let Some(total) = said.total.filter(|total| *total > 0.0) {
                let fraction = said.progress / total;
                call.fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { call.fraction };
            }
            (call.teller.clone(), call.fraction)
        };
        let words = said.message.as_deref().unwrap_or_default();
        let (shown, _) = hidden.beginning(words, MOST);
        teller.tell(
            fraction,
            shown.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, ""),
        );
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<ProgressToken, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that runs. Dropped before its answer has come, it is cancelled at the server.
struct Running<'a> {
    calls: &'a Calls,
    peer: &'a Peer<RoleClient>,
    token: ProgressToken,
    id: Option<RequestId>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.calls.known().remove(&self.token);
        let Some((id, runtime)) = self.id.take().zip(tokio::runtime::Handle::try_current().ok()) else {
            return;
        };
        let peer = self.peer.clone();
        runtime.spawn(async move {
            let params = CancelledNotificationParam::new(Some(id), Some("nobody waits for it".to_owned()));
            let _ = peer.send_notification(CancelledNotification::new(params).into()).await;
        });
    }
}
