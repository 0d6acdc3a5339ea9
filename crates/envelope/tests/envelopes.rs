//! What an envelope keeps, and what each kind of bad input is told.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use asya_envelope::{Approved, Budget, Envelope, Raw, Route, Spent, headers, lineage};
use bytes::Bytes;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Envelope, String> {
    Envelope::parse(Bytes::copy_from_slice(text.as_bytes())).map_err(|error| error.to_string())
}

#[test]
fn payload_headers_and_unknown_fields_pass_byte_for_byte() {
    let body = r#"{"id":"1","route":{"actors":["a","b"],"current":1,"metadata":{"job_id":"1","n":1.0}},"#
        .to_owned()
        + r#""headers":{"t":1e400,"s":"\u00e9"},"payload":{"x": [1.0, 12345678901234567890123, -0, 1E+2, "\ud800"]},"#
        + r#""deadline":"2030-01-02T03:04:05+01:00","extra":5.50,"another":{"a" :null}}"#;
    assert_eq!(parse(&body).unwrap().encode(), body);
}

#[test]
fn white_space_between_members_may_go_but_not_inside_values() {
    let envelope =
        parse("{ \"payload\" : { \"a\" : 1 } , \"route\":{\"actors\":[\"a\"]}, \"id\":\"1\" }\n").unwrap();
    assert_eq!(envelope.payload.as_str(), "{ \"a\" : 1 }");
}

