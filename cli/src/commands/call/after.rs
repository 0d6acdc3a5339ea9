//! Options of `asya call` that were typed behind the name of the tool.

use std::path::PathBuf;

use clap::Parser;

use crate::{exit::misconfigured, output::Output};

/// They mean the same there as before it; an argument of the tool with such a name is written NAME=VALUE.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
pub(super) struct After {
    #[arg(long, short)]
    pub(super) output: Option<Output>,
    #[arg(long)]
    pub(super) profile: Option<String>,
    #[arg(long)]
    pub(super) gateway: Option<String>,
    #[arg(long)]
    pub(super) token_file: Option<PathBuf>,
    #[arg(long)]
    pub(super) context: Option<String>,
    #[arg(long)]
    pub(super) json: Option<String>,
    #[arg(long)]
    pub(super) no_wait: bool,
    #[arg(long)]
    pub(super) timeout: Option<String>,
    #[arg(long)]
    pub(super) id: Option<String>,
    #[arg(long, short)]
    pub(super) help: bool,
}

/// Those that take a value.
const VALUED: [&str; 8] =
    ["--output", "--profile", "--gateway", "--token-file", "--context", "--json", "--timeout", "--id"];
/// Those that take none.
const PLAIN: [&str; 2] = ["--no-wait", "--help"];

impl After {
    /// Takes them out of what was typed; the rest is the tool's.
    ///
    /// # Errors
    /// One is wrong, as a wrong command line.
    pub(super) fn split(typed: Vec<String>) -> anyhow::Result<(Self, Vec<String>)> {
        let (mut own, mut rest) = (Vec::new(), Vec::new());
        let mut words = typed.into_iter();
        while let Some(word) = words.next() {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            if word == "-o" || (VALUED.contains(&name) && name == word) {
                own.push(word);
                own.extend(words.next());
            } else if VALUED.contains(&name) || PLAIN.contains(&word.as_str()) || word == "-h" {
                own.push(word);
            } else if let Some(form) = word.strip_prefix("-o").filter(|form| !form.is_empty()) {
                own.push(format!("--output={}", form.trim_start_matches('=')));
            } else {
                rest.push(word);
            }
        }
        let after = Self::try_parse_from(own).map_err(|error| {
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            misconfigured(format!("{text}; an argument of the tool with such a name is written NAME=VALUE"))
        })?;
        Ok((after, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(typed: &[&str]) -> anyhow::Result<(After, Vec<String>)> {
        After::split(typed.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn options_behind_the_tool_mean_the_same_as_before_it() {
        let (after, rest) =
            split(&["--page", "3", "--output", "json", "output=x", "--no-wait", "--gateway=http://x", "-"])
                .unwrap();
        assert_eq!(rest, ["--page", "3", "output=x", "-"]);
        assert_eq!((after.output, after.no_wait), (Some(Output::Json), true));
        assert_eq!(after.gateway.as_deref(), Some("http://x"));
        assert_eq!(split(&["-ojson"]).unwrap().0.output, Some(Output::Json));
        assert_eq!(split(&["--json", "{}"]).unwrap().0.json.as_deref(), Some("{}"));
        let (after, rest) = split(&["--page=3", "--id", "mine", "id=theirs"]).unwrap();
        assert_eq!(
            (after.id.as_deref(), &*rest),
            (Some("mine"), &["--page=3".to_owned(), "id=theirs".to_owned()][..])
        );
        assert_eq!(split(&["--id=mine"]).unwrap().0.id.as_deref(), Some("mine"));
        assert!(split(&["--output", "xml"]).unwrap_err().to_string().contains("NAME=VALUE"));
        assert!(split(&["--gateway"]).is_err());
    }
}
