use proptest::prelude::*;
use serde_json::{Value, json};

use crate::hide::{hide, text};

#[test]
fn what_names_tell_of_is_hidden_and_the_rest_stays_as_it_is_written() {
    for (given, expected) in [
        ("{password: welcome, user: x}", "{password: '***', user: x}"),
        ("{password: welcome,user: x}", "{password: '***',user: x}"),
        ("- {  user: x , password:  welcome  } # mine", "- {  user: x , password:  '***'  } # mine"),
        ("env: [{name: DB_PASSWORD, value: welcome}]", "env: [{name: DB_PASSWORD, value: '***'}]"),
        (
            "[{value: welcome, name: DB_PASSWORD}, {name: A, value: b}]",
            "[{value: '***', name: DB_PASSWORD}, {name: A, value: b}]",
        ),
        ("a: {b: {c: [{token: welcome}]}, d: [e, f]}", "a: {b: {c: [{token: '***'}]}, d: [e, f]}"),
        (
            "{'api-key': welcome, \"pin_token\": 1234, \"a\":\"b\"}",
            "{'api-key': '***', \"pin_token\": \"***\", \"a\":\"b\"}",
        ),
        (r#"{"password":"wel,}\"come","b":1} and more"#, r#"{"password":"***","b":1} and more"#),
        ("{password: 'it''s, {welcome}', b: 1}", "{password: '***', b: 1}"),
        ("{tokens: [welcome, [to, all]], b: [1]}", "{tokens: ['***', ['***', '***']], b: [1]}"),
        ("{password: correct horse, battery, user: x}", "{password: '***', '***', user: x}"),
        ("{password:welcome, a: b}", "{password:'***', a: b}"),
        ("[password: welcome, a]", "[password: '***', a]"),
        ("args: [--token, welcome, --port, 80]", "args: [--token, '***', --port, 80]"),
        ("{password: !!str welcome, a: &b c}", "{password: !!str '***', a: &b c}"),
        ("{a: AKIAIOSFODNN7EXAMPLE, b: 'token=hunter2'}", "{a: \"***\", b: \"token=***\"}"),
        // Over several lines, with what YAML allows between.
        (
            "env: [\n  {name: DB_PASSWORD, # the } one\n   value: wel\n     come},\n  {name: A, value: b}]\nport: 80\n",
            "env: [\n  {name: DB_PASSWORD, # the } one\n   value: '***'},\n  {name: A, value: b}]\nport: 80\n",
        ),
        ("{\n  password: welcome,\n  user: x\n}\n", "{\n  password: '***',\n  user: x\n}\n"),
        // What follows a name of a secret is hidden whole, as it is without flow style.
        ("secret: {name: db}\nb: 1", "secret: '***'\nb: 1"),
        ("tokens: [\nwelcome,\nx\n]\nb: 1", "tokens: '***'\nb: 1"),
        ("passwords:\n- {a: welcome,\n   b: c}\n- [x]\nd: 1", "passwords:\n- '***'\n- '***'\nd: 1"),
        ("password: |\n  {a: welcome}\nb: {c: d}", "password: '***'\nb: {c: d}"),
        ("login with {password: welcome}.", "login with {password: '***'}."),
        // Cut off by the end.
        ("{\"user\": \"x\", \"password\": \"wel", "{\"user\": \"x\", \"password\": \"***\""),
        (
            "{\"list\": [\n  {\"name\": \"A_TOKEN\",\n   \"value\": \"wel\ncome",
            "{\"list\": [\n  {\"name\": \"A_TOKEN\",\n   \"value\": \"***\"",
        ),
        // A text in a text.
        (
            r#"a: "{\"password\": \"welcome\", \"b\": [1]}" # {x"#,
            r#"a: "{\"b\":[1],\"password\":\"***\"}" # {x"#,
        ),
        (r#"{x: "{password: welcome, a: b}"}"#, r#"{x: "{password: '***', a: b}"}"#),
    ] {
        assert_eq!(text(given), expected, "{given}");
        assert_eq!(text(expected), expected, "twice is once");
        let answer = json!({"body": given, "status": 200});
        assert_eq!(text(&answer.to_string()), json!({"body": expected, "status": 200}).to_string());
    }
}

#[test]
fn what_cannot_be_read_surely_is_hidden_to_the_end_of_its_line() {
    for (given, expected) in [
        ("{a: ${B}, password: welcome, user: x}\nb: 1", "{a: ${B}, password: '***'\nb: 1"),
        ("{user: x, password: welcome]\nb: 1", "{user: x, password: '***'\nb: 1"),
        ("{name: A_TOKEN, value: a\"b, c: ${d}}", "{name: A_TOKEN, value: '***'"),
        ("{value: welcome, name: A_TOKEN, c: ${d}}", "{value: '***'"),
        ("{url: postgres://u:p}w@h/x, password: welcome}", "{url: postgres://u:***@h/x, password: '***'"),
    ] {
        assert_eq!(text(given), expected, "{given}");
        assert_eq!(text(expected), expected, "twice is once");
    }
    // What was hidden without reading it is hidden still.
    for given in [
        "{url: postgres://u:hun,ter2@h/x}",
        "{url: postgres://u:p@hun,ter2@h/x}",
        "{cmd: password=hun}ter2}",
        "{cmd: password = \"hun, ter2\"}",
        "password={a}ter2",
        "postgres://u:{hun}ter2@h",
        "password: {a: b}\n  hunter2",
        "{a: b, key: -----BEGIN PRIVATE KEY-----\n hun,ter2,\n hunter2\n",
        "\u{fdd0}0\u{fdd1} {password: hunter2, c: d}",
        "{broken\npassword: hunter2\n",
        "{'broken\npassword: hunter2\nb: it's",
    ] {
        assert!(!text(given).contains("ter2"), "{given}: {}", text(given));
    }
}

#[test]
fn prose_code_and_what_only_names_secrets_stay() {
    for stays in [
        "Use {user}, or {a, b}: the password: is wrong.",
        "if err != nil {\n    return errors.New(\"failed to read token: connection refused\")\n}\n",
        "the set {1, 2} and f(x) = {x | x > 0}",
        "{{ .Values.image }}: {{- if .token }}x{{ end }}",
        "\u{1b}[31mERROR\u{1b}[0m failed to read token: connection refused",
        "[INFO] failed to read token: connection refused",
        "{unclosed\npassword: null\n  {and: [more\n",
        "a: {b: [], c: {}, password: null, token: '', secret: {}, enableToken: true}",
        "volumes: [{name: tls, secret: {secretName: web-tls}}, {name: token, path: /a}]",
        "sources: [{serviceAccountToken: {path: token, expirationSeconds: 86400}}]",
        "env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]",
        "{tokenExpirationSeconds: 86400, max_tokens: 2048, url: 'http://x/{a}'}",
        "{Authorization: Bearer ***, password: ***}",
        "{\"level\":\"info\",\"msg\":\"failed to read token: connection refused\"}\n{\"level\":\"warn\"}",
        "{a: it's, b: \"c # d\", 'e, f': g} # {h",
        "{}{}[]{[}]}{,}{:}",
        "a,{b},c",
    ] {
        assert_eq!(text(stays), stays);
    }
}

#[test]
fn a_variable_is_hidden_whose_name_stands_beside_it_in_lines() {
    for (given, expected) in [
        (
            "env:\n- name: DB_PASSWORD\n  value: welcome\n- name: A\n  value: b\n",
            "env:\n- name: DB_PASSWORD\n  value: '***'\n- name: A\n  value: b\n",
        ),
        ("- value: |\n    welcome\n  name: \"A_TOKEN\" # mine", "- value: '***'\n  name: \"A_TOKEN\" # mine"),
        (
            "- key: api-key\n  b:\n    c: d\n  value:\n    - welcome",
            "- key: api-key\n  b:\n    c: d\n  value:\n    - '***'",
        ),
    ] {
        assert_eq!(text(given), expected);
        assert_eq!(text(expected), expected, "twice is once");
    }
    for stays in [
        "- name: DB_PASSWORD\n  valueFrom: x\n- name: A\n  value: b",
        "- name: A_TOKEN\n  value: \"\"\n- name: B_TOKEN\n  value: null",
        "name: A_TOKEN\n---\nvalue: 1",
        "a:\n  name: A_TOKEN\nvalue: 1",
    ] {
        assert_eq!(text(stays), stays);
    }
}

/// A value in flow style, as text, of names and values that are read in it and in JSON alike.
fn flows() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        // Others, as `n`, may be truth to who reads YAML.
        "w[a-z0-9]{0,5}",
        Just("'a, b'".to_owned()),
        Just("\"c: {d\"".to_owned()),
        Just("'it''s'".to_owned()),
        "[1-9][0-9]{0,3}",
        Just("DB_PASSWORD".to_owned()),
        Just("null".to_owned()),
    ];
    let name = prop_oneof![
        "[a-d]{1,4}",
        Just("password".to_owned()),
        Just("\"api-key\"".to_owned()),
        Just("name".to_owned()),
        Just("value".to_owned()),
        Just("max_tokens".to_owned()),
    ];
    let space = prop_oneof![Just(""), Just(" "), Just("\n  "), Just(" # {x, '\n ")];
    word.prop_recursive(4, 32, 5, move |inner| {
        let field = (name.clone(), inner.clone(), space.clone());
        prop_oneof![
            prop::collection::vec(field, 0..5).prop_map(|fields| {
                let mut names = std::collections::BTreeSet::new();
                let fields = fields.into_iter().filter(|(name, ..)| names.insert(name.clone()));
                let fields: Vec<_> =
                    fields.map(|(name, value, space)| format!("{name}: {value}{space}")).collect();
                format!("{{{}}}", fields.join(", "))
            }),
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
    .prop_filter("a collection", |text| text.starts_with(['{', '[']))
}

proptest! {
    #[test]
    fn by_name_as_much_is_hidden_as_in_json(flow in flows()) {
        let Ok(mut value) = serde_saphyr::from_str::<Value>(&flow) else { return Ok(()) };
        hide(&mut value);
        let clean = text(&format!("x: {flow}\n"));
        let read: Value = serde_saphyr::from_str(&clean).map_err(|error| TestCaseError::fail(format!("{error}: {clean}")))?;
        prop_assert_eq!(&read["x"], &value, "{}", clean);
    }

    #[test]
    fn whatever_comes_is_read_and_no_mark_stays(given in r#"([a-z:,#'"{}\[\] |!&@\\-]|: |password: |name: A_TOKEN|value: |://|\n  |é|\\"){0,40}"#) {
        let clean = text(&given);
        prop_assert!(!clean.contains(['\u{fdd0}', '\u{fdd1}']), "{}", clean);
    }
}
