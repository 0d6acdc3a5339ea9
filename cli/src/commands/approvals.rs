//! `asya approvals`: what agents want to do, and may once somebody says so.

use asya_session::{Operation, Proposal, Verdict};
use clap::{Args, Subcommand, ValueEnum};
use http::StatusCode;
use serde_json::json;

use super::chat::view::card;
use crate::{
    args::Common,
    exit,
    gateway::{
        Client, GatewayArgs, GatewayError,
        chat::Operations,
        client::{query, segment},
    },
    output::{Output, print, safe, short, table},
};

/// Characters of a summary in the list.
const SHOWN: usize = 80;

/// Decide what agents want to change
///
/// Without a command: the operations that wait for a decision, newest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asya approvals\n  asya approvals show op-4f1c…\n  asya approvals approve op-4f1c…\n  \
    asya approvals reject op-4f1c… --comment 'not during the sale'\n  asya approvals --phase done --output json"
)]
pub(crate) struct Approvals {
    #[command(subcommand)]
    command: Option<Command>,
    /// Operations that are so far
    #[arg(long, value_enum, default_value = "waiting")]
    phase: Phase,
    /// Of this conversation
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show one with everything that is known of it
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Let one be done, once
    Approve(Decide),
    /// Refuse one
    Reject(Decide),
    /// Say once more that you have asked for one, so that it can still be approved
    Renew {
        /// Its id
        id: String,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
}

#[derive(Debug, Args)]
struct Decide {
    /// Its id
    id: String,
    /// Why, for the record and the agent
    #[arg(long, default_value = "")]
    comment: String,
    /// Decide only what has this hash; its beginning is enough [default: whatever it is now]
    #[arg(long)]
    hash: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Phase {
    Waiting,
    Approved,
    Rejected,
    Expired,
    Claimed,
    Done,
    All,
}

impl Phase {
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Waiting => Some("waiting"),
            Self::Approved => Some("approved"),
            Self::Rejected => Some("rejected"),
            Self::Expired => Some("expired"),
            Self::Claimed => Some("claimed"),
            Self::Done => Some("done"),
            Self::All => None,
        }
    }
}

/// Decides an operation as it was shown.
pub(crate) async fn decide(
    client: &Client,
    proposal: &Proposal,
    verdict: Verdict,
    comment: &str,
) -> Result<Operation, GatewayError> {
    let mut body = json!({"verdict": verdict, "hash": proposal.hash});
    if !comment.is_empty() {
        body["comment"] = comment.into();
    }
    client.post(&format!("/api/v1/approvals/{}", segment(&proposal.id)), &body).await
}

impl Approvals {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        match self.command {
            None => list(&common, &self.gateway.client(&common)?, self.phase, self.session.as_deref()).await,
            Some(Command::Show { id, gateway }) => show(&common, &gateway.client(&common)?, &id).await,
            Some(Command::Approve(decision)) => decision.run(&common, Verdict::Approve).await,
            Some(Command::Reject(decision)) => decision.run(&common, Verdict::Reject).await,
            Some(Command::Renew { id, gateway }) => renew(&common, &gateway.client(&common)?, &id).await,
        }
    }
}

async fn list(common: &Common, client: &Client, phase: Phase, session: Option<&str>) -> anyhow::Result<u8> {
    let (mut rows, mut after) = (Vec::new(), None::<String>);
    loop {
        let path = query(&[("phase", phase.word()), ("session", session), ("after", after.as_deref())]);
        let page: Operations =
            client.get(&format!("/api/v1/approvals{path}")).await.map_err(GatewayError::told)?;
        for operation in &page.operations {
            if common.output == Output::Json {
                print(&crate::output::json_line(&serde_json::to_string(operation)?));
                continue;
            }
            let Operation { proposal, requester, phase, .. } = operation;
            let phase = json!(phase).as_str().unwrap_or_default().to_owned();
            let risk = json!(proposal.risk).as_str().unwrap_or_default().to_owned();
            let cells =
                [phase, risk, requester.clone(), short(&proposal.summary, SHOWN), proposal.id.clone()];
            rows.push(cells.iter().map(|cell| safe(cell).into_owned()).collect());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if common.output == Output::Human {
        if rows.is_empty() {
            eprintln!("nothing waits for a decision; --phase all shows what was decided");
        } else {
            print(&table(&["PHASE", "RISK", "ASKED BY", "WHAT", "ID"], &rows));
        }
    }
    Ok(exit::OK)
}

async fn get(client: &Client, id: &str) -> anyhow::Result<Operation> {
    client.get(&format!("/api/v1/approvals/{}", segment(id))).await.map_err(|error| match error.status() {
        Some(StatusCode::NOT_FOUND) => {
            anyhow::anyhow!("no operation {}; `asya approvals` shows those that wait", safe(id))
        }
        _ => error.told(),
    })
}

async fn show(common: &Common, client: &Client, id: &str) -> anyhow::Result<u8> {
    let operation = get(client, id).await?;
    common.output.line(&operation, || {
        let mut lines = card(&operation);
        if let Some(decision) = &operation.decision {
            let verdict = json!(decision.verdict);
            lines.push(format!(
                "{} by {} at {} {}",
                verdict.as_str().unwrap_or_default(),
                decision.by,
                decision.at,
                decision.comment
            ));
        }
        if let Some(outcome) = &operation.outcome {
            lines.push(format!("{}: {}", if outcome.ok { "done" } else { "not done" }, outcome.text));
        }
        safe(&lines.join("\n")).into_owned()
    });
    Ok(exit::OK)
}

async fn renew(common: &Common, client: &Client, id: &str) -> anyhow::Result<u8> {
    let path = format!("/api/v1/approvals/{}/renew", segment(id));
    let operation: Operation = client.post(&path, &json!({})).await.map_err(GatewayError::told)?;
    common.output.line(&operation, || {
        let Proposal { summary, expires, .. } = &operation.proposal;
        safe(&format!("renewed, waits until {expires}: {summary}")).into_owned()
    });
    Ok(exit::OK)
}

impl Decide {
    async fn run(self, common: &Common, verdict: Verdict) -> anyhow::Result<u8> {
        let client = self.gateway.client(common)?;
        let operation = get(&client, &self.id).await?;
        let proposal = &operation.proposal;
        if let Some(hash) = &self.hash
            && !proposal.hash.starts_with(hash.as_str())
        {
            anyhow::bail!("{} has the hash {}, not {hash}: nothing was decided", proposal.id, proposal.hash);
        }
        let decided = decide(&client, proposal, verdict, &self.comment).await.map_err(GatewayError::told)?;
        common.output.line(&decided, || {
            let word = if verdict == Verdict::Approve { "approved" } else { "rejected" };
            safe(&format!("{word}: {}", decided.proposal.summary)).into_owned()
        });
        Ok(exit::OK)
    }
}
