//! `asya profile`.

use clap::Subcommand;
use serde_json::json;

use crate::{
    args::Common,
    exit,
    output::{Output, print, safe, table},
    profile::{File, Profile as Entry, find},
};

/// Named places to work on: gateways, brokers, clusters
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Profiles stand in $ASYA_CONFIG, else in asya/config.yaml of $XDG_CONFIG_HOME or ~/.config:\n\n  \
    current: dev\n  profiles:\n    dev:\n      gateway: http://127.0.0.1:8089\n    prod:\n      gateway: https://asya.example.com\n      \
    tokenFile: prod.token      # relative to this file\n      transport: amqps://me@broker.example.com\n      \
    context: prod-cluster      # of the kubeconfig\n      namespace: pipelines\n\n\
    Examples:\n  asya profile list\n  asya profile use prod\n  asya --profile prod tools"
)]
pub(crate) enum Profile {
    /// List profiles
    List,
    /// Make a profile the current one: commands that name none work on its places
    Use {
        /// Its name
        name: String,
    },
    /// Show the places of a profile; passwords are left out
    Show {
        /// Its name [default: the current one]
        name: Option<String>,
    },
}

impl Profile {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<u8> {
        match self {
            Self::List => list(common),
            Self::Use { name } => {
                let file = File::read()?;
                file.make_current(&name)?;
                common
                    .output
                    .line(&json!({"current": name, "file": file.path}), || format!("{name} is current"));
                Ok(exit::OK)
            }
            Self::Show { name } => show(common, name.as_deref().or(common.profile.as_deref())),
        }
    }
}

fn list(common: &Common) -> anyhow::Result<u8> {
    let file = File::read()?;
    let mut rows = Vec::new();
    for (name, profile) in &file.profiles {
        let current = file.current.as_ref() == Some(name);
        if common.output == Output::Json {
            let mut line = shown(profile);
            line["name"] = json!(name);
            line["current"] = json!(current);
            common.output.line(&line, String::new);
            continue;
        }
        let cell = |text: &Option<String>| safe(text.as_deref().unwrap_or_default()).into_owned();
        rows.push(vec![
            if current { "*" } else { "" }.to_owned(),
            safe(name).into_owned(),
            cell(&profile.gateway),
            masked(profile.transport.as_deref().unwrap_or_default()),
            cell(&profile.context),
            cell(&profile.namespace),
        ]);
    }
    if common.output == Output::Human {
        if rows.is_empty() {
            eprintln!(
                "no profiles in {}; `asya profile --help` shows how they are written",
                file.path.display()
            );
        } else {
            print(&table(&["", "NAME", "GATEWAY", "TRANSPORT", "CONTEXT", "NAMESPACE"], &rows));
        }
    }
    Ok(exit::OK)
}

fn show(common: &Common, name: Option<&str>) -> anyhow::Result<u8> {
    let Some(chosen) = find(name)? else {
        anyhow::bail!(
            "no profile is current; `asya profile list` shows them, `asya profile use NAME` chooses one"
        )
    };
    let mut line = shown(&chosen.profile);
    if let Some(file) = chosen.token_file() {
        line["tokenFile"] = json!(file);
    }
    line["name"] = json!(chosen.name);
    common.output.line(&line, || {
        let members = line.as_object().into_iter().flatten();
        let lines =
            members.map(|(name, value)| format!("{name}: {}", safe(value.as_str().unwrap_or_default())));
        lines.collect::<Vec<_>>().join("\n")
    });
    Ok(exit::OK)
}

fn shown(profile: &Entry) -> serde_json::Value {
    let transport = profile.transport.as_deref().map(masked);
    let shown = Entry { transport, ..profile.clone() };
    serde_json::to_value(shown).expect("profiles are texts")
}

/// The address without its password.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return safe(url).into_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return safe(url).into_owned() };
    let user = user.split(':').next().unwrap_or_default();
    safe(&format!("{scheme}://{user}:***@{host}")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        assert_eq!(masked("amqps://me:p@ss:x@host/v"), "amqps://me:***@host/v");
        assert_eq!(masked("sqs://eu-west-1"), "sqs://eu-west-1");
    }
}
