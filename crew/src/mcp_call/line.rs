//! The one session with the server: begun at the first call, and made anew when it is gone.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rmcp::{
    RoleClient, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig,
        ClientRequest, Implementation, JsonObject, PaginatedRequestParams, PingRequest, Tool,
    },
    service::{Peer, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, async_rw::AsyncRwTransport, common::client_side_sse::NeverRetry,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::Value;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    endpoint::{Endpoint, MOST_READ},
    hidden::Hidden,
    program::Program,
    progress::{Calls, Listener},
    settings::{Server, Settings},
    trouble::Trouble,
};
use crate::{actor::Teller, http_call::client::Client};

/// Most pages of a list of tools that are read: a server may have no end of them.
const MOST_PAGES: usize = 64;
/// Most tools of it.
const MOST_TOOLS: usize = 1000;
/// Longest name, in bytes, that is remembered of a tool.
const NAME: usize = 512;
/// How long a server that has not answered a call may take to say that it is there.
const PING: Duration = Duration::from_secs(2);
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(5);

/// The way to a server.
pub(super) struct Line {
    way: Way,
    timeout: Duration,
    concurrency: usize,
    hidden: Hidden,
    /// Held while a session begins, so that many calls at once begin one.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// When and why the last one did not begin.
    failed: Option<(Instant, Trouble)>,
}

impl State {
    /// Tells also those who wait.
    fn fail(&mut self, trouble: Trouble) -> Trouble {
        self.failed = Some((Instant::now(), trouble.clone()));
        trouble
    }
}

enum Way {
    Address { endpoint: Endpoint, url: String },
    Program(super::settings::Start),
}

/// A session. Dropped, it ends, and the program with it.
struct Session {
    service: RunningService<RoleClient, Listener>,
    calls: Calls,
    /// Tools of which the server says that a repeat does no harm.
    harmless: BTreeSet<String>,
    program: Option<Program>,
    /// Whether the server does not answer in it any more.
    gone: AtomicBool,
}

impl Session {
    fn is_usable(&self) -> bool {
        !self.gone.load(Ordering::Acquire) && !self.service.is_transport_closed()
    }
}

