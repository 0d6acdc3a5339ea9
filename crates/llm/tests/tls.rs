//! Providers that speak TLS, directly and through a proxy, with an authority of one's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use std::{path::Path, process::Command, sync::Arc};

use asya_llm::{Kind, Model, Request};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use server::{model, proxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A certificate for `provider.invalid` with its key, in files of this folder.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=provider.invalid",
            "-addext",
            "subjectAltName=DNS:provider.invalid,IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "crt.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A provider that speaks TLS and answers everything alike; its address.
async fn secure(folder: &Path) -> String {
    let crt = CertificateDer::from_pem_file(folder.join("crt.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![crt], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            // To the end of its JSON: what is left unread would break the connection off.
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let body = r#"{"choices":[{"finish_reason":"stop","message":{"content":"yes"}}]}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_provider_is_trusted_by_the_authority_that_is_named_and_no_other() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificate(folder.path());
    certificate(other.path());
    let base = format!("https://{}/v1", secure(folder.path()).await);
    for (authority, trusted) in [(&folder, true), (&other, false)] {
        let file = authority.path().join("crt.pem");
        let model = model(&[
            ("ASYA_LLM_BACKEND", "vllm"),
            ("ASYA_LLM_MODEL", "m"),
            ("ASYA_LLM_BASE_URL", &base),
            ("ASYA_LLM_CA_FILE", file.to_str().unwrap()),
            ("ASYA_LLM_TRIES", "1"),
        ]);
        match model.complete(&Request::ask("", "?")).await {
            Ok(response) => assert!(trusted && response.text == "yes"),
            Err(error) => {
                assert!(!trusted && error.kind == Kind::Unavailable { after: None }, "{error}");
                assert!(error.to_string().contains("certificate"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn tls_goes_through_a_proxy_to_a_name_that_only_the_proxy_knows() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (address, asked) = proxy(&secure(folder.path()).await, "200 OK").await;
    let (file, through) = (folder.path().join("crt.pem"), format!("http://{address}"));
    let model = model(&[
        ("ASYA_LLM_BACKEND", "vllm"),
        ("ASYA_LLM_MODEL", "m"),
        ("ASYA_LLM_API_KEY", "test-key"),
        ("ASYA_LLM_BASE_URL", "https://provider.invalid/v1"),
        ("ASYA_LLM_CA_FILE", file.to_str().unwrap()),
        ("ASYA_LLM_PROXY", &through),
    ]);
    assert_eq!(model.complete(&Request::ask("", "?")).await.unwrap().text, "yes");
    drop(model);
    assert!(asked.await.unwrap().starts_with("CONNECT provider.invalid:443 HTTP/1.1\r\n"));
}
