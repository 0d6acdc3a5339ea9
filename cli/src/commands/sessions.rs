//! `asya sessions`: conversations with agents.

use asya_session::Session;
use clap::{Args, Subcommand};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    args::Common,
    exit,
    gateway::{
        Client, GatewayArgs, GatewayError,
        chat::Sessions as Page,
        client::{query, segment},
    },
    output::{Output, json_line, print, safe, short, table},
};

/// Characters of a title in the list.
const SHOWN: usize = 60;

/// Look after conversations with agents
///
/// Without a command: those that you began or that are shared with you, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  asya sessions\n  asya sessions export s-0199… > talk.md\n  \
    asya sessions share s-0199… --with bob\n  asya sessions cancel s-0199…")]
pub(crate) struct Sessions {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print one as Markdown
    Export(One),
    /// Stop what runs in one; the conversation stays
    Cancel(One),
    /// Let others read one and speak in it
    Share {
        #[command(flatten)]
        one: One,
        /// Names of principals; none at all takes it back
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        with: Vec<String>,
    },
    /// Call one something else
    Rename {
        #[command(flatten)]
        one: One,
        /// The new title
        title: String,
    },
    /// Delete one with all that was said in it
    Delete(One),
}

#[derive(Debug, Args)]
struct One {
    /// Its id
    id: String,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl One {
    fn path(&self, behind: &str) -> String {
        format!("/api/v1/sessions/{}{behind}", segment(&self.id))
    }

    fn missing(&self, error: GatewayError) -> anyhow::Error {
        match error.status() {
            Some(StatusCode::NOT_FOUND) => {
                anyhow::anyhow!("no conversation {}; `asya sessions` shows yours", safe(&self.id))
            }
            _ => error.told(),
        }
    }
}

impl Sessions {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        match self.command {
            None => list(&common, &self.gateway.client(&common)?).await,
            Some(Command::Export(one)) => {
                let client = one.gateway.client(&common)?;
                let text = client.text(&one.path("/export")).await.map_err(|error| one.missing(error))?;
                common
                    .output
                    .line(&json!({"id": one.id, "markdown": text}), || safe(text.trim_end()).into_owned());
                Ok(exit::OK)
            }
            Some(Command::Cancel(one)) => {
                let client = one.gateway.client(&common)?;
                let done: Value = client
                    .post(&one.path("/cancel"), &json!({}))
                    .await
                    .map_err(|error| one.missing(error))?;
                common.output.line(&done, || format!("{}: nothing runs any more", safe(&one.id)));
                Ok(exit::OK)
            }
            Some(Command::Share { one, with }) => change(&common, &one, &json!({"shared": with})).await,
            Some(Command::Rename { one, title }) => change(&common, &one, &json!({"title": title})).await,
            Some(Command::Delete(one)) => {
                let client = one.gateway.client(&common)?;
                client.delete(&one.path("")).await.map_err(|error| one.missing(error))?;
                common
                    .output
                    .line(&json!({"id": one.id, "deleted": true}), || format!("{} deleted", safe(&one.id)));
                Ok(exit::OK)
            }
        }
    }
}

async fn change(common: &Common, one: &One, body: &Value) -> anyhow::Result<u8> {
    let client = one.gateway.client(common)?;
    let session: Session = client.patch(&one.path(""), body).await.map_err(|error| one.missing(error))?;
    common.output.line(&session, || {
        let with = if session.shared.is_empty() { "nobody".to_owned() } else { session.shared.join(", ") };
        safe(&format!("{}: {:?}, shared with {with}", session.id, session.title)).into_owned()
    });
    Ok(exit::OK)
}

async fn list(common: &Common, client: &Client) -> anyhow::Result<u8> {
    let (mut rows, mut after) = (Vec::new(), None::<String>);
    loop {
        let path = query(&[("after", after.as_deref())]);
        let page: Page = client.get(&format!("/api/v1/sessions{path}")).await.map_err(GatewayError::told)?;
        for session in &page.sessions {
            if common.output == Output::Json {
                print(&json_line(&serde_json::to_string(session)?));
                continue;
            }
            let state = json!(session.state).as_str().unwrap_or_default().to_owned();
            let cells = [
                state,
                session.agent.clone(),
                session.owner.clone(),
                session.updated.strftime("%Y-%m-%d %H:%M").to_string(),
                short(&session.title, SHOWN),
                session.id.clone(),
            ];
            rows.push(cells.iter().map(|cell| safe(cell).into_owned()).collect());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if common.output == Output::Human {
        if rows.is_empty() {
            eprintln!("no conversation yet; `asya chat` begins one");
        } else {
            print(&table(&["STATE", "AGENT", "BY", "UPDATED", "TITLE", "ID"], &rows));
        }
    }
    Ok(exit::OK)
}
