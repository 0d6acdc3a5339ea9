//! What http-call is told, read into types. All errors are found before any is reported.

use std::{
    collections::BTreeMap, fmt, num::NonZeroUsize, ops::RangeInclusive, path::PathBuf, time::Duration,
};

use asya_settings::units;
use asya_sidecar::RetryPolicy;
use hyper::{
    Method,
    header::{self, HeaderName},
};
use url::{Origin, Url};

use super::{
    allow::Allow,
    template::{Place, Template},
};
use crate::shipped::Variables;

/// Runs of one envelope, the first included, while the server is away or asks to wait.
pub const DEFAULT_ATTEMPTS: u32 = 5;
/// Longest of the pauses between them.
pub const DEFAULT_MAX_DELAY: Duration = Duration::from_secs(60);
/// How long one run may take, redirects included.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects that are followed.
pub const DEFAULT_REDIRECTS: u32 = 5;
/// Largest body of an answer: what the queues of all transports take, with room for the envelope.
pub const DEFAULT_MAX_ANSWER: usize = 128 * 1024;
/// Requests at the same time.
pub const DEFAULT_CONCURRENCY: usize = 16;

/// Headers that belong to the connection.
const CONNECTIONS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that are secrets wherever their value is from.
const SECRET: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// A part of the request that the payload may choose, by its member `request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `request.method`
    Method,
    /// `request.url`
    Url,
    /// `request.headers`
    Headers,
    /// `request.body`
    Body,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Nothing,
    /// A value of the envelope.
    Value(Place),
}

/// A header of each request.
#[derive(Clone, PartialEq)]
pub(crate) struct Header {
    pub(crate) name: HeaderName,
    pub(crate) value: Template,
    /// Not for other servers than that of the URL.
    pub(crate) secret: bool,
}

/// What http-call does, completely.
#[derive(Clone, PartialEq)]
pub struct Settings {
    pub(super) url: Option<Template>,
    /// The server of the URL.
    pub(super) origin: Option<Origin>,
    pub(super) method: Method,
    pub(super) headers: Vec<Header>,
    pub(super) body: Option<Body>,
    pub(super) choice: Vec<Part>,
    pub(super) allow: Allow,
    pub(super) redirects: u32,
    pub(super) timeout: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) good: Vec<RangeInclusive<u16>>,
    pub(super) max_answer: usize,
    pub(super) answer_headers: Vec<HeaderName>,
    pub(super) answer_field: Option<String>,
    pub(super) authorities: Option<PathBuf>,
    pub(super) concurrency: usize,
}

