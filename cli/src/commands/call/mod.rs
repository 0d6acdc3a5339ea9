//! `asya call`.

mod after;
pub(crate) mod arguments;
pub(crate) mod schema;

use std::time::Duration;

use asya_resources::Delay;
use clap::{Args, CommandFactory as _};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{tools::described, watch};
use crate::{
    args::{Cli, Common},
    exit::{self, misconfigured},
    gateway::{
        Client, Follow, GatewayArgs, GatewayError,
        client::segment,
        wire::{Handle, Tool},
    },
    output::{note, print},
};
use after::After;
use schema::Parameters;

/// How often a call is sent again whose answer did not come: the id makes it the same call.
const TRIES: u32 = 5;
/// First pause before it is; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// Call a tool of a gateway and wait for its result
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Arguments are written --NAME VALUE or NAME=VALUE, as the tool's schema names them (`asya tools TOOL`, `asya call \
    TOOL --help`): lists by repeating them, objects as JSON. Or all at once: a JSON object, @FILE with one, or - for \
    standard input.\n\nExamples:\n  asya call ocr --page 3 --lang de --lang en\n  asya call ocr '{\"page\": 3}' --output json\n  \
    asya call ocr --json @arguments.json --no-wait\n  asya call ocr --gateway https://asya.example.com --token-file ~/.asya/token page=3"
)]
pub(crate) struct Call {
    /// The tool: `asya tools`
    #[arg(required_unless_present = "help")]
    tool: Option<String>,
    /// All arguments at once: a JSON object, @FILE with one, or - for standard input; others go before them
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    /// Say the envelope's id and end, without waiting for the result
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after this long; the envelope goes on
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// The envelope's id, so that the same call can be sent again without being done twice [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// Print help; with a tool, what it does and its arguments
    #[arg(long, short)]
    help: bool,
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Its arguments
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Call {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { tool, json, no_wait, timeout, id, help, gateway, arguments } = self;
        let Some(tool) = tool else { return own_help() };
        let (after, typed) = After::split(arguments)?;
        let common = Common {
            output: after.output.unwrap_or(common.output),
            profile: after.profile.or(common.profile),
            ..common
        };
        let gateway = GatewayArgs {
            gateway: after.gateway.or(gateway.gateway),
            token_file: after.token_file.or(gateway.token_file),
            context: after.context.or(gateway.context),
        };
        let limit = after.timeout.or(timeout).map(|text| {
            Delay::parse(&text)
                .map(|delay| delay.0)
                .map_err(|error| misconfigured(format!("--timeout: {error}")))
        });
        let limit = limit.transpose()?;
        let client = gateway.client(&common)?;
        let asked: Result<Tool, _> = client.get(&format!("/api/v1/tools/{}", segment(&tool))).await;
        let tool = asked.map_err(|error| unknown(error, &tool))?;
        if help || after.help {
            print(&described(&tool));
            return Ok(exit::OK);
        }
        let json = after.json.or(json);
        let arguments = arguments::parse(&Parameters::of(&tool.input_schema), json.as_deref(), &typed)
            .map_err(|wrong| {
                misconfigured(format!("{}; `asya tools {}` shows its arguments", wrong.join("; "), tool.name))
            })?;
        let id = after.id.or(id).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let again = client.again();
        let calling = async {
            let handle = call(&client, &tool, &id, &arguments).await.map_err(GatewayError::told)?;
            if no_wait || after.no_wait {
                common.output.line(&json!({"id": handle.id, "status": "pending"}), || handle.id.clone());
                return Ok(exit::OK);
            }
            let follow = Follow::new(client.clone(), &handle.id);
            let view = watch::View::of_call(common.output, &handle.id);
            watch::to_end(&client, follow, &handle.id, view, common.output).await
        };
        tokio::select! {
            result = calling => result,
            _ = tokio::signal::ctrl_c() => {
                note(common.output, &format!(
                    "{id} goes on if it was sent: `asya watch {id}{again}` follows it, `asya cancel {id}{again}` ends it"
                ));
                Ok(exit::INTERRUPTED)
            }
            () = elapsed(limit) => anyhow::bail!(
                "{id} has not ended within {:?} and goes on: `asya watch {id}{again}` follows it, `asya cancel {id}{again}` ends it",
                limit.unwrap_or_default()
            ),
        }
    }
}

/// What the parser of the command line would print if `--help` were not the tool's too.
fn own_help() -> anyhow::Result<u8> {
    let mut whole = Cli::command();
    whole.build();
    let call = whole.find_subcommand_mut("call").expect("it is this command");
    call.print_long_help()?;
    Ok(exit::OK)
}

/// Waits for this long; for ever without.
async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn unknown(error: GatewayError, tool: &str) -> anyhow::Error {
    if error.status() == Some(http::StatusCode::NOT_FOUND) {
        return misconfigured(format!("no tool {tool:?}; `asya tools` lists those of the gateway"));
    }
    error.told()
}

/// Calls, again when the answer does not come.
async fn call(
    client: &Client,
    tool: &Tool,
    id: &str,
    arguments: &Map<String, Value>,
) -> Result<Handle, GatewayError> {
    let path = format!("/api/v1/tools/{}?wait=0", segment(&tool.name));
    let body = json!({"arguments": arguments, "id": id});
    let (mut tries, mut pause) = (1, PAUSE);
    loop {
        let error = match client.post(&path, &body).await {
            Ok(handle) => return Ok(handle),
            Err(error) => error,
        };
        let Some(after) = error.again().filter(|_| tries < TRIES) else { return Err(error) };
        sleep(after.max(pause)).await;
        (tries, pause) = (tries + 1, pause * 2);
    }
}
