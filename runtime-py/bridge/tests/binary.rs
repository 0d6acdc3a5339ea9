//! The binary `asya-sidecar-py` as an operator starts it: no runtime beside it.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use asya_envelope::Naming;
use asya_transport::{
    Outgoing, Queues, Transport,
    local::{Local, LocalOptions},
};
use support::{LIMIT, PYTHON, sources};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// The lease of the local transport, which a dead sidecar still holds, and some time for everything else.
const REDELIVERED: Duration = Duration::from_secs(90);

/// A folder with handlers, a queue file, and an envelope that waits.
struct Rig {
    folder: tempfile::TempDir,
    local: std::sync::Arc<Local>,
}

impl Rig {
    async fn new(handlers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.py"), handlers).unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in ["ocr", "happy-end", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        Self { folder, local }
    }

    async fn send(&self, payload: &str) {
        let body = format!(r#"{{"id":"a","route":{{"actors":["ocr"],"current":0}},"payload":{payload}}}"#);
        let queue = Naming::bare().queue("ocr");
        self.local.publish(Outgoing { queue, body: body.into() }, None).await.unwrap();
    }

    fn sidecar(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asya-sidecar-py"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("PYTHONPATH", sources())
            .env("ASYA_ACTOR_NAME", "ocr")
            .env("ASYA_TRANSPORT", "local")
            .env("ASYA_LOCAL_PATH", self.folder.path().join("queues.db"))
            .env("ASYA_METRICS_ENABLED", "false")
            .env("ASYA_HANDLER", "mine.handle")
            // Modules beside which it is started are found, as by `python3 -m asya_runtime`.
            .current_dir(self.folder.path())
            .kill_on_drop(true)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What has come to this actor's queue, once it comes.
    async fn arrived(&self, actor: &str) -> String {
        let mut consumer =
            self.local.consume(&Naming::bare().queue(actor), 1.try_into().unwrap()).await.unwrap();
        let delivery = timeout(REDELIVERED, consumer.next()).await.expect("it arrives").unwrap();
        String::from_utf8(delivery.body.to_vec()).unwrap()
    }
}

async fn ended(child: Child) -> (i32, String) {
    let Output { status, stdout, stderr } =
        timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code().unwrap_or(-1), text)
}

async fn terminated(child: Child) -> (i32, String) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    ended(child).await
}

