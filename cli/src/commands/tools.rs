//! `asya tools`.

use clap::Args;
use serde_json::{Value, value::RawValue};

use super::call::schema::Parameters;
use crate::{
    args::Common,
    exit,
    gateway::{
        GatewayArgs, GatewayError,
        client::{segment, verbatim},
        wire,
    },
    output::{Output, note, print, safe, short, table},
};

/// Characters of a description in the list.
const SHOWN: usize = 60;

/// Show the tools of a gateway
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asya tools\n  asya tools ocr\n  asya tools ocr --output json --gateway https://asya.example.com"
)]
pub(crate) struct Tools {
    /// One tool, with its arguments [default: a list of all]
    name: Option<String>,
    /// With a name: the JSON Schema of its arguments and nothing else
    #[arg(long, requires = "name")]
    schema: bool,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl Tools {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { name, schema, gateway } = self;
        let client = gateway.client(&common)?;
        match name {
            Some(name) => {
                let path = format!("/api/v1/tools/{}", segment(&name));
                let raw: Box<RawValue> = client.get(&path).await.map_err(GatewayError::told)?;
                let tool = read(&raw)?;
                if schema {
                    let schema = Value::Object(tool.input_schema);
                    common.output.line(&schema, || safe(&format!("{schema:#}")).into_owned());
                } else if common.output == Output::Json {
                    print(&verbatim(&raw));
                } else {
                    print(&described(&tool));
                }
            }
            None => {
                let set: wire::Tools = client.get("/api/v1/tools").await.map_err(GatewayError::told)?;
                list(&common, &set)?;
            }
        }
        Ok(exit::OK)
    }
}

fn read(raw: &RawValue) -> anyhow::Result<wire::Tool> {
    serde_json::from_str(raw.get())
        .map_err(|error| anyhow::anyhow!("the gateway's tool cannot be read: {error}"))
}

/// Prints the list.
pub(crate) fn list(common: &Common, set: &wire::Tools) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for raw in &set.tools {
        if common.output == Output::Json {
            print(&verbatim(raw));
            continue;
        }
        let tool = read(raw)?;
        rows.push(vec![
            safe(&tool.name).into_owned(),
            safe(&Parameters::of(&tool.input_schema).usage()).into_owned(),
            safe(&tool.route.join(" → ")).into_owned(),
            safe(&short(&tool.description, SHOWN)).into_owned(),
        ]);
    }
    if common.output == Output::Human {
        if rows.is_empty() {
            eprintln!("no tools; the gateway's tool files declare them: docs/gateway.md");
        } else {
            print(&table(&["TOOL", "ARGUMENTS", "ROUTE", "DESCRIPTION"], &rows));
        }
    }
    if let Some(error) = &set.error {
        note(
            common.output,
            &format!("the tool files have an error, these are the tools before it: {}", safe(error)),
        );
    }
    Ok(())
}

/// A tool for people: what it does, how it is called.
pub(crate) fn described(tool: &wire::Tool) -> String {
    let parameters = Parameters::of(&tool.input_schema);
    let mut text = format!("{}\n", tool.name);
    if !tool.description.is_empty() {
        text += &format!("  {}\n", tool.description.trim());
    }
    text += &format!("\nRoute:   {}\n", tool.route.join(" → "));
    if let Some(seconds) = tool.timeout_seconds {
        text += &format!("Timeout: {seconds} s\n");
    }
    if let Some(seconds) = tool.wait {
        text += &format!("Waits:   {seconds} s, for callers that do not say otherwise\n");
    }
    text += &format!("\nUsage:\n  asya call {} {}\n", tool.name, parameters.usage());
    let help = parameters.help();
    if !help.is_empty() {
        text += &format!("\nArguments:\n{help}");
    }
    safe(text.trim_end()).into_owned()
}