#[test]
fn a_missing_current_is_the_first_actor_and_a_null_payload_is_a_payload() {
    let envelope =
        parse(r#"{"id":"1","route":{"actors":["a"]},"payload":null,"headers":null,"parent_id":null}"#)
            .unwrap();
    assert_eq!((envelope.route.current, envelope.payload.is_null()), (0, true));
    assert!(envelope.headers.is_empty());
}

#[test]
fn of_a_member_written_twice_the_last_one_counts() {
    let envelope = parse(r#"{"id":"1","id":"2","route":{"actors":["a"]},"payload":1,"payload":2}"#).unwrap();
    assert_eq!((envelope.id.as_str(), envelope.payload.as_str()), ("2", "2"));
}

#[test]
fn each_kind_of_bad_input_is_named() {
    let route = r#""route":{"actors":["a"],"current":0}"#;
    let table = [
        ("", "Failed to parse message: EOF"),
        ("{bad", "Failed to parse message: key must be a string"),
        ("{} {}", "Failed to parse message: trailing characters"),
        ("[1]", "expected a JSON object, got a list"),
        ("null", "expected a JSON object, got null"),
        ("\"x\"", "expected a JSON object, got a string"),
        ("12", "expected a JSON object, got a number"),
        ("{}", "missing required 'id'"),
        (r#"{"id":"","payload":1,"route":{"actors":["a"]}}"#, "missing required 'id'"),
        (r#"{"id":7,"payload":1,"route":{"actors":["a"]}}"#, "'id' must be a string"),
        (r#"{"id":"1","payload":1}"#, "missing required 'route'"),
        (r#"{"id":"1","payload":1,"route":[]}"#, "'route' must be an object"),
        (r#"{"id":"1","payload":1,"route":{}}"#, "missing required 'route.actors'"),
        (r#"{"id":"1","payload":1,"route":{"actors":[]}}"#, "'route.actors' must not be empty"),
        (r#"{"id":"1","payload":1,"route":{"actors":[1]}}"#, "'route.actors' must be a list of strings"),
        (
            r#"{"id":"1","payload":1,"route":{"actors":["a"],"current":-1}}"#,
            "'route.current' must be a non-negative",
        ),
        (
            r#"{"id":"1","payload":1,"route":{"actors":["a"],"current":2}}"#,
            "'route.current' is 2, but the route has 1",
        ),
        (&format!(r#"{{"id":"1",{route}}}"#), "missing required 'payload'"),
        (&format!(r#"{{"id":"1",{route},"payload":1,"headers":[]}}"#), "'headers' must be an object"),
        (&format!(r#"{{"id":"1",{route},"payload":1,"parent_id":3}}"#), "'parent_id' must be a string"),
        (
            &format!(r#"{{"id":"1",{route},"payload":1,"deadline":"soon"}}"#),
            "'deadline' must be an RFC 3339 time",
        ),
    ];
    for (body, expected) in table {
        let error = parse(body).unwrap_err();
        assert!(error.contains(expected), "{body:?}: {error}");
    }
    assert!(Envelope::parse(Bytes::from_static(b"{\"id\":\"\xff\"}")).is_err(), "not UTF-8");
}

#[test]
fn a_route_that_erases_its_history_is_seen() {
    let mut input = Route::new(["a", "b", "c"]);
    input.current = 1;
    assert!(Route::new(["a", "b", "x", "y"]).keeps_history_of(&input));
    assert!(!Route::new(["a", "x", "c"]).keeps_history_of(&input));
    assert!(!Route::new(["a"]).keeps_history_of(&input));
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[ {}]", items.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let members =
                    members.iter().map(|(k, v)| format!("{}: {v}", serde_json::to_string(k).unwrap()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn encoding_and_parsing_are_inverse(
        id in ".{1,20}", parent in proptest::option::of(".{0,9}"), actors in prop::collection::vec(".{0,9}", 1..5),
        payload in json(), header in json(), extra in json(), name in "[a-z]{1,8}_",
    ) {
        let raw = |text: String| Raw::parse(Bytes::from(text)).unwrap();
        let mut envelope = Envelope::new(id, Route::new(actors), raw(payload));
        envelope.parent_id = parent;
        envelope.headers.set(name.clone(), raw(header));
        envelope.extra.push((name, raw(extra)));
        let body = envelope.encode();
        let parsed = Envelope::parse(body.clone()).unwrap();
        prop_assert_eq!(&parsed, &envelope);
        prop_assert_eq!(parsed.encode(), body);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::parse(bytes.into());
    }

    /// Whatever a publisher writes into the platform's headers: a budget that is read says the same when it is written, an
    /// approval counts at its hop only, and no child is made of what is none.
    #[test]
    fn any_json_in_the_platforms_headers_is_read_or_refused(value in json(), member in json(), root in ".{0,9}") {
        let mut envelope = Envelope::new("a-1", Route::new(["a", "b"]), Raw::null());
        let names = ["turns", "tokens", "route", "depth", "until", "hop", "operation", "group", "index", "count"];
        let objects = names.map(|name| format!("{{\"{name}\":{member}}}"));
        for text in objects.iter().chain([&value]) {
            let raw = Raw::parse(Bytes::from(text.clone())).unwrap();
            for name in [headers::BUDGET, headers::SPENT, headers::APPROVED] {
                envelope.headers.set(name, raw.clone());
            }
            envelope.headers.set(headers::FAN, Raw::parse(format!("[{text}]").into()).unwrap());
            if let Ok(Some(budget)) = Budget::of(&envelope.headers) {
                envelope.headers.set(headers::BUDGET, budget.to_raw());
                prop_assert_eq!(Budget::of(&envelope.headers), Ok(Some(budget)));
            }
            if let (Ok(spent), Ok(cost)) = (Spent::of(&envelope.headers), Spent::reported(&raw)) {
                prop_assert!(spent.and(cost).tokens >= cost.tokens);
            }
            prop_assert!(Approved::here(&envelope).is_none_or(|approved| approved.hop == 0));
            prop_assert!(!lineage::descends(&envelope, &root) || root == "a-1");
        }
    }

    #[test]
    fn no_damage_to_an_envelope_makes_the_parser_panic(at in 0usize..150, byte in any::<u8>()) {
        let mut body = br#"{"id":"1","route":{"actors":["a","b"],"current":1},"headers":{"t":1},"payload":{"x":[1]},"deadline":"2030-01-02T03:04:05Z","e":5}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        if let Ok(envelope) = Envelope::parse(body.into()) {
            prop_assert_eq!(Envelope::parse(envelope.encode()).unwrap(), envelope);
        }
    }
}
