//! Who may come, and how that is found out.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use asya_settings::{Reader, Secret, filled, list, number};
use jsonwebtoken::dangerous::insecure_decode;
use serde_json::Value;

use crate::{
    args::Options,
    auth::{Role, Roles, TokensAt, keys::Place, origin::Origins},
};

/// Audience of the tokens that the operator projects into sidecars.
const CALLBACK_AUDIENCE: &str = "asya-gateway";
/// Where a pod finds its own token and the cluster's authority.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where the API server serves the keys of tokens of service accounts, to any pod with a token.
const CLUSTER_KEYS: &str = "https://kubernetes.default.svc/openid/v1/jwks";

/// More than people mistype or programs with an expired token send, and too few to guess by.
const DEFAULT_FAILURES: u32 = 60;
/// Several times what one gateway takes down, whoever sends it.
const DEFAULT_REPORTS: u32 = 10_000;

/// What a start without authentication on an address that others reach is told.
const CLOSED: &str = "nobody is asked who they are, and others than this machine could come; choose one: \
    name who may come (ASYA_GATEWAY_TOKEN_FILE, ASYA_GATEWAY_TOKENS_FILE or ASYA_GATEWAY_OIDC_ISSUER), \
    listen to this machine only (ASYA_GATEWAY_BIND=127.0.0.1), \
    or let everybody do everything (ASYA_GATEWAY_AUTH=off)";

/// Who may come.
#[derive(Clone, Debug)]
pub struct Access {
    /// Nobody is asked.
    pub open: bool,
    /// Tokens that were handed out.
    pub tokens: TokensAt,
    /// An identity provider.
    pub oidc: Option<Provider>,
    /// A secret of all sidecars.
    pub callback_secret: Option<Secret>,
    /// Who issues tokens of sidecars.
    pub callback_issuer: Option<Issuer>,
    /// Sidecars are not asked.
    pub callbacks_open: bool,
    /// Requests a second of one principal.
    pub rate: Option<u32>,
    /// Wrong credentials a minute of one peer.
    pub failures: Option<u32>,
    /// Reports a second of one peer.
    pub reports: Option<u32>,
    /// Which web pages may ask.
    pub origins: Origins,
    /// Address of the gateway as clients know it.
    pub public_url: Option<String>,
    /// What a person should know at the start.
    pub warnings: Vec<String>,
}

/// An identity provider, and what its tokens say of people.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Who issues the tokens.
    pub issuer: Issuer,
    /// The claim of roles.
    pub roles: String,
    /// The claim of groups.
    pub groups: String,
    /// What values of the claim of roles mean.
    pub mapping: BTreeMap<String, Roles>,
}

/// Who issues signed tokens, and where its keys are.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name, as in the tokens.
    pub name: String,
    /// For whom the tokens must be made.
    pub audience: String,
    /// Where the keys are.
    pub place: Place,
    /// PEM file with authorities of that place.
    pub authorities: Option<PathBuf>,
    /// File with a token for that place.
    pub token: Option<PathBuf>,
}

