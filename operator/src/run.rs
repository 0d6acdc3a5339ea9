//! How everything is started and stopped.

use std::{future::Future, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use asya_telemetry::log;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::settings::Settings;

/// Stopped a second time, as a shell says it.
const EXIT_INTERRUPTED: i32 = 130;

fn prepare(settings: &Settings) -> Result<tokio::runtime::Runtime> {
    // Several libraries bring rustls; without one provider for all, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    log::init(log::filter(&settings.log_filter).map_err(anyhow::Error::msg)?, settings.log_format);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the event loop")
}

fn finish(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "failed");
            ExitCode::FAILURE
        }
    }
}

/// Does one thing with the cluster and ends.
pub fn once<F: Future<Output = Result<()>>>(settings: &Settings, act: fn(Client, Settings) -> F) -> ExitCode {
    finish(prepare(settings).and_then(|runtime| {
        runtime.block_on(async {
            let client = Client::try_default().await.context("finding the cluster")?;
            act(client, settings.clone()).await
        })
    }))
}

/// Runs the operator until it is told to stop.
pub fn operator(settings: Settings) -> ExitCode {
    finish(prepare(&settings).and_then(|runtime| {
        runtime.block_on(async {
            let stop = CancellationToken::new();
            tokio::spawn(signals(stop.clone()));
            serve(settings, stop).await
        })
    }))
}

async fn signals(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return error!("signals cannot be received: only SIGKILL stops this process");
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked {
            std::process::exit(EXIT_INTERRUPTED);
        }
        asked = true;
        info!("stopping: what is being worked on is finished first; a second signal ends it at once");
        stop.cancel();
    }
}
