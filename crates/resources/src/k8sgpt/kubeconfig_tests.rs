use serde_json::json;

use super::*;

/// As the Cluster API writes it, with parts replaced.
fn config(cluster: Value, user: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": "admin@capi",
        "clusters": [{ "name": "capi", "cluster": cluster }],
        "users": [{ "name": "capi-admin", "user": user }],
        "contexts": [{ "name": "admin@capi", "context": { "cluster": "capi", "user": "capi-admin", "namespace": "x" } }],
    })
}

fn right_cluster() -> Value {
    json!({ "server": "https://10.0.0.1:6443", "certificate-authority-data": "LS0tLS1CRUdJTg==" })
}

fn right_user() -> Value {
    json!({ "client-certificate-data": "LS0t", "client-key-data": "LS0t" })
}

/// A right one with one more field.
fn with(part: &str, field: &str, value: Value) -> Value {
    let (mut cluster, mut user) = (right_cluster(), right_user());
    if part == "cluster" {
        cluster[field] = value;
    } else {
        user[field] = value;
    }
    config(cluster, user)
}

fn fields(config: &Value) -> Vec<String> {
    read(config).unwrap_err().into_iter().map(|refusal| refusal.field).collect()
}

#[test]
fn inline_certificates_and_tokens_are_taken() {
    let certificate = read(&config(right_cluster(), right_user())).unwrap();
    assert_eq!(certificate.server, "https://10.0.0.1:6443");
    assert_eq!(certificate.credentials.certificate, Some(("LS0t".to_owned(), "LS0t".to_owned())));
    let token =
        read(&config(json!({ "server": "HTTPS://api.example" }), json!({ "token": "abc.def\n" }))).unwrap();
    assert_eq!((token.credentials.token.as_deref(), token.authority), (Some("abc.def"), None));
}

#[test]
fn what_is_passed_on_holds_nothing_else_and_is_taken_again() {
    let mut original = with("cluster", "tls-server-name", json!("api.internal"));
    original["clusters"][0]["cluster"]["extensions"] =
        json!([{ "name": "x", "extension": { "exec": "sh" } }]);
    let remote = read(&original).unwrap();
    let passed = remote.kubeconfig();
    assert_eq!(read(&passed).unwrap(), remote);
    assert!(!passed.to_string().contains("exec") && !passed.to_string().contains("admin@capi"));
}

#[test]
fn everything_that_runs_reads_files_or_trusts_blindly_is_refused_by_name() {
    let user = |field: &str| format!("users[0].user.{field}");
    let cluster = |field: &str| format!("clusters[0].cluster.{field}");
    for (field, value) in [
        ("exec", json!({ "command": "sh", "apiVersion": "client.authentication.k8s.io/v1" })),
        ("exec", json!({})),
        ("auth-provider", json!({ "name": "gcp" })),
        ("tokenFile", json!("/var/run/secrets/kubernetes.io/serviceaccount/token")),
        ("client-certificate", json!("/etc/cert.pem")),
        ("client-key", json!("/etc/key.pem")),
        ("username", json!("admin")),
        ("password", json!("hunter2")),
        ("as", json!("system:admin")),
        ("as-groups", json!(["system:masters"])),
        ("later-field", json!("x")),
    ] {
        assert_eq!(fields(&with("user", field, value)), [user(field)]);
    }
    for (field, value) in [
        ("certificate-authority", json!("/etc/ca.pem")),
        ("insecure-skip-tls-verify", json!(true)),
        ("insecure-skip-tls-verify", json!("true")),
        ("proxy-url", json!("http://proxy")),
        ("later-field", json!(1)),
    ] {
        assert_eq!(fields(&with("cluster", field, value)), [cluster(field)]);
    }
}

#[test]
fn fields_that_say_nothing_are_passed_over() {
    for (part, field, value) in [
        ("cluster", "insecure-skip-tls-verify", json!(false)),
        ("cluster", "certificate-authority", json!("")),
        ("user", "exec", Value::Null),
        ("user", "username", json!("")),
    ] {
        assert!(read(&with(part, field, value)).is_ok(), "{field}");
    }
}

#[test]
fn only_tls_without_a_password_in_the_address_is_taken() {
    for server in [
        "http://10.0.0.1",
        "",
        "10.0.0.1:6443",
        "https://",
        "https://user:pw@host",
        "https://a b",
        "file:///etc",
        "https:///x",
        "ä",
    ] {
        let refused = fields(&with("cluster", "server", json!(server)));
        assert_eq!(refused, ["clusters[0].cluster.server"], "{server}");
    }
}

#[test]
fn credentials_must_be_there_and_whole() {
    let of = |user: Value| fields(&config(right_cluster(), user));
    assert_eq!(of(json!({})), ["users[0].user"]);
    assert_eq!(of(json!({ "token": "" })), ["users[0].user"]);
    assert_eq!(of(json!({ "client-key-data": "LS0t" })), ["users[0].user.client-certificate-data"]);
    assert_eq!(of(json!({ "client-certificate-data": "LS0t" })), ["users[0].user.client-key-data"]);
    assert_eq!(of(json!({ "token": "a\r\nX-Evil: 1" })), ["users[0].user.token"]);
    assert_eq!(
        of(json!({ "client-certificate-data": "###", "client-key-data": "LS0t" })),
        ["users[0].user.client-certificate-data"]
    );
    assert_eq!(
        fields(&with("cluster", "certificate-authority-data", json!(7))),
        ["clusters[0].cluster.certificate-authority-data"]
    );
}

#[test]
fn every_reason_is_told_at_once_and_no_value_is() {
    let refused = read(&config(
        json!({ "server": "http://secret-host", "insecure-skip-tls-verify": true }),
        json!({ "exec": { "command": "secret-command" }, "password": "secret-word" }),
    ))
    .unwrap_err();
    let text = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert_eq!(refused.len(), 4, "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert!(
        text.contains("users[0].user.exec runs a program: use a token or a client certificate"),
        "{text}"
    );
}

#[test]
fn a_secret_is_not_shown() {
    let remote = read(&config(right_cluster(), json!({ "token": "very-secret" }))).unwrap();
    let shown = format!("{remote:?}");
    assert!(!shown.contains("very-secret") && shown.contains("***"), "{shown}");
}

#[test]
fn only_the_current_context_counts() {
    let mut many = config(right_cluster(), right_user());
    many["users"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "other", "user": { "exec": { "command": "sh" } } }));
    many["clusters"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "other", "cluster": { "server": "http://x" } }));
    assert!(read(&many).is_ok());
    many["users"].as_array_mut().unwrap().push(json!({ "name": "capi-admin", "user": { "token": "t" } }));
    assert_eq!(fields(&many), ["users"], "two of one name");
}

#[test]
fn what_is_no_kubeconfig_is_refused() {
    for wrong in [json!(null), json!("text"), json!([]), json!(3)] {
        assert_eq!(fields(&wrong), ["kubeconfig"]);
    }
    assert_eq!(fields(&json!({})), ["current-context"]);
    let mut one = config(right_cluster(), right_user());
    one["current-context"] = json!("");
    assert!(read(&one).is_ok(), "the only context is the current one");
    one["current-context"] = json!("gone");
    assert_eq!(fields(&one), ["contexts"]);
    one["current-context"] = json!("admin@capi");
    one["users"] = json!([]);
    one["clusters"] = json!([{ "name": "capi", "cluster": "text" }]);
    assert_eq!(fields(&one), ["clusters[0].cluster", "users"]);
    one["contexts"][0]["context"] = json!({});
    assert_eq!(fields(&one), ["clusters", "users"]);
}
