//! `asya agent-tools`.
//!
//! | module | holds |
//! |---|---|
//! | `declared` | from what a server says of its tools to what an agent is told of them |
//! | `drift` | where they are not what an Agent has pinned |

mod declared;
mod drift;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use asya_crew::{
    Kind,
    mcp_call::{self, Listed},
    shipped::Variables,
};
use asya_envelope::{ActorName, glob};
use asya_resources::{
    API_VERSION,
    agent::{Declared, Risk},
};
use clap::Args;
use serde_json::{Value, json};

use self::declared::{Grading, Tools};
use crate::{
    args::Common,
    exit::{self, misconfigured},
    output::{Output, note, print, safe, yaml},
};

/// Image of a manifest unless another is named: that of this version.
const IMAGE: &str = concat!("asya-crew:", env!("CARGO_PKG_VERSION"));

/// Make tools of an agent from the tools of an MCP server
///
/// Prints the manifest of the actor that calls the server (mcp-call), and what goes into spec.tools of an Agent: names,
/// descriptions and schemas as the server tells them now. An agent is told these and no others, whatever the server says
/// later. Read them before they are applied.
#[derive(Debug, Args)]
#[command(
    override_usage = "asya agent-tools [OPTIONS] <URL>\n       asya agent-tools [OPTIONS] -- <COMMAND> [ARGUMENT]...",
    after_help = "Printed as YAML; with --output json as one line of JSON, {\"actor\", \"tools\"}.\n\nExamples:\n  \
    asya agent-tools https://mcp.example.com/mcp --header 'Authorization: Bearer {file:/etc/mcp/token}'\n  \
    asya agent-tools --actor files --allow 'read_*' -- npx -y @modelcontextprotocol/server-filesystem /data"
)]
pub(crate) struct AgentTools {
    /// Address of the server: streamable HTTP
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    url: Option<String>,
    /// The server as a program, which is started here without a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Name of the actor
    #[arg(long, value_name = "NAME", default_value = "mcp")]
    actor: String,
    /// Tools that are taken: names and globs [default: all]
    #[arg(long, value_name = "GLOB")]
    allow: Vec<String>,
    /// How bad a call can get, of all tools: low, medium, high [default: low for tools that the server says only read, else high]
    #[arg(long, value_name = "RISK", value_parser = risk)]
    risk: Option<Risk>,
    /// Have somebody approve each call, also of tools that only read
    #[arg(long)]
    approval: bool,
    /// A header of each request, 'NAME: VALUE'; {file:PATH} in it is the content of a file
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// PEM file of the authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// A variable of this environment that the program gets besides PATH, HOME, LANG and TMPDIR
    #[arg(long, value_name = "NAME")]
    pass: Vec<String>,
    /// Transport of the actor: spec.transport
    #[arg(long = "via", value_name = "TRANSPORT", default_value = "rabbitmq")]
    via: String,
    /// Image of the actor
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    /// Print nothing to apply, but where the tools differ from those that the Agents of this file have of the actor; 2 is the code where they do
    #[arg(long, value_name = "MANIFEST")]
    check: Option<PathBuf>,
}

fn risk(text: &str) -> Result<Risk, String> {
    let found = [Risk::Low, Risk::Medium, Risk::High].into_iter().find(|risk| risk.as_str() == text);
    found.ok_or_else(|| "must be low, medium or high".to_owned())
}

