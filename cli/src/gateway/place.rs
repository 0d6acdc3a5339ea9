//! Which gateway is meant, and its token.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Client;
use crate::{args::Common, broker, exit::misconfigured, profile};

/// The gateway of `asya up`, and where one is that was forwarded to this machine.
pub(crate) const LOCAL: &str = "http://127.0.0.1:8089";
/// Environment variables with the address of the gateway; the second is of the Go system's client.
const ADDRESS: [&str; 2] = ["ASYA_GATEWAY", "ASYA_CLI_MCP_URL"];
/// With a file that holds the token.
const TOKEN_FILE: [&str; 2] = ["ASYA_TOKEN_FILE", "ASYA_CLI_MCP_TOKEN_FILE"];
/// With the token.
const TOKEN: [&str; 2] = ["ASYA_TOKEN", "ASYA_CLI_MCP_TOKEN"];
/// What the path of an address may end with, because other programs want it there.
const ENDINGS: [&str; 2] = ["/mcp", "/api/v1"];

/// Which gateway.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct GatewayArgs {
    /// The gateway [env: ASYA_GATEWAY, ASYA_CLI_MCP_URL] [default: the profile's, else http://127.0.0.1:8089]
    #[arg(long, value_name = "URL", help_heading = "Gateway")]
    pub(crate) gateway: Option<String>,
    /// File with the token for it [env: ASYA_TOKEN_FILE, ASYA_CLI_MCP_TOKEN_FILE; ASYA_TOKEN and ASYA_CLI_MCP_TOKEN hold the
    /// token itself] [default: the profile's]
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub(crate) token_file: Option<PathBuf>,
    /// The profile with both, as --profile
    #[arg(long, value_name = "PROFILE", help_heading = "Gateway")]
    pub(crate) context: Option<String>,
}

/// A gateway that was chosen.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its address, without a slash at the end.
    pub(crate) url: String,
    /// What it is shown.
    pub(crate) token: Option<String>,
    /// Who chose it, for messages.
    pub(crate) from: String,
}

impl GatewayArgs {
    /// The gateway of a command that works on gateways only.
    ///
    /// # Errors
    /// Wrong profiles, an unreadable token.
    pub(crate) fn place(&self, common: &Common) -> anyhow::Result<Place> {
        let named = self.named(common);
        if let Some(url) = &self.gateway {
            return self.at(url, "--gateway".to_owned(), None);
        }
        if named.is_none()
            && let Some((name, url)) = environment(&ADDRESS)
        {
            return self.at(&url, name.to_owned(), None);
        }
        if let Some(chosen) = profile::find(named)? {
            if let Some(url) = &chosen.profile.gateway {
                return self.at(url, format!("profile {}", chosen.name), chosen.token_file().as_deref());
            }
            if named.is_some() {
                return Err(misconfigured(format!("profile {} has no gateway", chosen.name)));
            }
        }
        self.at(LOCAL, "nothing names another".to_owned(), None)
    }

    /// The gateway of a command that works on queues too; `None`: on queues. What is nearer goes first: options, then the
    /// environment, then a queue file here, then the current profile.
    ///
    /// # Errors
    /// As [`GatewayArgs::place`].
    pub(crate) fn instead_of_queues(&self, common: &Common) -> anyhow::Result<Option<Place>> {
        if self.gateway.is_some() {
            return self.place(common).map(Some);
        }
        if let Some(chosen) = profile::explicit(self.named(common))? {
            return if chosen.profile.gateway.is_some() { self.place(common).map(Some) } else { Ok(None) };
        }
        if common.queue_file.is_some() || common.transport.is_some() {
            return Ok(None);
        }
        // Only the name that is ours: the other one has always been there for `asya mcp`.
        if environment(&ADDRESS[..1]).is_some() {
            return self.place(common).map(Some);
        }
        if broker::queue_file(common)?.exists() {
            return Ok(None);
        }
        match profile::find(None)? {
            Some(chosen) if chosen.profile.gateway.is_some() => self.place(common).map(Some),
            _ => Ok(None),
        }
    }

    /// A client of the gateway that is meant.
    ///
    /// # Errors
    /// As [`GatewayArgs::place`].
    pub(crate) fn client(&self, common: &Common) -> anyhow::Result<Client> {
        Client::new(&self.place(common)?)
    }

    fn named<'a>(&'a self, common: &'a Common) -> Option<&'a str> {
        self.context.as_deref().or(common.profile.as_deref())
    }

    /// A token of a profile is for the gateway of that profile only.
    fn at(&self, url: &str, from: String, of_profile: Option<&Path>) -> anyhow::Result<Place> {
        let url = bare(url).to_owned();
        let token = match &self.token_file {
            Some(file) => Some(read(file)?),
            None => match (environment(&TOKEN_FILE), environment(&TOKEN), of_profile) {
                (Some((_, file)), _, _) => Some(read(Path::new(&file))?),
                (None, Some((_, token)), _) => Some(token.trim().to_owned()),
                (None, None, Some(file)) => Some(read(file)?),
                (None, None, None) => None,
            },
        };
        Ok(Place { url, token, from })
    }
}

/// The first of these variables that is set, with its name.
fn environment(names: &'static [&'static str]) -> Option<(&'static str, String)> {
    let set = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
    names.iter().find_map(|name| Some((*name, set(name)?)))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| misconfigured(format!("token file {}: {error}", file.display())))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(misconfigured(format!("token file {} is empty", file.display())));
    }
    Ok(token.to_owned())
}

fn bare(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    let ending = ENDINGS.iter().find_map(|ending| url.strip_suffix(ending));
    ending.unwrap_or(url).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_clients_lead_to_the_same_gateway() {
        for url in ["http://x:1", "http://x:1/", "http://x:1/mcp", "http://x:1/mcp/", "http://x:1/api/v1"] {
            assert_eq!(bare(url), "http://x:1");
        }
        assert_eq!(bare("https://x/asya/mcp"), "https://x/asya");
    }
}
