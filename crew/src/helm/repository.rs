//! Where charts may come from.

use asya_envelope::glob;
use serde::Deserialize;
use url::Url;

use crate::kube::consent::refused::{Refused, shortened};

/// Schemes of repositories: an index over HTTP, or a registry.
const SCHEMES: [&str; 3] = ["https", "http", "oci"];

/// A repository of charts that may be used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// What models call it.
    pub name: String,
    /// Its address: `https://…` of an index, or `oci://…` of a registry and path.
    pub url: String,
    /// Globs of the charts in it that may be used.
    #[serde(default = "every")]
    pub charts: Vec<String>,
}

fn every() -> Vec<String> {
    vec!["*".to_owned()]
}

/// Reads a JSON array of repositories.
///
/// # Errors
/// What is wrong with it, or with one of them.
pub fn read(text: &str) -> Result<Vec<Repository>, String> {
    let read: Vec<Repository> = serde_json::from_str(text)
        .map_err(|error| format!("must be a JSON array of {{name, url, charts}}: {error}"))?;
    for (at, repository) in read.iter().enumerate() {
        repository.check()?;
        if read.iter().take(at).any(|other| other.name == repository.name) {
            return Err(format!("{:?} is there twice", repository.name));
        }
    }
    Ok(read)
}

impl Repository {
    fn check(&self) -> Result<(), String> {
        let Self { name, url, charts } = self;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(fits) {
            return Err(format!("{name:?} can be no name of a repository: a-z, 0-9 and '-'"));
        }
        let parsed = Url::parse(url).map_err(|error| format!("{url:?} is no address: {error}"))?;
        if !SCHEMES.contains(&parsed.scheme()) || !parsed.has_host() {
            return Err(format!("{url:?} must begin with https://, http:// or oci://"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(format!("the address of {name:?} holds credentials, which would be shown"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(format!("{url:?} must end with its path"));
        }
        if charts.is_empty() {
            return Err(format!("{name:?} has no charts: name some, or leave the list out for all"));
        }
        Ok(())
    }

    fn has(&self, chart: &str) -> bool {
        self.charts.iter().any(|glob| glob::matches(glob, chart))
    }
}

/// The repository that a chart comes from: the one of that name, or the only one that has it.
///
/// # Errors
/// What may be used instead.
pub(super) fn of<'a>(
    all: &'a [Repository],
    name: Option<&str>,
    chart: &str,
) -> Result<&'a Repository, Refused> {
    let mut fit = all.iter().filter(|known| name.is_none_or(|name| name == known.name) && known.has(chart));
    match (fit.next(), fit.next()) {
        (Some(only), None) => Ok(only),
        (Some(one), Some(other)) => {
            Err(Refused(format!("say the repository: {} and {} have {chart}", one.name, other.name)))
        }
        (None, _) => {
            let asked = name.map_or_else(|| chart.to_owned(), |name| format!("{name}/{chart}"));
            let known = all.iter().map(|known| format!("{} ({})", known.name, known.charts.join(", ")));
            let known = known.collect::<Vec<_>>().join("; ");
            Err(Refused(format!(
                "no chart {:?} may be used; there are: {}. Whoever runs this tool can allow others with ASYA_HELM_REPOSITORIES",
                shortened(&asked),
                if known.is_empty() { "none" } else { &known }
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_no_repository_is_named() {
        for (text, told) in [
            ("bitnami", "JSON array"),
            (r#"[{"name": "a", "url": "https://a.example", "user": "u"}]"#, "user"),
            (r#"[{"name": "A b", "url": "https://a.example"}]"#, "no name"),
            (r#"[{"name": "a", "url": "file:///etc"}]"#, "must begin"),
            (r#"[{"name": "a", "url": "/charts"}]"#, "no address"),
            (r#"[{"name": "a", "url": "https://u:p@a.example"}]"#, "credentials"),
            (r#"[{"name": "a", "url": "https://a.example?x"}]"#, "its path"),
            (r#"[{"name": "a", "url": "oci://a.example/x", "charts": []}]"#, "no charts"),
            (
                r#"[{"name": "a", "url": "oci://a.example"}, {"name": "a", "url": "oci://b.example"}]"#,
                "twice",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_chart_is_of_the_one_that_is_named_or_the_only_one_that_has_it() {
        let all = read(
            r#"[{"name": "own", "url": "https://charts.example", "charts": ["redis", "web-*"]},
                {"name": "all", "url": "oci://registry.example/charts"}]"#,
        )
        .unwrap();
        let of =
            |name, chart| of(&all, name, chart).map(|found| found.name.as_str()).map_err(|error| error.0);
        assert_eq!(of(None, "mysql"), Ok("all"));
        assert_eq!(of(Some("own"), "web-shop"), Ok("own"));
        assert!(of(None, "redis").unwrap_err().contains("say the repository"));
        for (name, chart) in [("own", "mysql"), ("other", "redis")] {
            let error = of(Some(name), chart).unwrap_err();
            assert!(error.contains("own (redis, web-*); all (*)"), "{error}");
        }
    }
}
