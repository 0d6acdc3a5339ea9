//! `asya forward`.

mod carry;
mod target;

use std::{net::SocketAddr, sync::Arc};

use clap::Args;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    args::Common,
    cluster::ClusterArgs,
    exit::{self, misconfigured},
    gateway::{Client, Place},
    output::{note, safe},
};
use carry::Carrier;
use target::Target;

/// Where commands and clients look for a gateway of this machine.
const LISTEN: &str = "127.0.0.1:8089";

/// Lead an address of this machine to the gateway of a cluster
///
/// Each connection goes through the API server to a pod that is ready; when pods are replaced, new connections find the
/// new ones. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    after_help = "Needs the rights to get and list services and pods, and to get and create pods/portforward.\n\n\
    Examples:\n  asya forward -n asya\n  asya forward service/my-gateway --listen 127.0.0.1:0 --output json\n  asya forward --profile prod\n\n\
    Then, in another terminal:\n  asya tools\n  asya call ocr --page 3"
)]
pub(crate) struct Forward {
    /// The gateway: service/NAME, deployment/NAME, or the service's NAME [default: the one service of the namespace with
    /// the label app.kubernetes.io/name=asya-gateway]
    #[arg(value_name = "GATEWAY")]
    target: Option<String>,
    /// The pod's port [default: that of the service; of a deployment 8080]
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
    /// Where to listen: an address, or a port of 127.0.0.1; port 0 is any that is free
    #[arg(long, short, value_name = "ADDRESS", default_value = LISTEN)]
    listen: String,
    /// Do not ask first whether the gateway answers
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What is forwarded, for whoever asks in other words.
pub(crate) struct Wanted {
    /// As of the command line.
    pub(crate) target: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) listen: String,
    pub(crate) check: bool,
    pub(crate) cluster: ClusterArgs,
}

impl Forward {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { target, port, listen, no_check, cluster } = self;
        forward(Wanted { target, port, listen, check: !no_check, cluster }, &common).await
    }
}

/// Forwards until Ctrl-C or SIGTERM; prints the address first.
///
/// # Errors
/// No cluster, gateway or free address; a gateway that does not answer.
pub(crate) async fn forward(wanted: Wanted, common: &Common) -> anyhow::Result<u8> {
    let Wanted { target, port, listen, check, cluster } = wanted;
    // Before anything is asked of the cluster: an end that is asked for is an end as it should be.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listening = address(&listen)?;
    let going = async {
        let cluster = cluster.connect(common).await?;
        let target = Target::find(&cluster, target.as_deref(), port).await?;
        let listener = TcpListener::bind(listening).await.map_err(|error| {
            anyhow::anyhow!("{listening}: {error}; is an `asya up` or another forward running? --listen 0 takes any free port")
        })?;
        let url = format!("http://{}", listener.local_addr()?);
        let (name, namespace) = (target.to_string(), cluster.namespace.clone());
        let carrier = Arc::new(Carrier::new(cluster, target, common.output));
        // So that what is wrong is said before somebody connects.
        let pod = carrier.pod().await?.name;
        let serving = carrier.serve(listener);
        let answering = async {
            if check {
                let place = Place { url: url.clone(), token: None, from: format!("forwarded to {name}") };
                Client::new(&place)?.health().await?;
            }
            let line = json!({"url": url, "gateway": name, "namespace": namespace, "pod": pod});
            common.output.line(&line, || url.clone());
            note(common.output, &safe(&format!("leads to {name} in namespace {namespace}; Ctrl-C ends it")));
            std::future::pending::<anyhow::Result<u8>>().await
        };
        tokio::select! {
            error = serving => Err(error.into()),
            answer = answering => answer,
        }
    };
    tokio::select! {
        ended = going => ended,
        _ = interrupt.recv() => Ok(exit::OK),
        _ = terminate.recv() => Ok(exit::OK),
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(([127, 0, 0, 1], port).into());
    }
    text.parse().map_err(|_error| {
        misconfigured(format!("--listen {text:?} is neither a port nor an address such as {LISTEN}"))
    })
}
