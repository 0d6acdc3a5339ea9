use proptest::prelude::*;
use serde_json::json;

use super::*;

fn hidden(mut value: Value) -> Value {
    inside(&mut value, false, 0);
    value
}

/// What a cluster says every day, as YAML.
const HARMLESS_YAML: &str = "\
spec:
  automountServiceAccountToken: true
  containers:
  - env:
    - name: DB_PASSWORD
      valueFrom:
        secretKeyRef:
          key: password
          name: db
    - name: TOKEN_FILE
      value: /var/run/token
    name: web
  imagePullSecrets:
  - name: regcred
  passwordSecretRef: db
  serviceAccountName: web
  tokenExpirationSeconds: 86400
  volumes:
  - name: token
    projected:
      sources:
      - serviceAccountToken:
          expirationSeconds: 3607
          path: token
  - name: tls
    secret:
      secretName: web-tls
      optional: false
";

#[test]
fn what_only_names_secrets_stays_line_by_line() {
    assert_eq!(text(HARMLESS_YAML), HARMLESS_YAML);
    // As the answer of a tool, in which the ends of lines are written.
    let answer = json!({"text": HARMLESS_YAML, "truncated": false});
    assert_eq!(text(&answer.to_string()), answer.to_string());
    let object = json!({"automountServiceAccountToken": true, "tokenExpirationSeconds": 86400, "max_tokens": 2048,
        "secret": {"secretName": "x"}, "passwordSecretRef": "db", "tokenPath": "/a", "token": null, "password": ""});
    assert_eq!(hidden(object.clone()), object);
}

#[test]
fn a_secret_is_hidden_wherever_it_stands_and_nothing_else() {
    for (value, expected) in [
        (json!({"PassWord": "hunter2", "user": "ann"}), json!({"PassWord": "***", "user": "ann"})),
        (
            json!({"pin_token": 1234, "tokens": [12, "hunter2"]}),
            json!({"pin_token": "***", "tokens": ["***", "***"]}),
        ),
        (
            json!([{"name": "DB_PASSWORD", "value": "hunter2"}]),
            json!([{"name": "DB_PASSWORD", "value": "***"}]),
        ),
        (json!({"headers": {"Set-Cookie": "hunter2"}}), json!({"headers": {"Set-Cookie": "***"}})),
        (
            json!({"name": "Authorization", "value": "hunter2"}),
            json!({"name": "Authorization", "value": "***"}),
        ),
        (
            json!(["--token", "hunter2", "--port", "80", "--password=hunter2", "-v"]),
            json!(["--token", "***", "--port", "80", "--password=***", "-v"]),
        ),
        (
            json!(["a", "-----BEGIN PRIVATE KEY-----", "hunter2", "=", "-----END PRIVATE KEY-----", "b"]),
            json!(["a", "***", "***", "***", "***", "b"]),
        ),
        // JSON in a text, and in a text of that.
        (
            json!({"last-applied": json!({"env": [{"name": "A_TOKEN", "value": "hunter2"}], "n": 1}).to_string()}),
            json!({"last-applied": json!({"env": [{"name": "A_TOKEN", "value": "***"}], "n": 1}).to_string()}),
        ),
        (
            json!({"a": json!({"b": json!({"password": "hunter2"}).to_string()}).to_string()}),
            json!({"a": json!({"b": json!({"password": "***"}).to_string()}).to_string()}),
        ),
        (
            json!({"cmd": "curl -H 'Authorization: Bearer hunter2hunter2' https://u:hunter2@db/x"}),
            json!({"cmd": "curl -H 'Authorization: Bearer ***' https://u:***@db/x"}),
        ),
        (
            json!({"kubeconfig": "client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo="}),
            json!({"kubeconfig": "client-key-data: '***'"}),
        ),
        (json!({"AKIAIOSFODNN7EXAMPLE": 1}), json!({"***": 1})),
    ] {
        let once = hidden(value.clone());
        assert_eq!(once, expected, "{value}");
        assert_eq!(hidden(once.clone()), once, "twice is once: {value}");
    }
}

#[test]
fn values_of_several_lines_are_hidden_whole() {
    for (given, expected) in [
        ("a: 1\npassword: |\n  hunter2\n\n  more\nb: 2\n", "a: 1\npassword: '***'\n\nb: 2\n"),
        ("- token: >-\n    hunter2\n  b: 2", "- token: '***'\n  b: 2"),
        ("password:\n  hunter2\nb: 2", "password:\n  '***'\nb: 2"),
        ("passwords:\n- hunter2\n- hunter3\nb: 2", "passwords:\n- '***'\n- '***'\nb: 2"),
        ("password: ***\n  hunter2\nb: 2\n", "password: ***\nb: 2\n"),
        ("\"client-secret\": \"hun\n  ter2\"\nb: 2", "\"client-secret\": \"***\"\nb: 2"),
        (
            "key: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----\nb: 2",
            "key: |\n  ***\nb: 2",
        ),
    ] {
        assert_eq!(text(given), expected);
        assert!(!text(&json!({"text": given}).to_string()).contains("hunter"), "{given}");
    }
    assert_eq!(text("password: none\n  hunter2\nb: 2"), "password: none\nb: 2");
    // A log is no YAML: what follows a sentence is not its value.
    let log = "failed to read token: connection refused\n    at fetch (a.js:1)\ntoken: true\n  b";
    assert_eq!(text(log), log);
}