impl Access {
    /// Reads the options. `ip`: what is listened on.
    pub fn read(options: &Options, ip: IpAddr, read: &mut Reader) -> Self {
        let all = options.clone();
        let tokens = TokensAt {
            admin: read.secret("ASYA_GATEWAY_TOKEN", all.token, all.token_file),
            inline: filled(all.tokens),
            file: filled(all.tokens_file).map(PathBuf::from),
        };
        let oidc = oidc(options, read);
        let named = !tokens.is_nowhere() || oidc.is_some();
        let word = read.or("ASYA_GATEWAY_AUTH", all.auth, None, |text| match text {
            "on" | "off" => Ok(Some(text == "on")),
            other => Err(format!("{other:?} must be on or off")),
        });
        match word {
            Some(false) if named => {
                read.wrong(
                    "ASYA_GATEWAY_AUTH",
                    "is off, and tokens or an issuer are told: they would not count",
                );
            }
            Some(true) if !named => {
                let ways = "ASYA_GATEWAY_TOKEN_FILE, ASYA_GATEWAY_TOKENS_FILE or ASYA_GATEWAY_OIDC_ISSUER";
                read.wrong("ASYA_GATEWAY_AUTH", &format!("is on, and nobody could come: set {ways}"));
            }
            None if !named && !ip.is_loopback() => read.wrong("ASYA_GATEWAY_AUTH", CLOSED),
            _ => {}
        }
        let open = !named;
        let mut warnings = Vec::new();
        if word == Some(false) && !ip.is_loopback() {
            warnings.push("authentication is off: whoever reaches this address may do everything".to_owned());
        }
        let callback_secret =
            read.secret("ASYA_GATEWAY_CALLBACK_TOKEN", all.callback_token, all.callback_token_file);
        let callback_issuer = callback_issuer(options, read);
        let asked = callback_secret.is_some() || callback_issuer.is_some();
        let legacy = read.or("ASYA_GATEWAY_CALLBACK_AUTH", all.callback_auth, false, |text| match text {
            "legacy" => Ok(true),
            other => Err(format!("{other:?} must be legacy, or not set")),
        });
        if legacy && asked {
            read.wrong(
                "ASYA_GATEWAY_CALLBACK_AUTH",
                "is legacy, and a token or an issuer is told: they would not count",
            );
        }
        if legacy && !open {
            warnings.push(
                "callbacks are taken from everybody: whoever reaches this address may end envelopes"
                    .to_owned(),
            );
        }
        if !legacy && !asked && !open {
            warnings.push(
                "sidecars cannot report, so envelopes do not end: set ASYA_GATEWAY_CALLBACK_ISSUER or \
                 ASYA_GATEWAY_CALLBACK_TOKEN_FILE"
                    .to_owned(),
            );
        }
        let mut limit =
            |name, text, default| Some(read.or(name, text, default, number)).filter(|most| *most > 0);
        let rate = limit("ASYA_GATEWAY_RATE_LIMIT", all.rate_limit, 0);
        let failures = limit("ASYA_GATEWAY_FAILURE_LIMIT", all.failure_limit, DEFAULT_FAILURES);
        let reports = limit("ASYA_GATEWAY_CALLBACK_RATE_LIMIT", all.callback_rate_limit, DEFAULT_REPORTS);
        Self {
            open,
            tokens,
            oidc,
            callback_secret,
            callback_issuer,
            callbacks_open: legacy || (open && !asked),
            rate,
            failures,
            reports,
            origins: Origins {
                allowed: read.or("ASYA_GATEWAY_ALLOWED_ORIGINS", all.allowed_origins, Vec::new(), origins),
                loopback: ip.is_loopback(),
            },
            public_url: read.or("ASYA_GATEWAY_PUBLIC_URL", all.public_url, None, |text| {
                web(text).map(|url| Some(url.trim_end_matches('/').to_owned()))
            }),
            warnings,
        }
    }
}

fn oidc(options: &Options, read: &mut Reader) -> Option<Provider> {
    let all = options.clone();
    let mapping = read.or("ASYA_GATEWAY_OIDC_ROLES", all.oidc_roles, BTreeMap::new(), mapping);
    let keys = read.or("ASYA_GATEWAY_OIDC_JWKS_URL", all.oidc_jwks_url, None, |text| secure(text).map(Some));
    let Some(name) =
        read.or("ASYA_GATEWAY_OIDC_ISSUER", all.oidc_issuer, None, |text| secure(text).map(Some))
    else {
        if filled(all.oidc_audience).is_some() || keys.is_some() {
            read.wrong(
                "ASYA_GATEWAY_OIDC_ISSUER",
                "is required by the other options of the identity provider",
            );
        }
        return None;
    };
    let audience =
        read.required("ASYA_GATEWAY_OIDC_AUDIENCE", all.oidc_audience, |text| Ok(text.to_owned()))?;
    let issuer = Issuer {
        place: keys.map_or_else(|| Place::Issuer(name.clone()), Place::Address),
        name,
        audience,
        authorities: filled(all.oidc_ca_file).map(PathBuf::from),
        token: None,
    };
    let claim = |named: Option<String>, usual: &str| filled(named).unwrap_or_else(|| usual.to_owned());
    let (roles, groups) = (claim(all.oidc_roles_claim, "roles"), claim(all.oidc_groups_claim, "groups"));
    Some(Provider { issuer, roles, groups, mapping })
}

