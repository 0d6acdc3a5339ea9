//! ClusterCatalogs and CatalogSources: where operators come from.

use crate::analyzer::Analyzer;
use crate::analyzers::olm::{OLM, may_take, said, time, told_by, v0, v1, with_reason};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::rules::condition::condition;
use crate::view::View;

/// Looks at catalogs of OLM v1.
pub(crate) struct ClusterCatalogAnalyzer;

impl Analyzer for ClusterCatalogAnalyzer {
    fn name(&self) -> &'static str {
        "ClusterCatalog"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v1("ClusterCatalog")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let (at, name) = (object.reference(), object.name());
        if let Some(image) = object.text("/spec/source/image/ref").filter(|image| !is_image(image)) {
            let text = format!("ClusterCatalog {name}: {image:?} is no reference to an image");
            report.fail(
                Failure::new("CatalogImageInvalid", Severity::Error, text)
                    .seen(&at, ".spec.source.image.ref", image.to_owned())
                    .hides([name]),
            );
        }
        // What was unpacked; before the first time there is none.
        if let Some(image) = object.text("/status/resolvedSource/image/ref").filter(|image| !is_digest(image))
        {
            let text =
                format!("ClusterCatalog {name} was unpacked from {image:?}, which is no image by its digest");
            report.fail(
                Failure::new("CatalogDigestMissing", Severity::Warning, text)
                    .seen(&at, ".status.resolvedSource.image.ref", image.to_owned())
                    .hides([name]),
            );
        }
        // Serving is False by wish where the catalog was switched off.
        let off = object.text("/spec/availabilityMode") == Some("Unavailable");
        let serving = condition(object, "Serving").filter(|serving| serving.status != "True" && !off);
        if let Some(serving) = serving.filter(|serving| !may_take(view, serving.since)) {
            let failure = told_by(object, &serving, "CatalogNotServing", Severity::Error, "is not served");
            report.fail(failure.hides([name]));
        }
        if let Some(failure) = not_progressing(object, view, "CatalogNotProgressing") {
            report.fail(failure.hides([name]));
        }
        Ok(())
    }
}

/// The failure of a `Progressing` that stands still: the reason tells, the status is `True` while it tries again.
pub(super) fn not_progressing(object: &Object, view: &dyn View, code: &str) -> Option<Failure> {
    let progressing = condition(object, "Progressing")?;
    let severity = match (progressing.reason, progressing.status) {
        ("Succeeded", _) => return None,
        ("Blocked", _) => Severity::Error,
        ("Retrying", _) => Severity::Warning,
        // A reason that a newer OLM has: a step that is under way, for as long as it may be.
        (_, "True") if may_take(view, progressing.since) => return None,
        _ => Severity::Warning,
    };
    Some(told_by(object, &progressing, code, severity, "does not get on"))
}

/// Looks at catalogs of OLM v0.
pub(crate) struct CatalogSourceAnalyzer;

impl Analyzer for CatalogSourceAnalyzer {
    fn name(&self) -> &'static str {
        "CatalogSource"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v0("CatalogSource")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let at = object.reference();
        if said(object, "/status/reason").is_some() {
            let text = format!("CatalogSource {} is refused", at.path());
            let text = with_reason(object, text, "/status/reason", "/status/message");
            let reason = object.text("/status/reason").map(str::to_owned);
            report.fail(Failure::new("CatalogRefused", Severity::Error, text).seen(
                &at,
                ".status.reason",
                reason,
            ));
        }
        let Some(state) = said(object, "/status/connectionState/lastObservedState") else { return Ok(()) };
        // A connection that nobody uses is idle, and is made again when somebody does.
        let healthy = ["READY", "IDLE"].iter().any(|good| state.eq_ignore_ascii_case(good));
        let connecting = state.eq_ignore_ascii_case("CONNECTING")
            && may_take(view, time(object, "/status/connectionState/lastConnect"));
        if !healthy && !connecting {
            let address = said(object, "/status/connectionState/address").unwrap_or("an unknown address");
            let text = format!(
                "CatalogSource {} cannot be reached at {address}: its connection is {state}",
                at.path()
            );
            report.fail(
                Failure::new("CatalogUnreachable", Severity::Error, text)
                    .seen(&at, ".status.connectionState.lastObservedState", state.to_owned())
                    .seen(
                        &at,
                        ".status.connectionState.address",
                        said(object, "/status/connectionState/address").map(str::to_owned),
                    ),
            );
        }
        Ok(())
    }
}

/// Whether `image` is a reference to an image: `[host[:port]/]path[:tag][@algorithm:digest]`.
fn is_image(image: &str) -> bool {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let good_digest = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
                && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || "+.-_".contains(c))
                && hex.len() >= 32
                && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    });
    // A colon after the last slash begins a tag; one before it, a port.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let good_tag = tag.is_none_or(|tag| {
        tag.len() <= 128
            && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    });
    let (host, path) = match path.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, path),
    };
    let good_host = host.is_none_or(|host| {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "1"));
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-[]:".contains(c))
            && port.parse::<u16>().is_ok()
    });
    let good_path = path.split('/').all(|part| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    });
    good_digest && good_tag && good_host && good_path
}