impl AgentTools {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        ActorName::parse(&self.actor).map_err(|error| misconfigured(error.to_string()))?;
        let told = self.environment()?;
        let pinned = self.check.as_ref().map(|file| drift::pinned(file, &self.actor)).transpose()?;
        let listed = list(&told).await?;
        if let Some(pinned) = pinned {
            return Ok(check(&pinned, &listed, common.output));
        }
        let allowed = |tool: &Listed| {
            self.allow.is_empty() || self.allow.iter().any(|pattern| glob::matches(pattern, &tool.name))
        };
        let listed: Vec<_> = listed.into_iter().filter(allowed).collect();
        if listed.is_empty() {
            anyhow::bail!("the server has no tool that is taken: see --allow");
        }
        let grading = Grading { risk: self.risk, approval: self.approval };
        let tools = Tools::of(&listed, &self.actor, &grading).map_err(theirs)?;
        let actor = self.manifest(&told, &tools);
        let block = json!({"tools": tools.block()});
        if common.output == Output::Json {
            common.output.line(&json!({"actor": actor, "tools": block["tools"]}), String::new);
        } else {
            print(yaml(&[actor])?.trim_end());
            print("---\n# In the spec of the Agent:");
            print(yaml(&[block])?.trim_end());
        }
        for words in tools.notes() {
            note(common.output, &words);
        }
        if mcp_call::shown(&self.command) != self.command {
            note(
                common.output,
                "what looks like a secret in the command is *** in the manifest, and is refused there: give it to the program by a \
                 variable (--pass)",
            );
        }
        Ok(exit::OK)
    }

    /// The variables of the actor, beside the names of its tools.
    fn environment(&self) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut told = BTreeMap::new();
        match &self.url {
            Some(url) => drop(told.insert("ASYA_MCP_URL", url.clone())),
            None => drop(told.insert("ASYA_MCP_COMMAND", json!(self.command).to_string())),
        }
        if !self.header.is_empty() {
            let headers: Result<BTreeMap<_, _>, _> = self.header.iter().map(|text| header(text)).collect();
            told.insert("ASYA_MCP_HEADERS", json!(headers?).to_string());
        }
        if let Some(file) = &self.ca_file {
            told.insert("ASYA_MCP_CA_FILE", file.clone());
        }
        if !self.pass.is_empty() {
            told.insert("ASYA_MCP_PASS", self.pass.join(","));
        }
        Ok(told)
    }

    fn manifest(&self, told: &BTreeMap<&'static str, String>, tools: &Tools) -> Value {
        let shown = |(name, value): (&&str, &String)| match *name {
            "ASYA_MCP_COMMAND" => {
                json!({"name": name, "value": json!(mcp_call::shown(&self.command)).to_string()})
            }
            name => json!({"name": name, "value": value}),
        };
        let mut env: Vec<_> = told.iter().map(shown).collect();
        env.push(json!({"name": "ASYA_MCP_TOOLS", "value": tools.names().join(",")}));
        // As on a cluster, a value that is secret comes from a Secret: of the actor's name, under the variable's.
        env.extend(self.pass.iter().map(
            |name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": self.actor, "key": name}}}),
        ));
        let container = json!({"name": "asya-runtime", "image": self.image});
        let mut spec = json!({
            "transport": self.via,
            "embedded": true,
            "handler": Kind::Mcp.handler(),
            "env": env,
            "workload": {"template": {"spec": {"containers": [container]}}},
        });
        if tools.all_are_approved() {
            spec["sidecar"] = json!({"env": [{"name": "ASYA_APPROVED_ONLY", "value": "true"}]});
        }
        json!({"apiVersion": API_VERSION, "kind": "AsyncActor", "metadata": {"name": self.actor}, "spec": spec})
    }
}

/// Says where tools are not what is pinned.
fn check(pinned: &[Declared], listed: &[Listed], output: Output) -> u8 {
    let (drifted, unpinned) = (drift::drifted(pinned, listed), drift::unpinned(pinned, listed));
    if output == Output::Json {
        output.line(&json!({"drifted": drifted, "unpinned": unpinned}), String::new);
    } else {
        for tool in &drifted {
            print(&safe(&format!("{} ({})", tool.tool, tool.mcp_tool)));
            tool.differences.iter().for_each(|words| print(&safe(&format!("  {words}"))));
        }
        if drifted.is_empty() {
            print(&format!("{} tools are as they are pinned", pinned.len()));
        }
        if !unpinned.is_empty() {
            let names: Vec<_> = unpinned.iter().map(|name| format!("{name:?}")).collect();
            note(
                output,
                &safe(&format!("not pinned, so that no model is told of them: {}", names.join(", "))),
            );
        }
    }
    if drifted.is_empty() { exit::OK } else { exit::FOUND }
}

/// The tools of the server that is meant by these variables.
async fn list(told: &BTreeMap<&'static str, String>) -> anyhow::Result<Vec<Listed>> {
    // Files are meant from here; so is what the program gets.
    let find = |name: &str| match name {
        "ASYA_MCP_TOOLS" => Some("*".to_owned()),
        name if name.starts_with("ASYA_MCP_") => told.get(name).cloned(),
        name => std::env::var(name).ok(),
    };
    let settings = mcp_call::Settings::read(&Variables { find: &find, base: Path::new("") })
        .map_err(|errors| misconfigured(errors.join("\n")))?;
    mcp_call::list(&settings).await.map_err(theirs)
}

/// An error in which are words of the server.
fn theirs(error: String) -> anyhow::Error {
    anyhow::Error::msg(safe(&error).into_owned())
}

/// The name and value of a header. One that is a credential is read from a file: it would stand in the manifest.
fn header(text: &str) -> anyhow::Result<(String, String)> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(misconfigured(format!("--header {text:?} must be 'NAME: VALUE'")));
    };
    let (name, value) = (name.trim(), value.trim());
    if mcp_call::is_secret(name) && !value.contains("{file:") {
        return Err(misconfigured(format!(
            "--header {name}: its value would stand in the manifest; write '{name}: … {{file:PATH}}' with the file that holds it"
        )));
    }
    Ok((name.to_owned(), value.to_owned()))
}
