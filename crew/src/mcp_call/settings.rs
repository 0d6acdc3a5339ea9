//! What mcp-call is told, read into types. All errors are found before any is reported.

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use asya_settings::{Errors, Reader, list, number, positive_duration, units};
use url::Url;

use crate::{
    hide,
    http_call::{
        allow::Allow,
        settings::{DEFAULT_CONCURRENCY, Header, headers},
    },
    shipped::Variables,
};

/// How long the beginning of a session may take, and then a call: tools ask other systems.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest text of an answer: what a model reads for one call of a tool, some ten thousand tokens.
const DEFAULT_MAX_ANSWER: usize = 32 * 1024;
/// The most of it: what the queues of all transports take, with room for the envelope and for JSON.
const MOST_ANSWER: usize = 96 * 1024;
/// Variables that a program gets without being named: where programs and files are, and the language.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// Headers of the protocol's own.
const OWN: [&str; 5] = ["accept", "content-type", "last-event-id", "mcp-protocol-version", "mcp-session-id"];

/// What mcp-call does, completely.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub(super) server: Server,
    /// Names and globs of its tools that may be called.
    pub(super) tools: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) max_answer: usize,
    pub(super) concurrency: usize,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Server {
    /// At an address, by streamable HTTP.
    Address(Box<Address>),
    /// A program, by its standard input and output.
    Program(Start),
}

/// A server at an address.
#[derive(Clone, PartialEq)]
pub(super) struct Address {
    pub(super) url: Url,
    pub(super) headers: Vec<Header>,
    pub(super) authorities: Option<PathBuf>,
}

/// A program and how it is started.
#[derive(Clone, PartialEq)]
pub(super) struct Start {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    /// All that it gets.
    pub(super) environment: Vec<(String, String)>,
    /// The names of those that were named for it: their values are hidden.
    pub(super) passed: Vec<String>,
}

impl fmt::Debug for Address {
    /// Without headers: they may hold secrets; and without the query, which may, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.url.origin().ascii_serialization();
        f.debug_struct("Address")
            .field("origin", &origin)
            .field("path", &self.url.path())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Start {
    /// Without arguments and values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Start")
            .field("program", &self.program)
            .field("environment", &names)
            .finish_non_exhaustive()
    }
}

/// What stands for a secret where a command is shown.
const MASK: &str = "***";

/// The words of a command, with `***` for what looks like a secret in them or follows a flag that tells of one.
pub fn shown(words: &[String]) -> Vec<String> {
    hide::words(words)
}

impl Start {
    /// What looks like a secret in its arguments.
    pub(super) fn secrets(&self) -> Vec<String> {
        let shown = shown(&self.arguments);
        let differ = self.arguments.iter().zip(&shown).filter(|(word, shown)| word != shown);
        let parts = differ.filter_map(|(word, shown)| {
            let (before, _) = shown.split_once(MASK)?;
            let (_, after) = shown.rsplit_once(MASK)?;
            word.strip_prefix(before)?.strip_suffix(after).map(str::to_owned)
        });
        parts.collect()
    }
}

impl Settings {
    /// Reads the variables `ASYA_MCP_*`.
    ///
    /// # Errors
    /// All that is wrong with them, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut read = Reader::default();
        let get = |name: &str| variables.get(name);
        let server = match (get("ASYA_MCP_URL"), get("ASYA_MCP_COMMAND")) {
            (Some(url), None) => address(&mut read, variables, &url),
            (None, Some(command)) => program(&mut read, variables, &command),
            (Some(_), Some(_)) => {
                read.wrong("ASYA_MCP_URL", "is set, and ASYA_MCP_COMMAND as well; a server is at one place");
                None
            }
            (None, None) => {
                read.wrong("ASYA_MCP_URL", "is required, or ASYA_MCP_COMMAND for a server that is a program");
                None
            }
        };
        let tools = read.required("ASYA_MCP_TOOLS", get("ASYA_MCP_TOOLS"), |text| match list(text)? {
            tools if tools.is_empty() => Err("names no tool".to_owned()),
            tools => Ok(tools),
        });
        let timeout =
            read.or("ASYA_MCP_TIMEOUT", get("ASYA_MCP_TIMEOUT"), DEFAULT_TIMEOUT, positive_duration);
        let max_answer =
            read.or("ASYA_MCP_MAX_ANSWER", get("ASYA_MCP_MAX_ANSWER"), DEFAULT_MAX_ANSWER, |text| {
                let size = units::bytes(text)?;
                let fits = (1..=MOST_ANSWER).contains(&size);
                fits.then_some(size).ok_or_else(|| format!("{text} must be from 1 to {MOST_ANSWER} bytes"))
            });
        let concurrency = NonZeroUsize::new(DEFAULT_CONCURRENCY).unwrap_or(NonZeroUsize::MIN);
        let concurrency =
            read.or("ASYA_MCP_CONCURRENCY", get("ASYA_MCP_CONCURRENCY"), concurrency, number).get();
        // Without one there is an error, and nothing is made of this.
        let server = server.unwrap_or(Server::Program(Start {
            program: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            passed: Vec::new(),
        }));
        let settings = Self { server, tools: tools.unwrap_or_default(), timeout, max_answer, concurrency };
        read.done(settings).map_err(|Errors(errors)| errors)
    }
}

