//! A runtime published as a release: fetched once, checked, kept in the operator's namespace.
//!
//! No look at an actor waits for it: until it is there, actors say so in their status. What was fetched is kept in a
//! ConfigMap, so that an operator starts without the internet and every replica runs the same bytes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use sha2::{Digest as _, Sha256};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    apply::timely,
    context::Context,
    live::Kind,
    script::{CANNOT, Script},
};
use crate::{actor::FIELD_MANAGER, desired::names::RUNTIME_KEY, settings::GithubRelease};

/// Where releases are. Redirects lead elsewhere, over TLS only; what comes is judged by its hash.
const GITHUB: &str = "https://github.com";
/// GitHub needs one; more than a few lead nowhere.
const REDIRECTS: usize = 5;
/// More than any runtime that a ConfigMap takes.
const MOST: usize = 1024 * 1024;
/// Digits of the hash in the name of what is kept.
const NAME_DIGITS: usize = 12;
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause after the first failure; the next ones double.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest pause: a release that is put right is found within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

type Http = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Gets the release that the settings name, unless it is there; tries again until it succeeds. Ends at once where none is
/// named. Cancel safe.
pub async fn provide(context: &Context) {
    let Some(release) = &context.settings.runtime.github else { return };
    let mut pause = PAUSE;
    while context.script().is_err() {
        match get(context, release).await {
            Ok(script) => {
                info!(
                    repo = release.repo,
                    version = release.version,
                    runtime = script.name(),
                    "the runtime is here"
                );
                context.provide(Ok(Arc::new(script)));
            }
            Err(why) => {
                warn!(repo = release.repo, version = release.version, why, "the runtime cannot be fetched");
                context.provide(Err(format!("{CANNOT}: {why}")));
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// From the ConfigMap of an earlier time, or from GitHub.
async fn get(context: &Context, release: &GithubRelease) -> Result<Script, String> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let name = kept_name(&release.sha256);
    match timely(api.get_opt(&name)).await {
        Ok(Some(map)) => match content(map).map(|bytes| check(bytes, release)) {
            Some(Ok(script)) => return Ok(script),
            _ => warn!(name, "the kept runtime is not what it should be: fetching it again"),
        },
        Ok(None) => {}
        Err(error) => {
            warn!(name, error = error.to_string(), "cannot read the kept runtime: fetching it again");
        }
    }
    let http = client(
        HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| format!("no trusted certificates: {error}"))?
            .https_only()
            .enable_http1()
            .build(),
    );
    let bytes = fetch(&http, GITHUB, release).await?;
    let script = check(bytes, release)?;
    let map = script.kept(&context.settings.namespace, &name);
    let (parameters, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&map));
    context.metrics.wrote(Kind::ConfigMap.word(), "apply");
    if let Err(error) = timely(api.patch(&name, &parameters, &patch)).await {
        warn!(name, error = error.to_string(), "cannot keep the runtime: the next start fetches it again");
    }
    Ok(script)
}

/// Name of the ConfigMap of the operator's namespace that keeps the file with this SHA-256 (hexadecimal). It is no version
/// of that namespace's actors, and not collected as one.
fn kept_name(sha256: &str) -> String {
    format!("asya-operator-runtime-{}", sha256.get(..NAME_DIGITS).unwrap_or(sha256))
}

fn content(map: ConfigMap) -> Option<Vec<u8>> {
    let text = map.data.and_then(|mut data| data.remove(RUNTIME_KEY)).map(String::into_bytes);
    text.or_else(|| map.binary_data.and_then(|mut data| data.remove(RUNTIME_KEY)).map(|bytes| bytes.0))
}

/// Code that goes into every pod is not taken unchecked.
fn check(bytes: Vec<u8>, release: &GithubRelease) -> Result<Script, String> {
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != release.sha256 {
        return Err(format!(
            "asya_runtime.py of {} {} has the SHA-256 {digest}, not {}",
            release.repo, release.version, release.sha256
        ));
    }
    Script::of(bytes)
}

fn client(connector: HttpsConnector<HttpConnector>) -> Http {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

async fn fetch(http: &Http, base: &str, release: &GithubRelease) -> Result<Vec<u8>, String> {
    let url = format!("{base}/{}/releases/download/{}/asya_runtime.py", release.repo, release.version);
    let fetched = async {
        let mut at: Uri = url.parse().map_err(|error| format!("no address: {error}"))?;
        for _ in 0..=REDIRECTS {
            match step(http, at).await? {
                Step::Done(bytes) => return Ok(bytes),
                Step::Elsewhere(next) => at = next,
            }
        }
        Err(format!("more than {REDIRECTS} redirects"))
    };
    timeout(PATIENCE, fetched)
        .await
        .unwrap_or_else(|_| Err(format!("no answer in {} s", PATIENCE.as_secs())))
        .map_err(|why| format!("fetching {url}: {why}"))
}

enum Step {
    Done(Vec<u8>),
    Elsewhere(Uri),
}

async fn step(http: &Http, at: Uri) -> Result<Step, String> {
    let request = hyper::Request::get(at)
        .header(header::USER_AGENT, FIELD_MANAGER)
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answer = http.request(request).await.map_err(|error| causes(&error))?;
    let status = answer.status();
    if status.is_redirection() {
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| format!("{status} without a location"))?;
        let next: Uri = location.parse().map_err(|error| format!("a redirect to {location:?}: {error}"))?;
        if next.scheme_str() != Some("https") {
            return Err(format!("a redirect to {location:?}, which is not https"));
        }
        return Ok(Step::Elsewhere(next));
    }
    if status != StatusCode::OK {
        return Err(format!("the answer is {status}"));
    }
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    body.map(|body| Step::Done(body.to_bytes().to_vec())).map_err(|error| causes(&*error))
}

/// An error with its causes: the client's own text says only "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
