//! `asya findings`.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    args::Common,
    exit,
    gateway::{
        Client, GatewayArgs, GatewayError,
        client::{query, segment, verbatim},
    },
    output::{Output, print, safe, short, table},
};

/// Characters of what is wrong in the list.
const SHOWN: usize = 80;

/// Show what the cluster analysis has found
///
/// What is broken in the clusters that are watched, with what a model has explained about it; from the database of a
/// gateway. `asya analyze` looks at a cluster itself, now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  asya findings\n  asya findings --namespace shop --severity error\n  \
    asya findings --kind Deployment --output json\n  asya findings aGVyZS9Qb2Qvc2hvcC93ZWI")]
pub(crate) struct Findings {
    /// One finding, by its id, with evidence and explanation [default: a list of all that are open]
    id: Option<String>,
    /// Of this cluster, as its watcher is called
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    cluster: Option<String>,
    /// Of objects in this namespace
    #[arg(long, short, value_name = "NAME", conflicts_with = "id")]
    namespace: Option<String>,
    /// Of objects of this kind, as Pod or Deployment.apps
    #[arg(long, value_name = "KIND", conflicts_with = "id")]
    kind: Option<String>,
    /// At least so severe
    #[arg(long, value_enum, conflicts_with = "id")]
    severity: Option<Least>,
    /// Most that are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Least {
    Info,
    Warning,
    Error,
    Critical,
}

impl Least {
    const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

#[derive(Deserialize)]
struct Page {
    findings: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Finding {
    id: String,
    cluster: String,
    object: Object,
    severity: Option<String>,
    state: String,
    first_seen: String,
    failures: Vec<Failure>,
    explanation: Option<Explanation>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    namespace: Option<String>,
    name: String,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    text: String,
    severity: String,
    evidence: Vec<Evidence>,
}

#[derive(Deserialize)]
struct Evidence {
    object: Object,
    path: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Explanation {
    text: String,
    provider: String,
    model: String,
}

impl Object {
    /// `Pod shop/web`
    fn words(&self) -> String {
        let place = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("{} {place}{}", self.kind, self.name)
    }
}

impl Findings {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let client = self.gateway.client(&common)?;
        match &self.id {
            Some(id) => show(&common, &client, id).await,
            None => self.list(&common, &client).await,
        }
    }

    async fn list(&self, common: &Common, client: &Client) -> anyhow::Result<u8> {
        let Self { id: _, cluster, namespace, kind, severity, limit, gateway: _ } = self;
        let (mut rows, mut after, mut left) = (Vec::new(), None::<String>, *limit);
        while left > 0 {
            let path = query(&[
                ("cluster", cluster.as_deref()),
                ("namespace", namespace.as_deref()),
                ("kind", kind.as_deref()),
                ("severity", severity.map(Least::word)),
                ("after", after.as_deref()),
                ("limit", Some(&left.min(1000).to_string())),
            ]);
            let page: Page =
                client.get(&format!("/api/v1/findings{path}")).await.map_err(GatewayError::told)?;
            left = left.saturating_sub(page.findings.len());
            for raw in &page.findings {
                if common.output == Output::Json {
                    print(&verbatim(raw));
                    continue;
                }
                rows.push(row(&serde_json::from_str(raw.get())?));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if common.output == Output::Human {
            if rows.is_empty() {
                eprintln!("nothing is broken, as far as the gateway's database knows");
            } else {
                print(&table(&["SEVERITY", "CLUSTER", "OBJECT", "SINCE", "WHAT", "ID"], &rows));
            }
            if after.is_some() {
                eprintln!("there may be more: --limit");
            }
        }
        Ok(exit::OK)
    }
}

fn row(finding: &Finding) -> Vec<String> {
    let Finding { id, cluster, object, severity, first_seen, failures, .. } = finding;
    let what: Vec<_> = failures.iter().map(|failure| format!("{}: {}", failure.code, failure.text)).collect();
    let severity = severity.clone().unwrap_or_default();
    let what = short(&what.join("; "), SHOWN);
    let cells = [severity, cluster.clone(), object.words(), first_seen.clone(), what, id.clone()];
    cells.iter().map(|cell| safe(cell).into_owned()).collect()
}

async fn show(common: &Common, client: &Client, id: &str) -> anyhow::Result<u8> {
    let raw: Box<RawValue> = match client.get(&format!("/api/v1/findings/{}", segment(id))).await {
        Err(error) if error.status() == Some(http::StatusCode::NOT_FOUND) => {
            anyhow::bail!("no finding {}; `asya findings` shows those that are open", safe(id))
        }
        raw => raw.map_err(GatewayError::told)?,
    };
    if common.output == Output::Json {
        print(&verbatim(&raw));
    } else {
        print(&safe(&described(&serde_json::from_str(raw.get())?)));
    }
    Ok(exit::OK)
}

/// A finding for people: what is wrong, where one sees it, what a model says.
fn described(finding: &Finding) -> String {
    let Finding { cluster, object, state, first_seen, failures, explanation, .. } = finding;
    let mut text = format!("{} in cluster {cluster}: {state}, since {first_seen}\n", object.words());
    for Failure { code, text: words, severity, evidence } in failures {
        text += &format!("\n{severity} {code}: {words}\n");
        for Evidence { object, path, value } in evidence {
            let value = value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
            text += &format!("  {} {path}{value}\n", object.words());
        }
    }
    if let Some(Explanation { text: words, provider, model }) = explanation {
        text += &format!("\n{provider} {model} says:\n{words}\n");
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINDING: &str = r#"{"id": "aGVy", "cluster": "here", "object": {"kind": "Pod", "namespace": "shop", "name": "web"},
        "severity": "error", "state": "created", "first_seen": "2026-01-01T00:00:00Z", "last_seen": "2026-01-01T00:00:00Z",
        "fingerprint": "f", "failures": [{"code": "ImagePullFailed", "text": "no image\u001b[31m", "severity": "error",
        "evidence": [{"object": {"kind": "Pod", "namespace": "shop", "name": "web"}, "path": ".status.phase", "value": "Pending"}]}],
        "explanation": {"text": "The tag is gone.", "provider": "ollama", "model": "m", "language": "english",
        "at": "2026-01-01T00:00:00Z"}}"#;

    #[test]
    fn a_finding_is_a_row_and_a_page_and_steers_no_terminal() {
        let finding: Finding = serde_json::from_str(FINDING).unwrap();
        let row = row(&finding);
        assert_eq!(row[..3], ["error", "here", "Pod shop/web"]);
        assert!(row[4].starts_with("ImagePullFailed: no image") && !row[4].contains('\u{1b}'), "{row:?}");
        let page = described(&finding);
        assert!(page.contains("  Pod shop/web .status.phase = Pending"), "{page}");
        assert!(page.ends_with("ollama m says:\nThe tag is gone."), "{page}");
    }
}
