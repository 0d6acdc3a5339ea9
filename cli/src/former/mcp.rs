//! `asya-mcp`.

use clap::{Parser, Subcommand};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::common;
use crate::{
    commands::{
        call::{arguments, schema::Parameters},
        tools::{described, list},
        watch::View,
    },
    exit::{self, misconfigured},
    gateway::{
        Client, Follow, GatewayArgs, GatewayError, Told,
        client::{segment, verbatim},
        wire::{self, Status},
    },
    output::{Output, json_line, note, print, safe},
};

/// Call tools of a gateway, as the client of the Go system does: `asya tools` and `asya call` do more
#[derive(Debug, Parser)]
#[command(
    name = "asya-mcp",
    version,
    after_help = "Examples:\n  asya-mcp list\n  asya-mcp call ocr --page=3\n  asya-mcp call ocr '{\"page\": 3}'\n  asya-mcp --no-stream call ocr --page 3"
)]
pub(super) struct AsyaMcp {
    /// The gateway [env: ASYA_CLI_MCP_URL] [default: http://localhost:8089]
    #[arg(long, global = true)]
    url: Option<String>,
    /// Print the handle of a call and end
    #[arg(long, global = true)]
    no_stream: bool,
    /// Say each request on standard error [env: ASYA_CLI_MCP_DEBUG]
    #[arg(long, global = true)]
    debug: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List tools
    List,
    /// Show a tool
    Show {
        /// Its name
        tool: String,
    },
    /// Call a tool, show its progress, and print its last event
    Call {
        /// Its name
        tool: String,
        /// A JSON object, --NAME=VALUE or --NAME VALUE
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print an envelope
    Status {
        /// Its id
        id: String,
    },
    /// Show the progress of an envelope, and print its last event
    Stream {
        /// Its id
        id: String,
    },
}

impl AsyaMcp {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let Self { url, no_stream, debug, command } = self;
        let common = common();
        let set = std::env::var("ASYA_CLI_MCP_DEBUG").unwrap_or_default();
        let debug = debug || !matches!(set.to_lowercase().as_str(), "" | "0" | "false" | "no");
        let client = GatewayArgs { gateway: url, ..GatewayArgs::default() }.client(&common)?.debugging(debug);
        let work = async {
            match command {
                Command::List => {
                    list(&common, &client.get("/api/v1/tools").await.map_err(GatewayError::told)?)?;
                    Ok(exit::OK)
                }
                Command::Show { tool } => {
                    print(&described(&find(&client, &tool).await?));
                    Ok(exit::OK)
                }
                Command::Call { tool, arguments } => call(&client, &tool, &arguments, no_stream).await,
                Command::Status { id } => {
                    let path = format!("/envelopes/{}", segment(&id));
                    let raw: Box<RawValue> = client.get(&path).await.map_err(GatewayError::told)?;
                    print(&verbatim(&raw));
                    Ok(exit::OK)
                }
                Command::Stream { id } => stream(&client, &id).await,
            }
        };
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Ok(exit::INTERRUPTED),
        }
    }
}

async fn find(client: &Client, tool: &str) -> anyhow::Result<wire::Tool> {
    client.get(&format!("/api/v1/tools/{}", segment(tool))).await.map_err(GatewayError::told)
}

/// What a call answers: a result of the Model Context Protocol.
#[derive(Deserialize)]
struct Answer {
    content: Vec<Content>,
    #[serde(rename = "isError", default)]
    wrong: bool,
}

#[derive(Deserialize)]
struct Content {
    text: String,
}

#[derive(Deserialize)]
struct Handle {
    envelope_id: String,
}

async fn call(client: &Client, tool: &str, typed: &[String], no_stream: bool) -> anyhow::Result<u8> {
    let tool = find(client, tool).await?;
    let arguments = arguments::parse(&Parameters::of(&tool.input_schema), None, typed)
        .map_err(|wrong| misconfigured(wrong.join("; ")))?;
    let body = json!({"name": tool.name, "arguments": arguments});
    let answer: Answer = client.post("/tools/call", &body).await.map_err(GatewayError::told)?;
    let text = answer.content.into_iter().next().map(|content| content.text).unwrap_or_default();
    if answer.wrong {
        return Err(misconfigured(safe(&text).into_owned()));
    }
    let handle: Handle = serde_json::from_str(&text)
        .map_err(|error| anyhow::anyhow!("the gateway's handle cannot be read: {error}"))?;
    if no_stream {
        print(&json_line(&text));
        return Ok(exit::OK);
    }
    eprintln!("envelope {}", safe(&handle.envelope_id));
    stream(client, &handle.envelope_id).await
}

/// Shows progress; prints the event that ends the envelope.
async fn stream(client: &Client, id: &str) -> anyhow::Result<u8> {
    let mut follow = Follow::at(client.clone(), format!("/envelopes/{}/stream", segment(id)));
    let (view, mut end) = (View::of_call(Output::Human, id), None);
    loop {
        match follow.next().await {
            Ok(Some(Told::Update { update, text })) => {
                view.show(&update, &text);
                end = Some((update.status, text));
            }
            Ok(Some(Told::Lost(why))) => {
                note(Output::Human, &format!("the connection is lost ({}); it is begun again", safe(&why)));
            }
            Ok(None) => break,
            Err(error) => {
                view.end();
                return Err(error.told());
            }
        }
    }
    view.end();
    let Some((status, text)) = end else { return Ok(exit::FAILED) };
    print(&json_line(&text));
    Ok(if status == Status::Succeeded { exit::OK } else { exit::FAILED })
}
