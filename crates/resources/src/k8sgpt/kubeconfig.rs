//! What may be used of a kubeconfig that somebody put into a Secret.
//!
//! A kubeconfig can name programs to run, files to read and servers to trust blindly, and whoever may write a Secret writes
//! it. So nothing of it is passed on: the parts that are known to be harmless are taken out, and a part that is used and
//! holds anything else is refused, with the field's name and never its value.

use std::fmt;

use serde_json::{Map, Value, json};

/// A cluster that may be connected to.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteCluster {
    /// Address of its API server; `https` always.
    pub server: String,
    /// Certificates that it is known by, PEM in base64. Absent means those that this machine trusts.
    pub authority: Option<String>,
    /// Name in its certificate, where that is not the address.
    pub server_name: Option<String>,
    /// Who connects.
    pub credentials: Credentials,
}

/// Who connects; at least one of the two.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// A bearer token.
    pub token: Option<String>,
    /// A certificate and its key, each PEM in base64.
    pub certificate: Option<(String, String)>,
}

/// A reason not to use a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field, for example `users[0].user.exec`.
    pub field: String,
    /// What is wrong with it and what to do, as half a sentence.
    pub reason: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.reason)
    }
}

impl fmt::Debug for RemoteCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCluster")
            .field("server", &self.server)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        let certificate = self.certificate.as_ref().map(|_| "***");
        f.debug_struct("Credentials").field("token", &token).field("certificate", &certificate).finish()
    }
}

/// Fields of a cluster that are taken, or without meaning here.
const CLUSTER: &[&str] = &[
    "server",
    "certificate-authority-data",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "disable-compression",
    "extensions",
];
/// Fields of a user that are taken, or without meaning here.
const USER: &[&str] = &["token", "client-certificate-data", "client-key-data", "extensions"];

/// Fields that kubeconfigs have and that are not taken, each with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("certificate-authority", "names a file: put the certificate inline as certificate-authority-data"),
    ("proxy-url", "would send the connection through another server: give the API server's own address"),
    ("exec", "runs a program: use a token or a client certificate"),
    ("auth-provider", "runs code of a cloud: use a token or a client certificate"),
    ("tokenFile", "names a file: put the token inline as token"),
    ("client-certificate", "names a file: put the certificate inline as client-certificate-data"),
    ("client-key", "names a file: put the key inline as client-key-data"),
    ("username", "is a password's: use a token or a client certificate"),
    ("password", "is a password: use a token or a client certificate"),
    ("as", "acts as somebody else: use the credentials of who is meant"),
    ("as-uid", "acts as somebody else: use the credentials of who is meant"),
    ("as-groups", "acts as somebody else: use the credentials of who is meant"),
    ("as-user-extra", "acts as somebody else: use the credentials of who is meant"),
];
const UNKNOWN: &str = "is not known here: only server, inline certificates and tokens are used";

/// Takes the cluster of the current context out of a kubeconfig. Contexts, clusters and users beside it are passed over.
///
/// # Errors
/// Every reason not to use it; a whole that is no kubeconfig is one.
pub fn read(config: &Value) -> Result<RemoteCluster, Vec<Refusal>> {
    let mut refused = Vec::new();
    let found = context(config).and_then(|context| {
        let cluster = entry(config, "clusters", "cluster", &text(&context, "cluster"));
        let user = entry(config, "users", "user", &text(&context, "user"));
        match (cluster, user) {
            (Ok(cluster), Ok(user)) => Ok((cluster, user)),
            (cluster, user) => Err(cluster.err().into_iter().chain(user.err()).collect()),
        }
    });
    let ((cluster_at, cluster), (user_at, user)) = found?;
    unwanted(&cluster_at, &cluster, CLUSTER, &mut refused);
    unwanted(&user_at, &user, USER, &mut refused);
    let server = server(&cluster_at, &cluster, &mut refused);
    let authority = base64(&cluster_at, &cluster, "certificate-authority-data", &mut refused);
    let server_name = Some(text(&cluster, "tls-server-name")).filter(|name| !name.is_empty());
    let credentials = credentials(&user_at, &user, &mut refused);
    if refused.is_empty() {
        Ok(RemoteCluster { server, authority, server_name, credentials })
    } else {
        Err(refused)
    }
}

/// An entry of one of the lists: where it stands, and what it holds.
type Entry = (String, Map<String, Value>);

fn refusal(field: impl Into<String>, reason: &'static str) -> Refusal {
    Refusal { field: field.into(), reason }
}