#[test]
fn a_line_of_yaml_stays_one() {
    let given =
        "data:\n  password: hunter2\n  url: postgres://u:hunter2@db/x\n  api-key: hunter2 # mine\r\n  b: 2\n";
    let clean = text(given);
    assert!(
        !clean.contains("hunter2") && clean.ends_with("  b: 2\n") && clean.lines().count() == 5,
        "{clean}"
    );
    assert!(clean.contains("  password: '***'\n  url: postgres://u:***@db/x\n"), "{clean}");
}

#[test]
fn a_plain_word_behind_a_name_is_hidden_and_a_sentence_stays() {
    for (given, expected) in [
        ("password: welcome", "password: '***'"),
        ("user: ann\nPassword: 1234\r\nport: 80", "user: ann\nPassword: '***'\r\nport: 80"),
        ("- db_password : correct horse, battery # mine\n- b: 2", "- db_password : '***'\n- b: 2"),
        ("token: \"welcome", "token: '***'"),
        ("tokens: welcome", "tokens: '***'"),
        ("secret: {name: db}", "secret: '***'"),
        ("\"password\": welcome,\n\"pin_token\": 12,", "\"password\": \"***\",\n\"pin_token\": \"***\","),
        ("Authorization: welcome\nCookie: a", "Authorization: '***'\nCookie: '***'"),
        (
            "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\npassword: welcome",
            "***\npassword: '***'",
        ),
    ] {
        assert_eq!(text(given), expected);
        assert_eq!(text(expected), expected, "twice is once");
        let answer = json!({"body": given, "status": 200});
        assert_eq!(text(&answer.to_string()), json!({"body": expected, "status": 200}).to_string());
    }
    for stays in [
        "the password: is wrong here",
        "12:01 login of ann, password: wrong",
        "failed to read token: connection refused",
        "error: secret: not found",
        "automountServiceAccountToken: false\ntokenExpirationSeconds: 86400\nsecretName: web\npasswordPolicy: strict",
        "password: null\ntoken: ~\nTokens: <none>\npassword: \"\"\nsecret: {}\n\"enableToken\": true,",
        "automountServiceAccountToken: true # as it is\ntoken_ttl_seconds: 3600 # an hour",
        "\"secret\": {\n},\n\"tokens\": [\n]",
        "DB_PASSWORD:  <set to the key 'password' in secret 'db'>  Optional: false",
        "Authorization: Bearer ***",
        "token: ***",
    ] {
        assert_eq!(text(stays), stays);
        let answer = json!({"body": stays}).to_string();
        assert_eq!(text(&answer), answer);
    }
}

#[test]
fn what_was_hidden_in_yaml_is_yaml() {
    let given = "a:\n- password: welcome  # mine\n  b: 1\n- token: \"hun\n    ter2\"\n- secret: {a: 1}\n- 'api-key': [x]\n";
    let value: Value = serde_saphyr::from_str(&text(given)).unwrap();
    let expected =
        json!({"a": [{"password": "***", "b": 1}, {"token": "***"}, {"secret": "***"}, {"api-key": "***"}]});
    assert_eq!(value, expected);
}

#[test]
fn of_a_name_that_stands_twice_nothing_is_left_but_what_was_looked_at() {
    let twice = r#"{"password":"hunter2","password":""}"#;
    let pairs = r#"[{"env":{"name":"A_TOKEN","value":"welcome"},"env":1}, {"a":"\":{"}]"#;
    for (given, expected) in [(twice, r#"{"password":""}"#), (pairs, r#"[{"env":1},{"a":"\":{"}]"#)] {
        assert_eq!(text(given), expected);
        let within = |text: &str| json!({"text": text}).to_string();
        assert_eq!(text(&within(given)), within(expected));
        assert_eq!(text(&within(&within(given))), within(&within(expected)));
    }
    // What is written otherwise than it would be here stays.
    let own = "{ \"a\" : 1.50, \"b:\": [{\"c\": 12345678901234567890123}, \"\\\"x\\\\\"] }";
    assert_eq!(text(own), own);
}

#[test]
fn json_that_is_nested_for_ever_ends() {
    let mut value = json!({"password": "hunter2", "list": ["[[[["]});
    for _ in 0..8 {
        value = json!([{"text": value.to_string()}]);
    }
    assert!(!text(&value.to_string()).contains("hunter2"));
}

proptest! {
    #[test]
    fn a_secret_never_gets_through_a_field(
        name in "(db_|My-|X)?(password|TOKEN|apiKey|client_secret)",
        secret in "[A-Za-z0-9!%+]{6,30}",
        deep in 0_usize..4,
    ) {
        let mut value = json!({name: format!("{secret}~")});
        for _ in 0..deep {
            value = json!({"a": [value.to_string(), value]});
        }
        let all = text(&value.to_string());
        prop_assert!(!all.contains(&format!("{secret}~")), "{}", all);
    }

    #[test]
    fn any_text_is_looked_at_and_stays_json(text in r#"([a-z0-9é=:@/"'{}\[\],. \\-]|://|token: |password: \||Bearer |-----BEGIN |\n  ){0,40}"#) {
        let clean = said(&text, 0);
        prop_assert_eq!(said(&clean, 0).is_empty(), clean.is_empty());
        let answer = said(&json!({"text": text}).to_string(), 0);
        prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{}", answer);
    }
}
