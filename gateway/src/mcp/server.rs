//! What one client talks to.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelledNotificationParam, CustomRequest, CustomResult,
        ErrorCode, Extensions, GetPromptRequestParams, GetPromptResponse, Implementation, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
        SubscriptionFilter, Tool as Listed,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{answer, cluster::own_listed, prompt, resource, session::Sessions};
use crate::{
    actors::Source,
    auth::Principal,
    cluster::Look,
    service::{Error, Service},
    tools::Tool,
};

/// Header that names the session of a client that has one.
const SESSION: &str = "mcp-session-id";
/// Name of the server, as the Go system says it.
const NAME: &str = "asya-gateway";
/// What a model is told about all tools.
const INSTRUCTIONS: &str = "Each tool sends an envelope through a pipeline of actors. A call answers with `envelope_id` at \
     once, or with the result when the tool waits or progress was asked for. Read asya://envelopes/{id} for the state \
     and the result of an envelope, and use the prompt diagnose_failure when one has failed.";

/// One client's server: of a session, of a pipe, or of a single request.
pub struct Server {
    pub(super) service: Service,
    pub(super) actors: Option<Arc<dyn Source>>,
    pub(super) cluster: Option<Arc<Look>>,
    pub(super) sessions: Sessions,
    /// Who acts; `None`: each request says it.
    who: Option<Principal>,
    /// Cancelled when the gateway stops: calls then end, and their envelopes go on.
    pub(super) stop: CancellationToken,
    /// Calls that wait.
    pub(super) running: TaskTracker,
    initialized: AtomicBool,
    gone: CancellationToken,
    _gone: DropGuard,
}

impl Server {
    /// A server for one client. Without `who` the principal is taken from each request's extensions.
    pub fn new(
        service: Service,
        actors: Option<Arc<dyn Source>>,
        who: Option<Principal>,
        stop: CancellationToken,
    ) -> Self {
        let gone = CancellationToken::new();
        Self {
            sessions: Sessions::new(service.store()),
            service,
            actors,
            cluster: None,
            who,
            stop,
            running: TaskTracker::new(),
            initialized: AtomicBool::new(false),
            _gone: gone.clone().drop_guard(),
            gone,
        }
    }

    /// The same, with tools to look into a cluster.
    #[must_use]
    pub fn looking(mut self, cluster: Option<Arc<Look>>) -> Self {
        self.cluster = cluster;
        self
    }

    fn who(&self, extensions: &Extensions) -> Result<Principal, ErrorData> {
        let said = || parts(extensions)?.extensions.get::<Principal>().cloned();
        self.who.clone().or_else(said).ok_or_else(|| {
            ErrorData::invalid_request("nobody said who calls: authentication is missing", None)
        })
    }

    /// The session that a message came in; `None` on a pipe and for requests that stand alone.
    pub(super) fn session_of(&self, extensions: &Extensions) -> Option<String> {
        let session = parts(extensions)?.headers.get(SESSION)?.to_str().ok()?;
        self.initialized.load(Ordering::Relaxed).then(|| session.to_owned())
    }
}

/// The HTTP request that carried a message.
pub(super) fn parts(extensions: &Extensions) -> Option<&Parts> {
    extensions.get::<Parts>()
}

fn listed(tool: &Tool) -> Listed {
    Listed::new_with_raw(
        tool.name.clone(),
        (!tool.description.is_empty()).then(|| Cow::Owned(tool.description.clone())),
        Arc::new(tool.schema.clone()),
    )
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_prompts()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&[
            ProtocolVersion::V_2025_03_26,
            ProtocolVersion::V_2025_06_18,
            ProtocolVersion::V_2025_11_25,
            ProtocolVersion::V_2026_07_28,
        ])
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let who = self.who(&context.extensions)?;
        let own: Vec<_> = self.own_tools(&who).collect();
        let tools = match self.service.catalogue(&who) {
            Ok(tools) => tools.iter().map(|tool| listed(tool)).chain(own).collect(),
            // Who may only look into the cluster has these.
            Err(_) if !own.is_empty() => own,
            Err(error) => return Err(answer::error(&error)),
        };
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Listed> {
        let piped = self.service.tools().get(name).map(|tool| listed(tool));
        piped.or_else(|| self.own_tool(name).map(own_listed))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let who = self.who(&context.extensions)?;
        if let Some(tool) = self.own_tool(&request.name) {
            return Ok(self.call_own(&who, tool, request.arguments.unwrap_or_default()).await?.into());
        }
        Ok(self.call(&who, request, &context).await?.into())
    }

    async fn on_cancelled(
        &self,
        cancelled: CancelledNotificationParam,
        context: NotificationContext<RoleServer>,
    ) {
        let (Some(session), Some(request)) = (self.session_of(&context.extensions), cancelled.request_id)
        else {
            return;
        };
        let Ok(who) = self.who(&context.extensions) else { return };
        match self.sessions.take_call(&session, &request).await {
            Ok(Some(envelope)) => self.cancel(&who, &envelope).await,
            Ok(None) => tracing::debug!(%request, "a call that does not wait was cancelled"),
            Err(error) => tracing::warn!(%error, %request, "a call could not be cancelled"),
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.initialized.store(true, Ordering::Relaxed);
        let (mut changes, gone) = (self.service.tool_changes(), self.gone.clone());
        tokio::spawn(gone.run_until_cancelled_owned(async move {
            changes.mark_unchanged();
            while changes.changed().await.is_ok() {
                if context.peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        }));
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let who = self.who(&subscription.request_context().extensions)?;
        self.service.catalogue(&who).map_err(|error| answer::error(&error))?;
        let mut changes = self.service.tool_changes();
        changes.mark_unchanged();
        loop {
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = self.stop.cancelled() => return Ok(()),
                changed = changes.changed() => {
                    if changed.is_err() || subscription.sink().notify_tool_list_changed().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let who = self.who(&context.extensions)?;
        resource::list(self, &who).await.map_err(|error| answer::error(&error))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.who(&context.extensions)?;
        Ok(ListResourceTemplatesResult::with_all_items(resource::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let who = self.who(&context.extensions)?;
        match resource::read(self, &who, &request.uri).await {
            Ok(read) => Ok(read.into()),
            Err(error @ Error::NotFound { .. }) => {
                Err(ErrorData::resource_not_found(error.to_string(), None))
            }
            Err(error) => Err(answer::error(&error)),
        }
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.who(&context.extensions)?;
        Ok(ListPromptsResult::with_all_items(prompt::all(self.cluster.is_some())))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let who = self.who(&context.extensions)?;
        Ok(prompt::get(self, &who, request).await.map_err(|error| answer::error(&error))?.into())
    }

    /// What has the name of no method, or parameters that the method does not take.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let wrong = match request.method.as_str() {
            "tools/call" => request.params_as::<CallToolRequestParams>().err(),
            "resources/read" => request.params_as::<ReadResourceRequestParams>().err(),
            "prompts/get" => request.params_as::<GetPromptRequestParams>().err(),
            _ => return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None)),
        };
        let why = wrong.map_or_else(|| "parameters are missing".to_owned(), |error| error.to_string());
        Err(ErrorData::invalid_params(format!("{}: {why}", request.method), None))
    }
}
