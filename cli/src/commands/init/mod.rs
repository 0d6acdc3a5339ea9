//! `asya init`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use asya_envelope::ActorName;
use clap::Args;
use serde_json::json;

use crate::{
    args::Common,
    exit::{self, misconfigured},
    output::{Output, print},
};

/// The files of a new actor, `@name@` and `@module@` to be filled in.
const FILES: [(&str, &str); 4] = [
    ("@name@.yaml", include_str!("actor.yaml")),
    ("@module@.py", include_str!("handler.py.txt")),
    ("test_@module@.py", include_str!("test.py.txt")),
    ("Dockerfile", include_str!("Dockerfile.txt")),
];

/// Make a new actor: handler, manifest, test, Dockerfile
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  asya init greet\n  asya up greet\n  asya send greet '{\"name\": \"Ada\"}' --wait    (in another terminal)"
)]
pub(crate) struct Init {
    /// The actor's name: a-z, 0-9 and '-'
    name: String,
    /// Where to [default: a directory of that name]
    #[arg(long, value_name = "DIRECTORY")]
    path: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<u8> {
        let Self { name, path } = self;
        ActorName::parse(&name).map_err(|error| misconfigured(error.to_string()))?;
        let module = module(&name);
        let directory = path.unwrap_or_else(|| PathBuf::from(&name));
        let fill = |text: &str| text.replace("@name@", &name).replace("@module@", &module);
        let files: Vec<_> =
            FILES.iter().map(|(file, text)| (directory.join(fill(file)), fill(text))).collect();
        if let Some((there, _)) = files.iter().find(|(file, _)| file.exists()) {
            return Err(misconfigured(format!("{} exists already; nothing was written", there.display())));
        }
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("making directory {}", directory.display()))?;
        for (file, text) in &files {
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        if common.output == Output::Json {
            let files: Vec<&Path> = files.iter().map(|(file, _)| file.as_path()).collect();
            common.output.line(&json!({"name": name, "directory": directory, "files": files}), String::new);
        } else {
            for (file, _) in &files {
                print(&format!("made {}", file.display()));
            }
            let shown = directory.display();
            print(&format!(
                "\nNext:\n  asya up {shown}\n  asya send {name} '{{\"name\": \"Ada\"}}' --wait    # in another terminal\n  \
                 cd {shown} && python3 -m unittest    # the handler's test"
            ));
        }
        Ok(exit::OK)
    }
}

/// The name as a Python module: `-` becomes `_`, and a digit or a keyword does not stand alone.
fn module(name: &str) -> String {
    let module = name.replace('-', "_");
    let taken = [
        "async", "await", "class", "def", "for", "from", "if", "import", "in", "is", "not", "or", "and",
        "as", "pass", "return", "try", "while", "with", "yield", "test", "del", "elif", "else", "except",
        "finally", "global", "lambda", "nonlocal", "raise", "assert", "break", "continue",
    ];
    if module.starts_with(|c: char| c.is_ascii_digit()) || taken.contains(&module.as_str()) {
        format!("actor_{module}")
    } else {
        module
    }
}

#[cfg(test)]
mod tests {
    use super::module;

    #[test]
    fn every_actor_name_becomes_a_module_that_python_can_import() {
        assert_eq!(["my-actor", "2nd", "import"].map(module), ["my_actor", "actor_2nd", "actor_import"]);
    }
}
