//! Agents that people can talk with, and who may act for them.

use std::path::PathBuf;

use asya_settings::{Reader, filled, list};

use crate::{args::Options, service::Accounts};

/// Where agents are, and the keys that say in whose name they act.
#[derive(Clone, Debug)]
pub struct Agents {
    /// Directory of their files; `None`: there are none.
    pub folder: Option<PathBuf>,
    /// File with the keys; `None`: one of the database.
    pub keys: Option<PathBuf>,
}

impl Agents {
    pub(super) fn read(options: &Options) -> Self {
        let Options { agents_dir, subject_key_file, .. } = options.clone();
        Self {
            folder: filled(agents_dir).map(PathBuf::from),
            keys: filled(subject_key_file).map(PathBuf::from),
        }
    }
}

/// Which service accounts may act for agents. `issued`: sidecars come with tokens that tell their names.
pub(super) fn internal(options: &Options, issued: bool, read: &mut Reader) -> Accounts {
    let name = "ASYA_GATEWAY_INTERNAL_ACCOUNTS";
    let named = read.or(name, options.internal_accounts.clone(), None, |text| accounts(text).map(Some));
    if !issued && named.is_some() {
        let needed = "needs ASYA_GATEWAY_CALLBACK_ISSUER: only tokens of service accounts tell their names";
        read.wrong(name, needed);
    }
    named.map_or(Accounts::OfAgents, Accounts::Named)
}

/// Globs `NAMESPACE/NAME`.
fn accounts(text: &str) -> Result<Vec<String>, String> {
    let globs = list(text)?;
    let whole = |glob: &str| {
        let parts = glob.split_once('/').filter(|(_, name)| !name.contains('/'));
        parts.is_some_and(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
    };
    match globs.iter().find(|glob| !whole(glob)) {
        Some(glob) => Err(format!("{glob:?} must be NAMESPACE/NAME, such as team/agent-*")),
        None => Ok(globs),
    }
}