#[tokio::test]
async fn an_envelope_goes_through_and_sigterm_drains() {
    let rig = Rig::new(
        "import atexit, sys, threading, subprocess\n\
         atexit.register(lambda: print('farewell'))\n\
         def handle(payload):\n\
         \x20   print('seen', payload)\n\
         \x20   child = subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True)\n\
         \x20   main = threading.current_thread() is threading.main_thread()\n\
         \x20   return {'main': main, 'child': child.stdout}\n",
    )
    .await;
    rig.send("1").await;
    let child = rig.sidecar().spawn().unwrap();
    let body = rig.arrived("happy-end").await;
    assert!(body.contains(r#"{"main":true,"child":"42\n"}"#), "{body}");
    let (code, text) = terminated(child).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(r#""message": "seen 1", "stream": "stdout", "worker": 0, "id": "a""#), "{text}");
    assert!(text.contains("farewell"), "{text}");
}

#[tokio::test]
async fn handlers_see_the_packages_of_the_interpreter_that_is_named() {
    let rig = Rig::new(
        "import sys, only_here\n\
         def handle(payload):\n\
         \x20   return [[only_here.answer(), sys.prefix, sys.executable]]\n",
    )
    .await;
    let home = rig.folder.path().join("venv");
    let made = Command::new(PYTHON).args(["-m", "venv", "--without-pip"]).arg(&home).status().await.unwrap();
    assert!(made.success(), "python3-venv is needed: apt-get install python3-venv");
    let version = env!("ASYA_BRIDGE_PYTHON_VERSION");
    let packages = home.join(format!("lib/python{version}/site-packages"));
    std::fs::write(packages.join("only_here.py"), "def answer():\n    return 'found'\n").unwrap();
    for (variable, value) in [("VIRTUAL_ENV", home.clone()), ("ASYA_PYTHON", home.join("bin/python3"))] {
        rig.send("1").await;
        let child = rig.sidecar().env(variable, value).spawn().unwrap();
        let mut consumer =
            rig.local.consume(&Naming::bare().queue("happy-end"), 1.try_into().unwrap()).await.unwrap();
        let delivery = timeout(LIMIT, consumer.next()).await.expect("it arrives").unwrap();
        let body = String::from_utf8(delivery.body.to_vec()).unwrap();
        let settled = delivery.settle(asya_transport::Outcome::forward(Vec::new())).await;
        settled.map_err(|(error, _)| error).unwrap();
        assert!(body.contains("found") && body.contains(home.to_str().unwrap()), "{body}");
        assert_eq!(terminated(child).await.0, 0);
    }
    // Without it the package is not there.
    let (code, text) = ended(rig.sidecar().spawn().unwrap()).await;
    assert!(code == 1 && text.contains("only_here"), "{code} {text}");
}

#[tokio::test]
async fn a_handler_that_ends_the_process_has_its_envelope_redelivered() {
    let rig = Rig::new(
        "import os\n\
         def handle(payload):\n\
         \x20   if not os.path.exists('once'):\n\
         \x20       open('once', 'w').close()\n\
         \x20       os._exit(7)\n\
         \x20   return 'second time'\n",
    )
    .await;
    rig.send("1").await;
    let (code, text) = ended(rig.sidecar().spawn().unwrap()).await;
    assert_eq!(code, 7, "{text}");
    let child = rig.sidecar().spawn().unwrap();
    assert!(rig.arrived("happy-end").await.contains("second time"));
    assert_eq!(terminated(child).await.0, 0);
}

#[tokio::test]
async fn a_handler_that_hangs_fails_the_liveness_probe_and_its_envelope_ends_as_timeout() {
    let rig = Rig::new("import time\ndef handle(payload):\n    time.sleep(600)\n").await;
    rig.send("1").await;
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let child = rig
        .sidecar()
        .env("ASYA_METRICS_ENABLED", "true")
        .env("ASYA_METRICS_ADDR", address.to_string())
        .env("ASYA_RUNTIME_TIMEOUT", "300ms")
        .spawn()
        .unwrap();
    let body = rig.arrived("error-end").await;
    assert!(body.contains(r#""timeout""#), "{body}");
    let unhealthy = async {
        while !healthz(address).await.starts_with("HTTP/1.1 503") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, unhealthy).await.expect("/healthz fails");
    let (code, text) = terminated(child).await;
    assert_eq!(code, 0, "{text}");
}

async fn healthz(address: std::net::SocketAddr) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn what_is_wrong_is_said_at_the_start() {
    let rig = Rig::new("def handle(payload):\n    return payload\n").await;
    let said = async |variables: &[(&str, &str)]| {
        ended(rig.sidecar().envs(variables.iter().copied()).spawn().unwrap()).await
    };
    let (code, text) = said(&[("ASYA_HANDLER", "mine.other")]).await;
    assert!(code == 1 && text.contains("has no 'other'"), "{code} {text}");
    let (code, text) = said(&[("ASYA_HANDLER", "")]).await;
    assert!(code == 64 && text.contains("ASYA_HANDLER is not set"), "{code} {text}");
    let (code, text) = said(&[("ASYA_ACTOR_NAME", "")]).await;
    assert!(code == 64 && text.contains("ASYA_ACTOR_NAME"), "{code} {text}");
    let (code, text) = said(&[("ASYA_PYTHON", "/no/such/python")]).await;
    assert!(code == 1 && text.contains("/no/such/python") && text.contains("ASYA_PYTHON"), "{code} {text}");
    let (code, text) = said(&[("PYTHONPATH", "")]).await;
    assert!(code == 1 && text.contains("asya_runtime") && text.contains("PYTHONPATH"), "{code} {text}");
}

#[tokio::test]
async fn it_takes_the_same_variables_and_can_serve_a_socket_too() {
    let rig = Rig::new("def handle(payload):\n    return payload\n").await;
    rig.send("[1e400]").await;
    let mut runtime = Command::new(PYTHON)
        .args(["-m", "asya_runtime"])
        .env("PYTHONPATH", sources())
        .env("ASYA_HANDLER", "mine.handle")
        .env("ASYA_HANDLER_MODE", "payload")
        .env("ASYA_SOCKET_DIR", rig.folder.path())
        .current_dir(rig.folder.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let socket = [("ASYA_RUNTIME", "socket"), ("ASYA_SOCKET_DIR", path(rig.folder.path()))];
    let child = rig.sidecar().envs(socket).spawn().unwrap();
    let body = rig.arrived("error-end").await;
    assert!(body.contains("invalid_result"), "infinity cannot be sent on: {body}");
    assert_eq!(terminated(child).await.0, 0);
    runtime.kill().await.unwrap();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