impl Address {
    /// Only this server is asked.
    pub(super) fn allow(&self) -> Allow {
        let mut allow = Allow::default();
        allow.add(&self.url);
        allow
    }
}

fn address(read: &mut Reader, variables: &Variables<'_>, text: &str) -> Option<Server> {
    if variables.get("ASYA_MCP_PASS").is_some() {
        read.wrong("ASYA_MCP_PASS", "is for a program (ASYA_MCP_COMMAND)");
    }
    let headers = read.or("ASYA_MCP_HEADERS", variables.get("ASYA_MCP_HEADERS"), Vec::new(), |text| {
        let mut headers = headers(text, variables)?;
        for Header { name, value, secret } in &mut headers {
            *secret |= is_secret(name.as_str());
            if OWN.contains(&name.as_str()) {
                return Err(format!("the header {name} is the protocol's own"));
            }
            if value.has_places() {
                return Err(format!(
                    "{name}: values of the payload are no headers here; only {{file:PATH}} is"
                ));
            }
        }
        Ok(headers)
    });
    let url = read.required("ASYA_MCP_URL", Some(text.to_owned()), url)?;
    let authorities = variables.get("ASYA_MCP_CA_FILE").map(|file| variables.base.join(file));
    Some(Server::Address(Box::new(Address { url, headers, authorities })))
}

/// Whether a header's name tells that its value is a credential.
pub fn is_secret(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    ["auth", "cookie", "key", "token", "secret", "password"].iter().any(|part| header.contains(part))
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with http:// or https:// and the name of a server".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and no password: put them into ASYA_MCP_HEADERS".to_owned());
    }
    Ok(url)
}