/// Whether `image` names its content: it ends with `@sha256:` and 64 hexadecimal digits.
fn is_digest(image: &str) -> bool {
    image
        .rsplit_once("@sha256:")
        .is_some_and(|(_, hex)| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, object};

    fn catalog(rest: Value) -> Object {
        cluster_object("olm.operatorframework.io/v1", "ClusterCatalog", "hub", rest)
    }

    #[test]
    fn references_to_images() {
        let digest = format!("quay.io/a/b@sha256:{}", "a".repeat(64));
        let tagged = format!("quay.io/a/b:v1@sha256:{}", "a".repeat(64));
        for good in [
            "quay.io/operatorhubio/catalog:latest",
            "alpine",
            "localhost:5000/a/b:1",
            "a/b_c/d-e",
            &digest,
            &tagged,
        ] {
            assert!(is_image(good), "{good}");
        }
        for bad in [
            "",
            "quay.io/",
            "quay.io/A/b",
            "a:b:c",
            "a b",
            "quay.io:x/a",
            "a@sha256:zz",
            "a:",
            "a/-b",
            "https://a/b",
        ] {
            assert!(!is_image(bad), "{bad}");
        }
        assert!(is_digest(&digest) && !is_digest("quay.io/a/b:latest") && !is_digest(""));
    }

    #[test]
    fn cluster_catalogs() {
        let condition = |kind: &str, status: &str, reason: &str, since: &str| {
            json!({"status": {"conditions": [{"type": kind, "status": status, "reason": reason, "message": "so",
                "lastTransitionTime": since}]}})
        };
        let (early, just) = ("2026-06-01T08:00:00Z", "2026-06-01T11:58:00Z");
        let off = json!({"spec": {"availabilityMode": "Unavailable"}, "status": {"conditions": [
            {"type": "Serving", "status": "False", "reason": "UserSpecifiedUnavailable"}]}});
        let cases: [(&str, Value, &[&str]); 12] = [
            ("new", json!({}), &[]),
            ("serving", condition("Serving", "True", "Available", early), &[]),
            ("not serving", condition("Serving", "False", "Unavailable", early), &["CatalogNotServing"]),
            ("not serving yet", condition("Serving", "False", "Unavailable", just), &[]),
            ("switched off", off, &[]),
            ("retries", condition("Progressing", "True", "Retrying", early), &["CatalogNotProgressing"]),
            ("blocked", condition("Progressing", "False", "Blocked", just), &["CatalogNotProgressing"]),
            ("done", condition("Progressing", "True", "Succeeded", early), &[]),
            ("a step", condition("Progressing", "True", "SomethingNew", just), &[]),
            (
                "image",
                json!({"spec": {"source": {"image": {"ref": "not an image"}}}}),
                &["CatalogImageInvalid"],
            ),
            (
                "empty digest",
                json!({"status": {"resolvedSource": {"image": {"ref": ""}}}}),
                &["CatalogDigestMissing"],
            ),
            ("odd", json!({"spec": 7, "status": {"conditions": 7, "resolvedSource": []}}), &[]),
        ];
        for (name, rest, expected) in cases {
            let found = look(&["OLM"], &catalog(rest), &[]);
            assert_eq!(codes(&found), expected, "{name}");
        }
    }

    #[test]
    fn catalog_sources() {
        let state = |state: &str, since: &str| {
            json!({"status": {"connectionState": {"address": "hub.olm:50051", "lastObservedState": state,
                "lastConnect": since}}})
        };
        let (early, just) = ("2026-06-01T08:00:00Z", "2026-06-01T11:58:00Z");
        let cases: [(Value, &[&str]); 7] = [
            (json!({}), &[]),
            (state("READY", early), &[]),
            (state("IDLE", early), &[]),
            (state("CONNECTING", just), &[]),
            (state("CONNECTING", early), &["CatalogUnreachable"]),
            (state("TRANSIENT_FAILURE", just), &["CatalogUnreachable"]),
            (json!({"status": {"reason": "SpecInvalidError", "message": "no image"}}), &["CatalogRefused"]),
        ];
        for (rest, expected) in cases {
            let subject = object("operators.coreos.com/v1alpha1", "CatalogSource", "hub", rest.clone());
            assert_eq!(codes(&look(&["CatalogSource"], &subject, &[])), expected, "{rest}");
        }
    }

    #[test]
    fn a_catalog_that_nobody_asks_is_idle_and_healthy() {
        let subject = object(
            "operators.coreos.com/v1alpha1",
            "CatalogSource",
            "hub",
            json!({"status": {"connectionState": {"lastObservedState": "IDLE"}}}),
        );
        assert!(codes(&look(&["OLM"], &subject, &[])).is_empty());
    }
}
