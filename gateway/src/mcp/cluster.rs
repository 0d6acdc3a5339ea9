//! The gateway's own tools: a look into the cluster, and what is broken in it.

use asya_cluster::look::arguments;
use rmcp::{
    ErrorData,
    model::{CallToolResult, Tool as Listed, ToolAnnotations},
};
use serde_json::{Map, Value, json};

use super::{Server, answer};
use crate::{
    auth::Principal,
    cluster::{ANSWER, Tool},
    rest::api::{finding::FindingPage, findings::Wanted},
    service::Error,
};

impl Server {
    /// The own tool of this name. A pipeline's tool of that name comes before it.
    pub(super) fn own_tool(&self, name: &str) -> Option<Tool> {
        self.cluster.as_ref()?;
        Tool::named(name).filter(|_| self.service.tools().get(name).is_none())
    }

    /// The own tools that `who` may call.
    pub(super) fn own_tools(&self, who: &Principal) -> impl Iterator<Item = Listed> {
        let names = Tool::ALL.into_iter().filter_map(|tool| self.own_tool(tool.name()));
        names.filter(|tool| who.roles.has(tool.role())).map(own_listed)
    }

    /// Calls an own tool. What is wrong is an answer that a model can act on.
    pub(super) async fn call_own(
        &self,
        who: &Principal,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<CallToolResult, ErrorData> {
        let outcome = match (tool, &self.cluster) {
            (Tool::ListFindings, _) => self.findings(who, arguments).await,
            (tool, Some(cluster)) => cluster.call(who, tool, arguments).await,
            (tool, None) => Err(Error::NotFound { what: "tool", name: tool.name().to_owned() }),
        };
        Ok(match outcome {
            Ok(value) => CallToolResult::structured(value),
            Err(error) => answer::refused(&error),
        })
    }

    async fn findings(&self, who: &Principal, given: Map<String, Value>) -> Result<Value, Error> {
        let wanted: Wanted = arguments::read(given)?;
        let (wanted, after, limit) = wanted.parts();
        let page = self.service.findings(who, &wanted, after.as_deref(), limit).await?;
        Ok(json!(FindingPage::from(page).within(ANSWER)))
    }
}

/// A tool as a list has it.
pub(super) fn own_listed(tool: Tool) -> Listed {
    let listed = Listed::new(tool.name(), tool.description(), tool.schema());
    listed.with_annotations(ToolAnnotations::new().read_only(true))
}