impl fmt::Debug for Settings {
    /// Without headers: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.as_ref().map(Origin::ascii_serialization);
        let mut shown = f.debug_struct("Settings");
        shown.field("origin", &origin).field("method", &self.method).field("allow", &self.allow);
        shown.field("timeout", &self.timeout).field("retry", &self.retry).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads the variables `ASYA_HTTP_*`.
    ///
    /// # Errors
    /// All that is wrong with them, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut reader = Reader { variables, errors: Vec::new() };
        let choice = reader.or("ASYA_HTTP_FROM_PAYLOAD", Vec::new(), |text| list(text).map(part).collect());
        let url = reader.maybe("ASYA_HTTP_ENDPOINT", |text| url(text, variables));
        if url.is_none() && variables.get("ASYA_HTTP_ENDPOINT").is_none() && !choice.contains(&Part::Url) {
            reader.wrong("ASYA_HTTP_ENDPOINT", "is required, unless ASYA_HTTP_FROM_PAYLOAD names url");
        }
        let mut allow = match variables.get("ASYA_HTTP_ALLOW").map(|text| Allow::parse(&text)) {
            None => Allow::default(),
            Some(Ok(allow)) => allow,
            Some(Err(more)) => {
                more.iter().for_each(|error| reader.wrong("ASYA_HTTP_ALLOW", error));
                Allow::default()
            }
        };
        if let Some((_, url)) = &url {
            allow.add(url);
        }
        let headers = reader.or("ASYA_HTTP_HEADERS", Vec::new(), |text| headers(text, variables));
        if url.is_none() && headers.iter().any(|header| header.secret) {
            let reason = "Authorization, Cookie and what is read from files need ASYA_HTTP_ENDPOINT: they are for its server only";
            reader.wrong("ASYA_HTTP_HEADERS", reason);
        }
        let mut retry =
            RetryPolicy { attempts: DEFAULT_ATTEMPTS, max: DEFAULT_MAX_DELAY, ..RetryPolicy::default() };
        retry.attempts = reader.or("ASYA_HTTP_RETRY_ATTEMPTS", retry.attempts, positive);
        retry.initial = reader.or("ASYA_HTTP_RETRY_INITIAL_DELAY", retry.initial, units::duration);
        retry.max = reader.or("ASYA_HTTP_RETRY_MAX_DELAY", retry.max, units::duration);
        let settings = Self {
            method: reader.or("ASYA_HTTP_METHOD", Method::POST, method),
            body: reader.maybe("ASYA_HTTP_BODY", body),
            redirects: reader.or("ASYA_HTTP_REDIRECTS", DEFAULT_REDIRECTS, |text| {
                text.parse().map_err(|_| format!("{text:?} must be a whole number"))
            }),
            timeout: reader.or("ASYA_HTTP_TIMEOUT", DEFAULT_TIMEOUT, |text| {
                let timeout = units::duration(text)?;
                if timeout.is_zero() { Err("must be more than nothing".to_owned()) } else { Ok(timeout) }
            }),
            good: reader.or("ASYA_HTTP_STATUSES", vec![200..=299], statuses),
            max_answer: reader.or("ASYA_HTTP_MAX_ANSWER", DEFAULT_MAX_ANSWER, units::bytes),
            answer_headers: reader.or("ASYA_HTTP_ANSWER_HEADERS", vec![header::CONTENT_TYPE], |text| {
                list(text).map(|name| header_name(&name)).collect()
            }),
            answer_field: variables.get("ASYA_HTTP_ANSWER_FIELD"),
            authorities: variables.get("ASYA_HTTP_CA_FILE").map(|file| variables.base.join(file)),
            concurrency: reader.or("ASYA_HTTP_CONCURRENCY", DEFAULT_CONCURRENCY, |text| {
                let number = text.parse::<NonZeroUsize>();
                number
                    .map(NonZeroUsize::get)
                    .map_err(|_| format!("{text:?} must be a whole number, at least 1"))
            }),
            origin: url.as_ref().map(|(_, url)| url.origin()),
            url: url.map(|(template, _)| template),
            headers,
            choice,
            allow,
            retry,
        };
        if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
    }

    /// True if a server is certain to be called by TLS, or may be.
    pub(super) fn tls(&self) -> bool {
        self.choice.contains(&Part::Url)
            || self.url.as_ref().is_some_and(|url| url.beginning().starts_with("https:"))
    }
}

struct Reader<'a> {
    variables: &'a Variables<'a>,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, name: &str, reason: &str) {
        self.errors.push(format!("{name}: {reason}"));
    }

    fn maybe<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let read = parse(&self.variables.get(name)?);
        read.map_err(|error| self.wrong(name, &error)).ok()
    }

    fn or<T>(&mut self, name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        self.maybe(name, parse).unwrap_or(default)
    }
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned)
}

fn part(name: String) -> Result<Part, String> {
    match name.as_str() {
        "method" => Ok(Part::Method),
        "url" => Ok(Part::Url),
        "headers" => Ok(Part::Headers),
        "body" => Ok(Part::Body),
        _ => Err(format!("{name:?} must be method, url, headers or body")),
    }
}

/// The URL, and what it is with something in its places: only path and query may have them.
fn url(text: &str, variables: &Variables<'_>) -> Result<(Template, Url), String> {
    let template = Template::parse(text, variables.base)?;
    if template.has_files() {
        return Err("a secret in a URL is seen by everybody on its way: put it into a header".to_owned());
    }
    let url = Url::parse(&template.sample("x")).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with http:// or https:// and the name of a server".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and no password: put them into a header".to_owned());
    }
    let server = template.beginning().split_once("://").map_or("", |(_, rest)| rest);
    if template.sample("x") != template.sample("y") && !server.contains(['/', '?']) {
        return Err("the server must be named: places are for path and query".to_owned());
    }
    Ok((template, url))
}

pub(super) fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes()).ok();
    let method = method.filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE));
    method.ok_or_else(|| format!("{text:?} is no method that can be used"))
}

