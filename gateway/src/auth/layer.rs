//! Authentication around routers: puts who acts into the request's extensions, or refuses.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use tokio::sync::watch;

use super::{
    Admission, Callbacks, Failures, Ground, Oidc, Peer, Principal, Refusal, Tokens, rate::Rates,
    tokens::hashed,
};
use crate::{metrics::Metrics, rest::problem::Form, service::Reporter};

/// Where clients learn how to log in (RFC 9728).
pub const METADATA: &str = "/.well-known/oauth-protected-resource";

/// Everything that is asked of who comes.
#[derive(Debug)]
pub struct Auth {
    /// Nobody is asked, and everybody may do everything.
    pub open: bool,
    /// Tokens that were handed out.
    pub tokens: watch::Receiver<Tokens>,
    /// Tokens of an identity provider.
    pub oidc: Option<Oidc>,
    /// What is asked of sidecars.
    pub callbacks: Callbacks,
    /// How often one principal may ask.
    pub rates: Option<Rates>,
    /// How often one peer may come with wrong credentials.
    pub failures: Failures,
    /// How often the sidecars at one address may report.
    pub reports: Option<Rates<Peer>>,
    /// Under which address clients reach the gateway, without a slash at its end; else what they called it.
    pub public_url: Option<String>,
    /// Counts who was refused.
    pub metrics: Arc<Metrics>,
}

impl Auth {
    /// Who comes with these headers.
    ///
    /// # Errors
    /// Nobody who may; too often.
    pub async fn admit(&self, peer: Peer, headers: &HeaderMap) -> Result<Admission, Refusal> {
        let admission = if self.open {
            Admission { principal: Principal::anonymous(), ground: Ground::Open }
        } else {
            let token = bearer(headers)?.ok_or(Refusal::Missing)?;
            self.failures.judge(peer, token, self.holder(token)).await?
        };
        self.pace(&admission.principal)?;
        Ok(admission)
    }

    /// Takes one of the requests that a principal may send now.
    ///
    /// # Errors
    /// [`Refusal::Often`].
    pub fn pace(&self, who: &Principal) -> Result<(), Refusal> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.take(&who.name).map_err(Refusal::Often))
    }

    async fn holder(&self, token: &str) -> Result<Admission, Refusal> {
        let digest = hashed(token);
        let holder = self.tokens.borrow().owner(&digest).cloned();
        match (holder, &self.oidc) {
            (Some(principal), _) => Ok(Admission { principal, ground: Ground::Token(digest) }),
            // Signed tokens have three parts.
            (None, Some(oidc)) if token.split('.').count() == 3 => {
                let (principal, end) = oidc.principal(token).await?;
                Ok(Admission { principal, ground: Ground::Until(end) })
            }
            (None, _) => Err(Refusal::Wrong("the token is not known".to_owned())),
        }
    }

    async fn reporter(&self, peer: Peer, headers: &HeaderMap) -> Result<Reporter, Refusal> {
        if let Some(reports) = &self.reports {
            reports.take(peer).map_err(Refusal::Often)?;
        }
        // Where nothing is asked, nothing that is given is wrong.
        if self.callbacks.open {
            return self.callbacks.reporter(None).await;
        }
        match bearer(headers)? {
            Some(token) => self.failures.judge(peer, token, self.callbacks.reporter(Some(token))).await,
            None => self.callbacks.reporter(None).await,
        }
    }

    /// Tells somebody why they were not let in.
    pub fn refuse(&self, request: &Request, refusal: &Refusal) -> Response {
        let headers = request.headers();
        self.metrics.refused(refusal.code());
        let metadata = self.oidc.as_ref().map(|_| format!("{}{METADATA}", self.base(headers)));
        refusal.answer(Form::of(request.uri().path(), headers), metadata.as_deref())
    }

    /// The address that clients reach the gateway under.
    pub fn base(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
        format!("{scheme}://{}", text("host").unwrap_or("localhost"))
    }
}

/// Lets people and programs through, with their [`Principal`] and [`Admission`].
pub async fn people(State(auth): State<Arc<Auth>>, mut request: Request, next: Next) -> Response {
    match auth.admit(Peer::of(request.extensions()), request.headers()).await {
        Ok(admission) => {
            request.extensions_mut().insert(admission.principal.clone());
            request.extensions_mut().insert(admission);
            next.run(request).await
        }
        Err(refusal) => auth.refuse(&request, &refusal),
    }
}

/// Lets sidecars through, as [`Reporter`]s.
pub async fn sidecars(State(auth): State<Arc<Auth>>, mut request: Request, next: Next) -> Response {
    match auth.reporter(Peer::of(request.extensions()), request.headers()).await {
        Ok(reporter) => {
            request.extensions_mut().insert(reporter);
            next.run(request).await
        }
        Err(refusal) => auth.refuse(&request, &refusal),
    }
}

/// The token of the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::Wrong("the header Authorization must be: Bearer TOKEN".to_owned())),
    }
}