/// A field's text; empty if it is absent or no text.
fn text(fields: &Map<String, Value>, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The current context, or the only one.
fn context(config: &Value) -> Result<Map<String, Value>, Vec<Refusal>> {
    if !config.is_object() {
        return Err(vec![refusal(
            "kubeconfig",
            "is none: it must be an object with clusters, users and contexts",
        )]);
    }
    let current = config["current-context"].as_str().unwrap_or_default();
    let contexts = config["contexts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = match (current, contexts) {
        ("", [only]) => only["name"].as_str().unwrap_or_default(),
        ("", _) => {
            return Err(vec![refusal("current-context", "is missing, and there is not exactly one context")]);
        }
        (current, _) => current,
    };
    entry(config, "contexts", "context", name).map(|(_, context)| context).map_err(|refusal| vec![refusal])
}

/// The entry of a name. Two of a name are refused: programs differ in which of them they take.
fn entry(config: &Value, list: &'static str, part: &str, name: &str) -> Result<Entry, Refusal> {
    let entries = config[list].as_array().into_iter().flatten().enumerate();
    let mut named = entries.filter(|(_, entry)| entry["name"].as_str() == Some(name) && !name.is_empty());
    match (named.next(), named.next()) {
        (None, _) => Err(refusal(list, "has no entry of the name that the current context gives")),
        (Some(_), Some(_)) => {
            Err(refusal(list, "has two entries of the name that the current context gives"))
        }
        (Some((at, entry)), None) => match &entry[part] {
            Value::Object(fields) => Ok((format!("{list}[{at}].{part}"), fields.clone())),
            _ => Err(refusal(format!("{list}[{at}].{part}"), "must be an object")),
        },
    }
}

/// What is neither taken nor without meaning.
fn unwanted(at: &str, fields: &Map<String, Value>, known: &[&str], refused: &mut Vec<Refusal>) {
    for (name, value) in fields {
        let is_absent = value.is_null() || value == "" || value == false;
        let reason = REFUSED.iter().find(|(field, _)| field == name).map_or(UNKNOWN, |(_, reason)| reason);
        if !known.contains(&name.as_str()) && !is_absent {
            refused.push(refusal(format!("{at}.{name}"), reason));
        }
    }
    let insecure =
        fields.get("insecure-skip-tls-verify").is_some_and(|value| !value.is_null() && value != false);
    if insecure {
        let reason = "would trust every server: give its certificate as certificate-authority-data";
        refused.push(refusal(format!("{at}.insecure-skip-tls-verify"), reason));
    }
}

fn server(at: &str, cluster: &Map<String, Value>, refused: &mut Vec<Refusal>) -> String {
    let server = text(cluster, "server");
    let host = server.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://")).map(|_| &server[8..]);
    let authority = host.map(|host| host.split(['/', '?', '#']).next().unwrap_or_default());
    let reason = match authority {
        _ if server.is_empty() => Some("is missing: give the address of the API server"),
        None => Some("must begin with https://"),
        Some(host) if host.is_empty() || server.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Some("is no address")
        }
        Some(host) if host.contains('@') => Some("must not hold a name or password"),
        Some(_) => None,
    };
    refused.extend(reason.map(|reason| refusal(format!("{at}.server"), reason)));
    server
}

fn credentials(at: &str, user: &Map<String, Value>, refused: &mut Vec<Refusal>) -> Credentials {
    let token = Some(text(user, "token").trim().to_owned()).filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        refused.push(refusal(format!("{at}.token"), "holds characters that no token has"));
    }
    let mut part = |name| base64(at, user, name, refused);
    let (certificate, key) = (part("client-certificate-data"), part("client-key-data"));
    if certificate.is_some() != key.is_some() {
        let missing = if key.is_some() { "client-certificate-data" } else { "client-key-data" };
        refused.push(refusal(
            format!("{at}.{missing}"),
            "is missing: a certificate and its key belong together",
        ));
    }
    let nothing = token.is_none() && certificate.is_none() && key.is_none();
    if nothing && !refused.iter().any(|refusal| refusal.field.starts_with(at)) {
        refused.push(refusal(
            at,
            "has no credentials: give token, or client-certificate-data and client-key-data",
        ));
    }
    Credentials { token, certificate: certificate.zip(key) }
}

/// A field in base64, if it is there.
fn base64(at: &str, fields: &Map<String, Value>, name: &str, refused: &mut Vec<Refusal>) -> Option<String> {
    let value = fields.get(name).filter(|value| !value.is_null() && **value != "")?;
    let data: String = value.as_str().unwrap_or("!").chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let right = data.len().is_multiple_of(4)
        && data.len() - digits.len() <= 2
        && !digits.is_empty()
        && digits.bytes().all(is_digit);
    if !right {
        refused.push(refusal(format!("{at}.{name}"), "is not base64"));
    }
    Some(data)
}

impl RemoteCluster {
    /// The same as a kubeconfig of its own, for clients that read one: nothing else stands in it.
    pub fn kubeconfig(&self) -> Value {
        let mut cluster = json!({ "server": self.server });
        let mut user = json!({});
        let put = |fields: &mut Value, name: &str, value: Option<&String>| {
            if let Some(value) = value {
                fields[name] = json!(value);
            }
        };
        put(&mut cluster, "certificate-authority-data", self.authority.as_ref());
        put(&mut cluster, "tls-server-name", self.server_name.as_ref());
        put(&mut user, "token", self.credentials.token.as_ref());
        let certificate = self.credentials.certificate.as_ref();
        put(&mut user, "client-certificate-data", certificate.map(|(certificate, _)| certificate));
        put(&mut user, "client-key-data", certificate.map(|(_, key)| key));
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "remote",
            "clusters": [{ "name": "remote", "cluster": cluster }],
            "users": [{ "name": "remote", "user": user }],
            "contexts": [{ "name": "remote", "context": { "cluster": "remote", "user": "remote" } }],
        })
    }
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