/// The name of a header that may be chosen.
pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    let name =
        HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is no header's name"))?;
    if CONNECTIONS.contains(&name.as_str()) {
        return Err(format!("the header {name} belongs to the connection"));
    }
    Ok(name)
}

/// The headers of a JSON object.
pub(crate) fn headers(text: &str, variables: &Variables<'_>) -> Result<Vec<Header>, String> {
    let written: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|error| format!("must be a JSON object of texts: {error}"))?;
    let header = |(name, value): (String, String)| {
        let name = header_name(&name)?;
        let value = Template::parse(&value, variables.base).map_err(|error| format!("{name}: {error}"))?;
        let secret = value.has_files() || SECRET.contains(&name);
        Ok(Header { name, value, secret })
    };
    written.into_iter().map(header).collect()
}

fn body(text: &str) -> Result<Body, String> {
    match text {
        "none" => Ok(Body::Nothing),
        place => Place::parse(place).map(Body::Value).map_err(|error| format!("none, or: {error}")),
    }
}

fn positive(text: &str) -> Result<u32, String> {
    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} must be a whole number, at least 1"))
}

fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let wrong = |entry: &str| format!("{entry:?} must be a status, or two with - between them");
    list(text)
        .map(|entry| {
            let (first, last) = entry.split_once('-').unwrap_or((&entry, &entry));
            let number = |text: &str| text.trim().parse::<u16>().ok().filter(|n| (200..600).contains(n));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Ok(first..=last),
                _ => Err(wrong(&entry)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find = |name: &str| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&Variables { find: &find, base: Path::new("/") })
    }

    #[test]
    fn a_url_is_enough() {
        let settings =
            read(&[("ASYA_HTTP_ENDPOINT", "https://api.example.com/{payload.id}?x={id}")]).unwrap();
        assert_eq!((settings.method.as_str(), settings.retry.attempts), ("POST", DEFAULT_ATTEMPTS));
        assert!(settings.tls() && settings.choice.is_empty());
    }

    #[test]
    fn every_mistake_is_named() {
        let errors = read(&[
            ("ASYA_HTTP_ENDPOINT", "ftp://x"),
            ("ASYA_HTTP_METHOD", "CONNECT"),
            ("ASYA_HTTP_HEADERS", r#"{"Host": "x"}"#),
            ("ASYA_HTTP_BODY", "other"),
            ("ASYA_HTTP_FROM_PAYLOAD", "host"),
            ("ASYA_HTTP_ALLOW", "a b"),
            ("ASYA_HTTP_REDIRECTS", "-1"),
            ("ASYA_HTTP_TIMEOUT", "0s"),
            ("ASYA_HTTP_RETRY_ATTEMPTS", "0"),
            ("ASYA_HTTP_STATUSES", "299-200"),
            ("ASYA_HTTP_MAX_ANSWER", "much"),
            ("ASYA_HTTP_ANSWER_HEADERS", "a b"),
            ("ASYA_HTTP_CONCURRENCY", "0"),
        ])
        .unwrap_err();
        assert_eq!(errors.len(), 13, "{errors:#?}");
        assert_eq!(read(&[]).unwrap_err().len(), 1);
    }

    #[test]
    fn an_envelope_cannot_choose_the_server_by_a_place() {
        for url in [
            "https://{payload.host}/x",
            "https://api.{payload.host}",
            "https://api.example.com{payload.x}",
            "https://api.example.com:{payload.port}/",
            "{payload.url}",
            "https://user@api.example.com/",
            "https://api.example.com/?key={file:/secret}",
        ] {
            assert!(read(&[("ASYA_HTTP_ENDPOINT", url)]).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_need_a_server_and_are_not_shown() {
        let headers = ("ASYA_HTTP_HEADERS", r#"{"X-Key": "{file:key}"}"#);
        let errors = read(&[headers, ("ASYA_HTTP_FROM_PAYLOAD", "url")]).unwrap_err();
        assert!(errors[0].contains("ASYA_HTTP_ENDPOINT"), "{errors:?}");
        let settings = read(&[
            ("ASYA_HTTP_ENDPOINT", "https://api.example.com/"),
            ("ASYA_HTTP_HEADERS", r#"{"Authorization": "Bearer hidden", "x-b": "hidden"}"#),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.headers.iter().filter(|header| header.secret).count(), 1);
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}
