//! Which servers are asked: the one that the settings name, those that are listed, and no other by any way.

use asya_handler::{Code, Fault};
use serde_json::json;

use crate::support::{Server, call, failure, payload};

#[tokio::test]
async fn a_redirect_goes_to_allowed_servers_only_and_takes_no_secrets_there() {
    let (server, other) = (Server::start().await, Server::start().await);
    let url = server.url(&format!("/to/307?{}", other.url("/end")));
    let headers = r#"{"Authorization": "Bearer hidden", "X-Own": "x", "Content-Type": "text/plain"}"#;
    let values = [("ASYA_HTTP_ENDPOINT", url.as_str()), ("ASYA_HTTP_HEADERS", headers)];
    let failed = failure(call(&values, json!("t")).await);
    assert_eq!((failed.code, failed.fault), (Code::Rejected, Fault::Final));
    assert_eq!((server.seen().len(), other.seen().len()), (1, 0));
    assert_eq!(server.seen()[0].header("authorization"), Some("Bearer hidden"));

    let allowed = [&values[..], &[("ASYA_HTTP_ALLOW", "127.0.0.0/8")]].concat();
    payload(call(&allowed, json!("t")).await);
    let seen = other.seen().pop().unwrap();
    assert_eq!((seen.header("authorization"), seen.header("x-own")), (None, None));
    assert_eq!((seen.header("content-type"), seen.body.as_str()), (Some("text/plain"), "t"));
}

#[tokio::test]
async fn the_server_of_the_settings_is_allowed_where_its_name_leads_at_its_port_only() {
    let (server, other) = (Server::start().await, Server::start().await);
    let named = |server: &Server, path: &str| format!("http://localhost:{}{path}", server.address.port());
    let url = named(&server, "/x");
    payload(call(&[("ASYA_HTTP_ENDPOINT", &url)], json!(1)).await);
    // Along a redirect to itself, too.
    let around = named(&server, &format!("/to/307?{}", named(&server, "/end")));
    payload(call(&[("ASYA_HTTP_ENDPOINT", &around)], json!(1)).await);
    assert_eq!(server.seen().len(), 3);

    // The same name at another port, chosen or along a redirect, is one that leads to this machine.
    let away = named(&server, &format!("/to/307?{}", named(&other, "/end")));
    for allow in ["localhost", "*"] {
        let redirected = [("ASYA_HTTP_ENDPOINT", away.as_str()), ("ASYA_HTTP_ALLOW", allow)];
        let failed = failure(call(&redirected, json!(1)).await);
        assert!(failed.message.contains("localhost leads to"), "{failed}");
        let chosen = [("ASYA_HTTP_FROM_PAYLOAD", "url"), ("ASYA_HTTP_ALLOW", allow)];
        let chosen = [&chosen[..], &[("ASYA_HTTP_ENDPOINT", url.as_str())]].concat();
        let failed = failure(call(&chosen, json!({"request": {"url": named(&other, "/")}})).await);
        assert_eq!((failed.code, failed.fault), (Code::Rejected, Fault::Final), "{failed}");
        assert!(failed.message.contains("localhost leads to"), "{failed}");
    }
    assert_eq!(other.seen().len(), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn another_server_leads_nobody_to_that_of_the_settings() {
    // Another address of this machine: those of `localhost` must not be listed.
    let (server, other) = (Server::start().await, Server::start_at("127.0.0.2:0").await);
    let url = format!("http://localhost:{}/", server.address.port());
    let back = json!({"request": {"url": other.url(&format!("/to/307?{url}back"))}});
    let asked = async |allow: &str| {
        let values = [("ASYA_HTTP_ENDPOINT", url.as_str()), ("ASYA_HTTP_FROM_PAYLOAD", "url")];
        call(&[&values[..], &[("ASYA_HTTP_ALLOW", allow)]].concat(), back.clone()).await
    };
    let failed = failure(asked("127.0.0.2").await);
    assert!(failed.message.contains("localhost leads to"), "{failed}");
    assert_eq!((server.seen().len(), other.seen().len()), (0, 1));
    payload(asked("127.0.0.0/8").await);
    assert_eq!((server.seen().len(), other.seen().len()), (1, 2));
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_unless_its_address_is_listed() {
    let server = Server::start().await;
    let url = format!("http://localhost:{}/", server.address.port());
    let chosen = json!({"request": {"url": url}});
    let values = [("ASYA_HTTP_FROM_PAYLOAD", "url"), ("ASYA_HTTP_ALLOW", "*")];
    let failed = failure(call(&values, chosen.clone()).await);
    assert_eq!((failed.code, failed.fault), (Code::Rejected, Fault::Final), "{failed}");
    assert!(failed.message.contains("localhost leads to"), "{failed}");
    assert_eq!(server.seen().len(), 0);
    payload(call(&[values[0], ("ASYA_HTTP_ALLOW", "localhost, 127.0.0.1, ::1")], chosen).await);
    // A redirect from an allowed server is looked at just so.
    let redirect = server.url(&format!("/to/302?{url}"));
    let allow = format!("localhost:{}", server.address.port());
    let failed =
        failure(call(&[("ASYA_HTTP_ENDPOINT", &redirect), ("ASYA_HTTP_ALLOW", &allow)], json!(1)).await);
    assert!(failed.message.contains("localhost leads to"), "{failed}");
}

#[tokio::test]
async fn a_payload_leads_to_no_other_server_and_secrets_stay_with_theirs() {
    let (server, other) = (Server::start().await, Server::start().await);
    let (url, away) = (server.url("/"), other.url("/"));
    let values = [
        ("ASYA_HTTP_ENDPOINT", url.as_str()),
        ("ASYA_HTTP_HEADERS", r#"{"Authorization": "Bearer hidden", "X-Own": "x"}"#),
        ("ASYA_HTTP_FROM_PAYLOAD", "url,headers"),
    ];
    for refused in
        [away.as_str(), "http://169.254.169.254/latest/meta-data", "http://[::1]/", "file:///etc/passwd"]
    {
        let failed = failure(call(&values, json!({"request": {"url": refused}})).await);
        assert_eq!((failed.code, failed.fault), (Code::Rejected, Fault::Final), "{refused}: {failed}");
    }
    let allowed = [&values[..], &[("ASYA_HTTP_ALLOW", "127.0.0.1")]].concat();
    payload(call(&allowed, json!({"request": {"url": away}})).await);
    let seen = other.seen().pop().unwrap();
    assert_eq!((seen.header("authorization"), seen.header("x-own")), (None, Some("x")));
    for bad in
        [json!({"headers": {"Host": "x"}}), json!({"headers": {"x": "a\r\nb: c"}}), json!({"url": "no"})]
    {
        let failed = failure(call(&values, json!({"request": bad})).await);
        assert_eq!((failed.code, failed.fault), (Code::Validation, Fault::Final), "{bad}");
    }
}
