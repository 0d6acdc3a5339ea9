//! Against a TLS server of our own: its certificate is trusted by the test's client alone.

use std::{net::SocketAddr, path::Path, process::Command};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const RUNTIME: &[u8] = b"print('released')\n";

fn release(version: &str) -> GithubRelease {
    let sha256 = Sha256::digest(RUNTIME).iter().map(|byte| format!("{byte:02x}")).collect();
    GithubRelease { repo: "owner/name".to_owned(), version: version.to_owned(), sha256 }
}

fn certificate(folder: &Path) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let (key, crt) = (folder.join("key.pem"), folder.join("crt.pem"));
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
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&crt)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (CertificateDer::from_pem_file(crt).unwrap(), PrivateKeyDer::from_pem_file(key).unwrap())
}

/// A client, and the address of a server that answers by the version in the path.
async fn server() -> (Http, String) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let trusting = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let serving = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(serving));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let _ = stream.write_all(&answer(&path, address)).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(trusting).https_only().enable_http1().build();
    (client(connector), format!("https://localhost:{}", address.port()))
}

fn answer(path: &str, address: SocketAddr) -> Vec<u8> {
    let port = address.port();
    let to = |place: String| {
        format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    };
    let body = |bytes: &[u8]| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()).into_bytes();
        answer.extend(bytes);
        answer
    };
    match path {
        "/owner/name/releases/download/v1/asya_runtime.py" => to(format!("https://localhost:{port}/asset")),
        "/asset" => body(RUNTIME),
        "/owner/name/releases/download/plain/asya_runtime.py" => to(format!("http://localhost:{port}/asset")),
        "/owner/name/releases/download/loop/asya_runtime.py" => to(format!("https://localhost:{port}{path}")),
        "/owner/name/releases/download/large/asya_runtime.py" => body(&vec![b'x'; MOST + 1]),
        "/owner/name/releases/download/changed/asya_runtime.py" => body(b"print('somebody else')\n"),
        _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
    }
}

#[tokio::test]
async fn a_release_is_fetched_through_redirects_and_checked() {
    let (http, base) = server().await;
    let bytes = fetch(&http, &base, &release("v1")).await.unwrap();
    assert_eq!(bytes, RUNTIME);
    let script = check(bytes, &release("v1")).unwrap();
    assert_eq!(script.name(), format!("asya-runtime-{}", &release("v1").sha256[..12]));
    assert!(!script.features().probe, "a runtime that does not say so is not probed by an argument");
}

#[tokio::test]
async fn what_is_not_the_release_is_refused_with_a_reason() {
    let (http, base) = server().await;
    for (version, reason) in
        [("plain", "not https"), ("loop", "redirects"), ("large", "limit"), ("missing", "404")]
    {
        let error = fetch(&http, &base, &release(version)).await.unwrap_err();
        assert!(error.contains(reason) && error.contains(version), "{version}: {error}");
    }
    let changed = fetch(&http, &base, &release("changed")).await.unwrap();
    let error = check(changed, &release("changed")).unwrap_err();
    assert!(error.contains("SHA-256") && error.contains(&release("changed").sha256), "{error}");
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted_and_plain_http_not_spoken() {
    let (_, base) = server().await;
    let (other, _) = server().await;
    let error = fetch(&other, &base, &release("v1")).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let error = fetch(&other, &base.replace("https", "http"), &release("v1")).await.unwrap_err();
    assert!(error.contains("fetching http:"), "{error}");
}

#[test]
fn what_was_kept_is_read_back_in_both_shapes() {
    for file in [RUNTIME, b"PK\x03\xff\xfe".as_slice()] {
        let map = Script::of(file.to_vec()).unwrap().kept("asya", "asya-operator-runtime-1");
        assert_eq!(map["immutable"], true);
        assert_eq!(content(serde_json::from_value(map).unwrap()).unwrap(), file);
    }
    assert!(!kept_name(&"a".repeat(64)).starts_with("asya-runtime-"), "it would be collected as a version");
}