impl Line {
    /// # Errors
    /// A sentence, if the certificates that it is to trust are not there.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let hidden = Hidden::default();
        let way = match &settings.server {
            Server::Address(address) => {
                let tls = address.url.scheme() == "https";
                let authorities = address.authorities.as_deref();
                // A redirect would lead a call to another server.
                let client = Client::new(address.allow(), 0, MOST_READ, authorities, tls)?;
                for (_, value) in address.url.query_pairs() {
                    hidden.hide(&value);
                }
                let endpoint = Endpoint::new(client, address.headers.clone(), hidden.clone());
                Way::Address { endpoint, url: address.url.to_string() }
            }
            Server::Program(start) => {
                let passed = start.environment.iter().filter(|(name, _)| start.passed.contains(name));
                passed.for_each(|(_, value)| hidden.hide(value));
                start.secrets().iter().for_each(|secret| hidden.hide(secret));
                Way::Program(start.clone())
            }
        };
        let (timeout, concurrency) = (settings.timeout, settings.concurrency);
        Ok(Self { way, timeout, concurrency, hidden, state: Mutex::default() })
    }

    /// What nobody is shown.
    pub(super) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// The result of a call, of which `teller` is told how far it is. Dropped, it tells the server that nobody waits.
    ///
    /// # Errors
    /// What went wrong, and whether the server says of the tool that a repeat does no harm.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &JsonObject,
        teller: &Teller,
    ) -> Result<CallToolResult, (Trouble, bool)> {
        let session = self.session().await.map_err(|trouble| (trouble, false))?;
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
        let called = session.calls.call(&session.service, params, teller.clone());
        let trouble = match timeout(self.timeout, called).await {
            Ok(Ok(CallToolResponse::Complete(result))) => return Ok(result),
            Ok(Ok(CallToolResponse::Task(_))) => Trouble::Said(format!(
                "the server goes on with {tool} and tells its result later, which is not waited for here: look what became of \
                 it before it is called again"
            )),
            Ok(Ok(_)) => Trouble::Said(
                "the server wants to be asked again for the result, which is not done here".to_owned(),
            ),
            Ok(Err(error)) => Trouble::of_call(error),
            Err(_) => Trouble::Late(self.timeout),
        };
        let is_gone = match &trouble {
            Trouble::Gone(_) => true,
            Trouble::Late(_) => !answers(&session.service).await,
            // It may be that the tool speaks of another session: so this call is not made again, in whichever.
            Trouble::Said(said) if said.to_ascii_lowercase().contains("session") => {
                !answers(&session.service).await
            }
            _ => false,
        };
        if is_gone {
            session.gone.store(true, Ordering::Release);
            // Calls that run in it keep it until they have ended. Where a session begins just now, this one is replaced.
            if let Ok(mut state) = self.state.try_lock() {
                state.session.take_if(|known| Arc::ptr_eq(known, &session));
            }
        }
        Err((trouble, session.harmless.contains(tool)))
    }

    /// All tools of the server.
    async fn tools(&self) -> Result<Vec<Listed>, Trouble> {
        let session = self.session().await?;
        let read = timeout(self.timeout, tools(&session.service, |tool| Some(listed(tool)))).await;
        read.map_err(|_| Trouble::Late(self.timeout))?.map_err(Trouble::of_call)
    }

    /// Ends the session.
    pub(super) async fn close(&self) {
        let Some(session) = self.state.lock().await.session.take() else { return };
        // Where calls still run, the last of them ends it.
        let Some(Session { mut service, program, .. }) = Arc::into_inner(session) else { return };
        let _ = service.close_with_timeout(END).await;
        if let Some(program) = program {
            program.end().await;
        }
    }

    /// The session, within the timeout, however many wait for it: where it does not begin, all of them are told why.
    async fn session(&self) -> Result<Arc<Session>, Trouble> {
        let asked = Instant::now();
        let late = Trouble::Late(self.timeout).before_any_call();
        let Ok(mut state) = timeout(self.timeout, self.state.lock()).await else { return Err(late) };
        if let Some(session) = state.session.as_ref().filter(|session| session.is_usable()) {
            return Ok(Arc::clone(session));
        }
        state.session = None;
        if let Some((_, trouble)) = state.failed.as_ref().filter(|(when, _)| *when >= asked) {
            return Err(trouble.clone());
        }
        let left = self.timeout.saturating_sub(asked.elapsed());
        match timeout(left, self.begin()).await {
            Ok(Ok(session)) => Ok(Arc::clone(state.session.insert(Arc::new(session)))),
            Ok(Err(trouble)) => Err(state.fail(trouble.before_any_call())),
            Err(_) => Err(state.fail(late)),
        }
    }

    async fn begin(&self) -> Result<Session, Trouble> {
        let name = Implementation::new("asya-mcp-call", env!("CARGO_PKG_VERSION"));
        // No capabilities: a server gets no model, no files and no person to ask.
        let config = ClientConfig::new(ClientCapabilities::default(), name);
        let calls = Calls::default();
        let client = Listener { config, calls: calls.clone(), hidden: self.hidden.clone() };
        let (service, program) = match &self.way {
            Way::Address { endpoint, url } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
                // Here it is known which call is repeated.
                config.reinit_on_expired_session = false;
                config.retry_config = Arc::new(NeverRetry::default());
                // One more than there are calls, so that it can be asked whether it is there.
                config.max_concurrent_requests = self.concurrency.saturating_add(1);
                let transport = StreamableHttpClientTransport::with_client(endpoint.clone(), config);
                (client.serve(transport).await, None)
            }
            Way::Program(start) => {
                let (program, (out, into)) = Program::start(start, &self.hidden).map_err(Trouble::Said)?;
                let transport = AsyncRwTransport::new_client(out, into).with_max_line_length(MOST_READ);
                (client.serve(transport).await, Some(program))
            }
        };
        let service = service.map_err(Trouble::of_beginning)?;
        let harmless = match tools(&service, harmless).await {
            Ok(tools) => tools.into_iter().collect(),
            Err(error @ (ServiceError::TransportSend(_) | ServiceError::TransportClosed)) => {
                return Err(Trouble::of_call(error));
            }
            // It can be called without; only, nothing is repeated then.
            Err(error) => {
                let error = self.hidden.clean(&error.to_string());
                tracing::warn!(error, "the MCP server does not list its tools");
                BTreeSet::new()
            }
        };
        Ok(Session { service, calls, harmless, program, gone: AtomicBool::new(false) })
    }
}

/// Whether a server says that it is there.
async fn answers(server: &Peer<RoleClient>) -> bool {
    let ping = server.send_request(ClientRequest::PingRequest(PingRequest::default()));
    timeout(PING, ping).await.is_ok_and(|answer| answer.is_ok())
}

/// What is kept of the first tools of a server.
async fn tools<T>(
    server: &Peer<RoleClient>,
    keep: impl Fn(Tool) -> Option<T>,
) -> Result<Vec<T>, ServiceError> {
    let (mut kept, mut read, mut cursor) = (Vec::new(), 0, None);
    for _ in 0..MOST_PAGES {
        let page = server.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
        let left = MOST_TOOLS - read;
        read += page.tools.len().min(left);
        kept.extend(page.tools.into_iter().take(left).filter_map(&keep));
        cursor = page.next_cursor;
        if cursor.is_none() || read == MOST_TOOLS {
            break;
        }
    }
    Ok(kept)
}

/// The name of a tool that may be called again.
fn harmless(tool: Tool) -> Option<String> {
    let says = tool.annotations.as_ref()?;
    let harmless = says.read_only_hint == Some(true) || says.idempotent_hint == Some(true);
    (harmless && tool.name.len() <= NAME).then(|| tool.name.into_owned())
}

/// A tool as a server tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its name there.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
    /// The server says that it changes nothing.
    pub reads_only: bool,
}

fn listed(tool: Tool) -> Listed {
    Listed {
        reads_only: tool.annotations.as_ref().is_some_and(|says| says.read_only_hint == Some(true)),
        description: tool.description.or(tool.title.map(Into::into)).unwrap_or_default().into_owned(),
        schema: Value::Object(tool.input_schema.as_ref().clone()),
        name: tool.name.into_owned(),
    }
}

/// The tools of a server, the first thousand.
///
/// # Errors
/// A sentence, without credentials.
pub async fn list(settings: &Settings) -> Result<Vec<Listed>, String> {
    let line = Line::new(settings)?;
    let tools = line.tools().await.map_err(|trouble| line.hidden.clean(&trouble.to_string()));
    line.close().await;
    tools
}
