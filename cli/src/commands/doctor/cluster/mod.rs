//! `asya doctor --cluster`.
//!
//! | module | looks at |
//! |---|---|
//! | `platform` | the API server, the CRD, KEDA |
//! | `operator` | the operator's Deployment, its Lease, its version |
//! | `rights` | what the current user may do |
//! | `actors` | transports as the operator sees them, actors in trouble |

mod actors;
mod operator;
mod platform;
mod rights;

use serde::Serialize;

use crate::{
    args::Common,
    cluster::{Actor, ClusterArgs, ClusterError},
    exit,
    output::Output,
};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, less well than it could, or one may not look.
    Warn,
    /// Actors do not work.
    Fail,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), fix: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Fail, found: found.into(), fix: Some(fix.into()) }
    }

    /// What could not be read: no failure, as long as it is a right that is missing.
    fn unread(check: &'static str, error: &ClusterError) -> Self {
        match error {
            ClusterError::Forbidden(words) => Self::warn(check, "not checked", words.clone()),
            error => Self::fail(check, error.to_string(), "try again; if it lasts, look at the API server"),
        }
    }

    fn print(&self, output: Output) {
        output.line(self, || {
            let mark = match self.state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            let fix = self.fix.as_ref().map_or_else(String::new, |fix| format!("\n     next: {fix}"));
            format!("{mark} {:<16} {}{fix}", self.check, self.found)
        });
    }
}

/// Checks the cluster; each finding is printed as it is made.
pub(super) async fn check(common: &Common, args: &ClusterArgs) -> anyhow::Result<u8> {
    let cluster = args.connect(common).await?;
    let mut worst = State::Ok;
    let mut print = |findings: Vec<Finding>| {
        for finding in findings {
            if finding.state == State::Fail || worst == State::Ok {
                worst = finding.state;
            }
            finding.print(common.output);
        }
    };
    print(vec![platform::server(&cluster), platform::crd(&cluster).await]);
    // All namespaces, as far as one may look.
    let listed = match cluster.actors(true).await {
        Ok(actors) => Ok(actors),
        Err(_) => cluster.actors(false).await,
    };
    let scaled = listed.as_ref().is_ok_and(|actors| actors.iter().any(is_scaled));
    print(operator::check(&cluster).await);
    print(platform::keda(&cluster, scaled).await);
    print(vec![rights::check(&cluster).await]);
    match &listed {
        Ok(actors) => print(actors::check(actors)),
        Err(error) => print(vec![Finding::warn("actors", "not checked", format!("{error:#}"))]),
    }
    if common.output == Output::Human {
        eprintln!(
            "{}",
            match worst {
                State::Ok => "this cluster runs actors",
                State::Warn => "this cluster runs actors; look at the warnings",
                State::Fail => "something is to be mended",
            }
        );
    }
    Ok(if worst == State::Fail { exit::FAILED } else { exit::OK })
}

fn is_scaled(actor: &Actor) -> bool {
    actor.spec.as_ref().is_some_and(asya_resources::AsyncActorSpec::scaling_on)
}

/// Major and minor of `2.18.1`, `v1.33` or `1.29+`.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.trim_start_matches('v').split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    Some((parts.next()??, parts.next()??))
}