fn program(read: &mut Reader, variables: &Variables<'_>, text: &str) -> Option<Server> {
    for name in ["ASYA_MCP_HEADERS", "ASYA_MCP_CA_FILE"] {
        if variables.get(name).is_some() {
            read.wrong(name, "is for a server at an address (ASYA_MCP_URL)");
        }
    }
    let command = read.required("ASYA_MCP_COMMAND", Some(text.to_owned()), |text| {
        // What it is instead is not shown: it may hold a secret.
        let words: Vec<String> = serde_json::from_str(text).map_err(|error| {
            let column = error.column();
            format!("must be a JSON list of words, as [\"program\", \"argument\"]; column {column} is none of it")
        })?;
        if words.iter().any(|word| word.contains(MASK)) {
            return Err(format!(
                "{MASK} stands for a secret that was not printed: give it to the program by a variable (ASYA_MCP_PASS)"
            ));
        }
        match words.first() {
            Some(program) if !program.is_empty() => Ok(words),
            _ => Err("names no program".to_owned()),
        }
    });
    let passed = read.or("ASYA_MCP_PASS", variables.get("ASYA_MCP_PASS"), Vec::new(), list);
    // A manifest says it, or else whoever started this process.
    let value = |name: &str| variables.get(name).or_else(|| std::env::var(name).ok());
    let mut environment = Vec::new();
    for name in INHERITED.into_iter().chain(passed.iter().map(String::as_str)) {
        match value(name) {
            Some(value) => environment.push((name.to_owned(), value)),
            None if passed.iter().any(|one| one == name) => {
                read.wrong("ASYA_MCP_PASS", &format!("{name:?} is not set"));
            }
            None => {}
        }
    }
    let (program, arguments) =
        command?.split_first().map(|(program, rest)| (program.clone(), rest.to_vec()))?;
    Some(Server::Program(Start { program, arguments, environment, passed }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find = |name: &str| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&Variables { find: &find, base: Path::new("/base") })
    }

    #[test]
    fn a_server_and_its_tools_are_enough() {
        let settings =
            read(&[("ASYA_MCP_URL", "https://mcp.example.com/mcp"), ("ASYA_MCP_TOOLS", "get_*, search")])
                .unwrap();
        assert_eq!((settings.tools.len(), settings.max_answer), (2, DEFAULT_MAX_ANSWER));
        let command = ("ASYA_MCP_COMMAND", r#"["mcp-files", "--root", "/data dir"]"#);
        let values = [command, ("ASYA_MCP_TOOLS", "*"), ("ASYA_MCP_PASS", "TOKEN"), ("TOKEN", "s3cret-word")];
        let Server::Program(start) = read(&values).unwrap().server else { panic!("a program") };
        assert_eq!(
            (start.program.as_str(), &start.arguments[..]),
            ("mcp-files", &["--root".into(), "/data dir".into()][..])
        );
        assert!(start.environment.contains(&("TOKEN".into(), "s3cret-word".into())));
        let names = |(name, _): &(String, String)| INHERITED.contains(&name.as_str()) || name == "TOKEN";
        assert!(start.environment.iter().all(names), "{start:?}");
        assert!(!format!("{start:?}").contains("s3cret-word"));
    }

    #[test]
    fn of_a_command_nobody_is_shown_its_secrets() {
        let words = [
            "mcp-sql",
            "--api-key",
            "plain-words",
            "--token=other-words",
            "postgres://u:p4ss-word@db/x",
            "-v",
        ];
        let command = serde_json::json!(words).to_string();
        let Server::Program(start) =
            read(&[("ASYA_MCP_COMMAND", &command), ("ASYA_MCP_TOOLS", "*")]).unwrap().server
        else {
            panic!("a program")
        };
        assert_eq!(start.secrets(), ["plain-words", "other-words", "p4ss-word"]);
        let words: Vec<_> = words.map(str::to_owned).into();
        let clean = shown(&words);
        assert_eq!(clean, ["mcp-sql", "--api-key", "***", "--token=***", "postgres://u:***@db/x", "-v"]);
        for wrong in
            [serde_json::json!(clean).to_string(), "\"--token other-words\"".into(), "[\"--token\", ".into()]
        {
            let errors = read(&[("ASYA_MCP_COMMAND", &wrong), ("ASYA_MCP_TOOLS", "*")]).unwrap_err();
            assert!(errors.len() == 1 && !errors[0].contains("words\""), "{errors:?}");
            assert!(
                errors[0].starts_with("ASYA_MCP_COMMAND: ") && !errors[0].contains("other"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn every_mistake_is_named() {
        /// Variables, and what is said of them.
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: [Case<'_>; 6] = [
            (&[], &["ASYA_MCP_URL: is required", "ASYA_MCP_TOOLS: is required"]),
            (
                &[("ASYA_MCP_URL", "http://a/"), ("ASYA_MCP_COMMAND", "[\"a\"]"), ("ASYA_MCP_TOOLS", ",")],
                &["ASYA_MCP_COMMAND as well", "names no tool"],
            ),
            (
                &[
                    ("ASYA_MCP_URL", "http://user:pass@a/"),
                    ("ASYA_MCP_TOOLS", "*"),
                    ("ASYA_MCP_HEADERS", r#"{"X-A": "{payload.a}"}"#),
                    ("ASYA_MCP_PASS", "A"),
                    ("ASYA_MCP_TIMEOUT", "0s"),
                    ("ASYA_MCP_MAX_ANSWER", "1Mi"),
                    ("ASYA_MCP_CONCURRENCY", "0"),
                ],
                &[
                    "no user",
                    "values of the payload",
                    "ASYA_MCP_PASS",
                    "TIMEOUT",
                    "MAX_ANSWER",
                    "CONCURRENCY",
                ],
            ),
            (
                &[
                    ("ASYA_MCP_URL", "file:///a"),
                    ("ASYA_MCP_TOOLS", "*"),
                    ("ASYA_MCP_HEADERS", r#"{"Accept": "x"}"#),
                ],
                &["must begin with http", "the protocol's own"],
            ),
            (
                &[
                    ("ASYA_MCP_COMMAND", "server --flag"),
                    ("ASYA_MCP_TOOLS", "*"),
                    ("ASYA_MCP_PASS", "ASYA_TEST_NOT_SET"),
                    ("ASYA_MCP_HEADERS", "{}"),
                    ("ASYA_MCP_CA_FILE", "ca.pem"),
                ],
                &[
                    "a JSON list of words",
                    "\"ASYA_TEST_NOT_SET\" is not set",
                    "MCP_HEADERS: is for",
                    "CA_FILE: is for",
                ],
            ),
            (&[("ASYA_MCP_COMMAND", "[]"), ("ASYA_MCP_TOOLS", "*")], &["names no program"]),
        ];
        for (values, parts) in cases {
            let errors = read(values).unwrap_err();
            assert_eq!(errors.len(), parts.len(), "{errors:#?}");
            for part in parts {
                assert!(errors.iter().any(|error| error.contains(part)), "{part}: {errors:#?}");
            }
        }
    }

    #[test]
    fn what_is_shown_of_settings_has_no_secrets() {
        let headers = r#"{"Authorization": "Bearer in-the-clear"}"#;
        let url = "https://mcp.example.com/mcp?key=in-the-query";
        let shown =
            read(&[("ASYA_MCP_URL", url), ("ASYA_MCP_TOOLS", "*"), ("ASYA_MCP_HEADERS", headers)]).unwrap();
        let shown = format!("{shown:?}");
        assert!(shown.contains("mcp.example.com") && !shown.contains("in-the"), "{shown}");
    }
}