fn callback_issuer(options: &Options, read: &mut Reader) -> Option<Issuer> {
    let all = options.clone();
    let audience = filled(all.callback_audience).unwrap_or_else(|| CALLBACK_AUDIENCE.to_owned());
    let keys =
        read.or("ASYA_GATEWAY_CALLBACK_JWKS_URL", all.callback_jwks_url, None, |text| secure(text).map(Some));
    read.or("ASYA_GATEWAY_CALLBACK_ISSUER", all.callback_issuer, None, |text| {
        if text != "kubernetes" {
            let name = secure(text)?;
            let place = keys.map_or_else(|| Place::Issuer(name.clone()), Place::Address);
            return Ok(Some(Issuer { name, audience, place, authorities: None, token: None }));
        }
        let account = Path::new(ACCOUNT);
        let token = account.join("token");
        Ok(Some(Issuer {
            name: issuer_of(&token)?,
            audience,
            place: Place::Address(keys.unwrap_or_else(|| CLUSTER_KEYS.to_owned())),
            authorities: Some(account.join("ca.crt")),
            token: Some(token),
        }))
    })
}

/// The namespace of this pod; `None` outside a cluster.
pub(super) fn own_namespace() -> Option<String> {
    filled(Secret::File(Path::new(ACCOUNT).join("namespace")).read().ok())
}

/// Who issued this pod's own token. The kubelet wrote it, so it is believed as it is.
fn issuer_of(token: &Path) -> Result<String, String> {
    let needs = "\"kubernetes\" needs the token of this pod's service account";
    let text = Secret::File(token.to_owned()).read().map_err(|error| format!("{needs}: {error}"))?;
    let claims = insecure_decode::<Value>(&text).map_err(|error| format!("{needs}: {error}"))?.claims;
    claims["iss"].as_str().map(str::to_owned).ok_or_else(|| format!("{needs}: it names no issuer"))
}

/// `VALUE=ROLE+ROLE` with commas between them.
fn mapping(text: &str) -> Result<BTreeMap<String, Roles>, String> {
    let mut mapping = BTreeMap::new();
    for part in list(text)? {
        let (value, roles) = part
            .rsplit_once('=')
            .ok_or_else(|| format!("{part:?} must be VALUE=ROLE+ROLE, such as ops=read+admin"))?;
        let roles: Result<Roles, String> = roles.split('+').map(|role| Role::parse(role.trim())).collect();
        mapping.insert(value.to_owned(), roles?);
    }
    Ok(mapping)
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    let mut origins = list(text)?;
    for origin in &mut origins {
        *origin = web(origin)?.trim_end_matches('/').to_owned();
        if origin.split_once("://").is_some_and(|(_, place)| place.contains(['/', '*'])) {
            return Err(format!(
                "{origin:?} must be an origin, such as https://example.com, without a path or stars"
            ));
        }
    }
    Ok(origins)
}

pub(super) fn web(text: &str) -> Result<String, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} must begin with https:// or http://"))
    }
}

/// An address that cannot be forged on its way: keys that come from it decide who gets in.
fn secure(text: &str) -> Result<String, String> {
    let text = web(text)?;
    let place = text.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    match place {
        None | Some("localhost" | "127.0.0.1") => Ok(text),
        Some(_) => Err(format!("{text:?} must begin with https://")),
    }
}
