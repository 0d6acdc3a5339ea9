//! `asya crds`.

use asya_resources::{agent, k8sgpt};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    args::Common,
    exit,
    output::{Output, print},
};

/// Print the CRDs of AsyncActor and Agent or those of cluster analysis, or the JSON schema of manifests
#[derive(Debug, Args)]
#[command(after_help = "Printed as YAML; with --output json as one line of JSON.\n\nExamples:\n  \
    asya crds | kubectl apply --server-side -f -\n  asya crds analysis | kubectl apply --server-side -f -\n  asya crds schema > asyncactor.schema.json\n  \
    asya crds agent-schema > agent.schema.json\n\n\
    An editor with the YAML language server reads the schema by a first line of the manifest:\n  \
    # yaml-language-server: $schema=asyncactor.schema.json")]
pub(crate) struct Crds {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum What {
    /// The CRDs of K8sGPT, Result and Mutation; not beside K8sGPT's own operator
    Analysis,
    /// The JSON schema of a manifest of AsyncActor, for editors
    Schema,
    /// The same of an Agent
    AgentSchema,
}

impl Crds {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<u8> {
        let Self { what } = self;
        match what {
            None => crds(&[asya_resources::CRD, agent::CRD], common.output)?,
            Some(What::Analysis) => crds(&k8sgpt::CRDS, common.output)?,
            Some(What::Schema) => schema(asya_resources::JSON_SCHEMA, common.output)?,
            Some(What::AgentSchema) => schema(agent::JSON_SCHEMA, common.output)?,
        }
        Ok(exit::OK)
    }
}

fn crds(crds: &[&str], output: Output) -> anyhow::Result<()> {
    if output == Output::Human {
        let texts: Vec<_> = crds.iter().map(|crd| crd.trim_end()).collect();
        print(&texts.join("\n---\n"));
        return Ok(());
    }
    for crd in crds {
        let crd: Value = serde_saphyr::from_str(crd)?;
        output.line(&crd, String::new);
    }
    Ok(())
}

fn schema(text: &str, output: Output) -> anyhow::Result<()> {
    if output == Output::Human {
        print(text.trim_end());
    } else {
        let schema: Value = serde_json::from_str(text)?;
        output.line(&schema, String::new);
    }
    Ok(())
}
