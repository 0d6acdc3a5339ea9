//! What an analyzer said, as an evaluation of the analyzer itself.

use asya_analysis::{Evaluation, Failure, GroupKind, ObjectRef, Severity, custom};

use super::proto::{ErrorDetail, Result as Said};

/// Where one can see that the object is meant: the protocol knows of no fields.
const OBJECT: &str = ".metadata.name";

/// The answer of the analyzer `name`; no result, and one without errors, is well.
#[must_use]
pub fn evaluation(name: &str, said: Option<Said>) -> Evaluation {
    let Some(Said { kind, name: path, error, details, parent_object }) = said else {
        return Evaluation::found(custom::analyzer(name), []);
    };
    let about = about(if kind.is_empty() { name } else { &kind }, if path.is_empty() { name } else { &path });
    let failures = error.into_iter().filter(|error| !error.text.trim().is_empty()).map(|error| {
        let ErrorDetail { text, sensitive, .. } = error;
        let names: Vec<String> = sensitive.into_iter().map(|names| names.unmasked).collect();
        let failure = Failure::new(&custom::code(&text), Severity::Error, text);
        let failure =
            failure.seen(&about, OBJECT, about.name.clone()).hides(names.iter().map(String::as_str));
        if details.is_empty() {
            failure
        } else {
            failure.seen(&custom::analyzer(name), ".details", details.clone())
        }
    });
    let evaluation = Evaluation::found(custom::analyzer(name), failures);
    let parent = parent_object.split_once('/').filter(|_| !evaluation.report.failures().is_empty());
    let parent = parent.map(|(kind, path)| self::about(kind, path));
    Evaluation { parent, ..evaluation }
}

/// The object that is meant by kind and path; of the kind the protocol says no group.
fn about(kind: &str, path: &str) -> ObjectRef {
    let (namespace, name) = match path.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, path),
    };
    let kind = GroupKind { group: "".into(), kind: kind.to_owned().into() };
    ObjectRef { kind, namespace, name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::proto::SensitiveData;
    use super::*;

    fn error(text: &str) -> ErrorDetail {
        let sensitive = vec![SensitiveData { unmasked: "node-1".to_owned(), masked: "xyz".to_owned() }];
        ErrorDetail { text: text.to_owned(), sensitive, doc: String::new() }
    }

    fn said(errors: &[&str]) -> Said {
        Said {
            kind: "Host".to_owned(),
            name: "shop/node-1".to_owned(),
            error: errors.iter().map(|text| error(text)).collect(),
            details: "buy a larger one".to_owned(),
            parent_object: "Rack/12".to_owned(),
        }
    }

    #[test]
    fn all_that_is_said_is_kept_under_the_name_of_the_analyzer() {
        let evaluation =
            evaluation("disk", Some(said(&["disk of node-1 is 91% full, password=hunter2xx", " "])));
        assert_eq!(evaluation.object, custom::analyzer("disk"));
        assert_eq!(evaluation.parent.map(|parent| parent.to_string()).as_deref(), Some("Rack 12"));
        let [failure] = evaluation.report.failures() else { panic!("{:?}", evaluation.report) };
        assert!(failure.text.contains("91% full") && !failure.text.contains("hunter2xx"), "{}", failure.text);
        assert!(failure.sensitive.contains("node-1"));
        let places: Vec<String> = failure.evidence.iter().map(|place| place.object.to_string()).collect();
        assert_eq!(places, ["Host shop/node-1", "CustomAnalyzer.custom.asya.sh disk"]);
    }

    #[test]
    fn nothing_and_a_result_without_errors_are_well() {
        for said in [None, Some(said(&[]))] {
            let evaluation = evaluation("disk", said);
            assert!(evaluation.report.failures().is_empty() && evaluation.report.doubts().is_empty());
            assert_eq!(evaluation.parent, None);
        }
    }

    #[test]
    fn what_has_no_kind_and_no_name_is_about_the_analyzer() {
        let said = Said { error: vec![error("it is wrong")], ..Said::default() };
        let evaluation = evaluation("disk", Some(said));
        assert_eq!(evaluation.report.failures()[0].evidence[0].object.to_string(), "disk disk");
    }
}
