//! `asya crds`.

use asya_resources::k8sgpt;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    args::Common,
    exit,
    output::{Output, print},
};

/// Print the CRD of AsyncActor or those of cluster analysis, or the JSON schema of manifests
#[derive(Debug, Args)]
#[command(after_help = "Printed as YAML; with --output json as one line of JSON.\n\nExamples:\n  \
    asya crds | kubectl apply --server-side -f -\n  asya crds analysis | kubectl apply --server-side -f -\n  asya crds schema > asyncactor.schema.json\n\n\
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
    /// The JSON schema of a manifest, for editors
    Schema,
}

impl Crds {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<u8> {
        let Self { what } = self;
        match (what, common.output) {
            (None, Output::Human) => print(asya_resources::CRD.trim_end()),
            (None, output) => {
                let crd: Value = serde_saphyr::from_str(asya_resources::CRD)?;
                output.line(&crd, String::new);
            }
            (Some(What::Analysis), Output::Human) => print(&k8sgpt::CRDS.map(str::trim_end).join("\n---\n")),
            (Some(What::Analysis), output) => {
                for crd in k8sgpt::CRDS {
                    let crd: Value = serde_saphyr::from_str(crd)?;
                    output.line(&crd, String::new);
                }
            }
            (Some(What::Schema), Output::Human) => print(asya_resources::JSON_SCHEMA.trim_end()),
            (Some(What::Schema), output) => {
                let schema: Value = serde_json::from_str(asya_resources::JSON_SCHEMA)?;
                output.line(&schema, String::new);
            }
        }
        Ok(exit::OK)
    }
}
