//! `asya chat`: a conversation with an agent, in the terminal.
//!
//! | module | holds |
//! |---|---|
//! | this | the arguments, and which agent or conversation is meant |
//! | `talk` | [`Talk`](talk::Talk): what is typed, what comes, and in which order |
//! | [`view`] | how entries and operations look |
//! | `typed` | lines of standard input |

mod talk;
mod typed;
pub(crate) mod view;

use std::io::{IsTerminal as _, Read as _};

use asya_session::Session;
use clap::Args;
use http::StatusCode;
use serde_json::json;

use crate::{
    args::Common,
    exit::{self, misconfigured},
    gateway::{
        Client, GatewayArgs, GatewayError,
        chat::{Agent, Agents},
        client::segment,
    },
    output::{Output, note, safe, short},
};
use talk::Talk;

/// Longest message that is read from standard input, in bytes: more than a gateway takes.
const LONGEST: u64 = 1024 * 1024;
/// Characters of an agent's description that are shown.
const DESCRIBED: usize = 60;

/// Talk with an agent
///
/// What it does is shown as it happens, and nothing is changed before somebody approved it. The conversation is kept by
/// the gateway: it goes on when the terminal is closed, and can be taken up again by its id.
#[derive(Debug, Args)]
#[command(after_help = "In a conversation: /quit or Ctrl-D leaves, /cancel stops what runs.\n\n\
    Examples:\n  asya chat\n  asya chat --agent ops\n  asya chat s-0199c0de-0000-7000-8000-000000000000\n  \
    asya chat --agent ops --message 'why is checkout slow?'\n  kubectl get events | asya chat --agent ops")]
pub(crate) struct Chat {
    /// A conversation to go on with [default: a new one]
    session: Option<String>,
    /// The agent of a new conversation [default: the only one there is]
    #[arg(long, value_name = "NAME", conflicts_with = "session")]
    agent: Option<String>,
    /// Say this, show the answer, and end
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// A model of the agent's list, for what is said now
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

/// Where what is said goes.
enum Place {
    /// A conversation that there is.
    Going(Box<Session>),
    /// A new one with this agent, made by what is said first.
    New(String),
}

impl Chat {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { session, agent, message, model, gateway } = self;
        let client = gateway.client(&common)?;
        let message = match message {
            Some(text) => Some(text),
            None if std::io::stdin().is_terminal() => None,
            None => Some(piped()?),
        };
        if message.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(misconfigured("there is nothing to say: the message is empty"));
        }
        if message.is_none() && common.output == Output::Json {
            return Err(misconfigured("--output json needs --message, or a message on standard input"));
        }
        let place = match session {
            Some(id) => Place::Going(Box::new(going(&client, &id).await?)),
            None => Place::New(chosen(&client, agent).await?),
        };
        let again = client.again().to_owned();
        let mut talk = Talk::new(client, place, model, common.output);
        let ended = tokio::select! {
            ended = talk.run(message) => ended?,
            _ = tokio::signal::ctrl_c() => exit::INTERRUPTED,
        };
        if let Some(id) = talk.session() {
            note(common.output, &format!("`asya chat {id}{again}` goes on with this conversation"));
        }
        Ok(ended)
    }
}

fn piped() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(misconfigured(format!("the message on standard input has more than {LONGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| misconfigured("the message on standard input is no UTF-8"))
}

async fn going(client: &Client, id: &str) -> anyhow::Result<Session> {
    let session = client.get(&format!("/api/v1/sessions/{}", segment(id))).await;
    session.map_err(|error| match error.status() {
        Some(StatusCode::NOT_FOUND) => {
            anyhow::anyhow!("no conversation {}; `asya sessions` shows yours", safe(id))
        }
        _ => error.told(),
    })
}

/// The agent that is meant.
async fn chosen(client: &Client, agent: Option<String>) -> anyhow::Result<String> {
    let Agents { agents } = client.get("/api/v1/agents").await.map_err(GatewayError::told)?;
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "this gateway knows none: apply an Agent, or name their directory by ASYA_GATEWAY_AGENTS_DIR"
            .to_owned(),
        _ => format!("there are: {}", safe(&agents.iter().map(named).collect::<Vec<_>>().join(", "))),
    };
    match (agent, names.as_slice()) {
        (Some(agent), names) if names.contains(&agent.as_str()) => Ok(agent),
        (Some(agent), _) => Err(misconfigured(format!("no agent {agent:?}; {known}"))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(misconfigured(format!("--agent says which; {known}"))),
    }
}

fn named(agent: &Agent) -> String {
    let Agent { name, description } = agent;
    if description.is_empty() { name.clone() } else { format!("{name} ({})", short(description, DESCRIBED)) }
}

/// What a message is sent as.
fn said(text: &str, model: Option<&String>) -> serde_json::Value {
    let mut said = json!({"text": text});
    if let Some(model) = model {
        said["options"] = json!({"model": model});
    }
    said
}
