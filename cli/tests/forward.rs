//! `asya forward` and the command lines of the Go system's client, against an API server that knows just enough.

#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test program, and what its WebSocket library wants"
)]

mod support;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use futures::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Place, Up, lines, text, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::{HeaderValue, StatusCode},
    },
};

const DOUBLE: &str = "def handle(call):\n    return call['n'] * 2\n";
const TOOLS: &str =
    "tools: [{name: double, route: [double], parameters: {n: {type: integer, required: true}}}]";
/// What a pod's port is, whatever it leads to.
const PORT: u16 = 8080;

/// What the cluster is like; tests change it.
#[derive(Default)]
struct State {
    /// Pods that are ready.
    ready: BTreeSet<&'static str>,
    /// Whether pods may be forwarded to.
    forbidden: bool,
    /// Pods that were forwarded to.
    led: Vec<String>,
    services: usize,
}

/// An API server; pods lead to `upstream`.
struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(upstream: &str) -> Self {
        let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { ready: BTreeSet::from(["gateway-a"]), services: 1, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, upstream, Arc::clone(&shared)));
            }
        });
        Self { address, state, _runtime: runtime }
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr, state: Arc<Mutex<State>>) {
    let mut head = [0; 16384];
    loop {
        let read = client.peek(&mut head).await.unwrap_or(0);
        let seen = String::from_utf8_lossy(&head[..read]).into_owned();
        if read == 0 {
            return;
        }
        let Some((lines, _)) = seen.split_once("\r\n\r\n") else { continue };
        let target = lines.split(' ').nth(1).unwrap_or_default().to_owned();
        if target.contains("/portforward") {
            return lead(client, upstream, &state).await;
        }
        let taken = lines.len() + 4;
        let _ = client.read_exact(&mut head[..taken]).await;
        let (status, body) = answer(&target, &state.lock().unwrap());
        let body = body.to_string();
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if client.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(target: &str, state: &State) -> (&'static str, Value) {
    let list = |kind: &str, items: Vec<Value>| {
        ("200 OK", json!({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": items}))
    };
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    if path == "/version" {
        let info = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        ("200 OK", info)
    } else if path.ends_with("/services") {
        let service = |number: usize| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("gateway-{number}")},
                "spec": {"selector": {"app": "gateway"}, "ports": [{"port": 80, "targetPort": "http"}]}})
        };
        list("ServiceList", (0..state.services).map(service).collect())
    } else if path.ends_with("/asya-e2e/deployments/asya-gateway") {
        let labels = json!({"matchLabels": {"app": "gateway"}});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "asya-gateway"},
            "spec": {"selector": labels}});
        ("200 OK", deployment)
    } else if path.ends_with("/pods") {
        let pod = |name: &&str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"containers": [{"name": "gateway", "ports": [{"name": "http", "containerPort": PORT}]}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        };
        list("PodList", state.ready.iter().map(pod).collect())
    } else {
        let (name, group) = ("nothing", "apps");
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "not found", "details": {"name": name, "group": group}});
        ("404 Not Found", status)
    }
}

/// Forwards as a kubelet does: each message begins with its channel, and the first of each says the port.
async fn lead(client: TcpStream, upstream: SocketAddr, state: &Mutex<State>) {
    let check = |request: &Request, mut response: Response| {
        let mut state = state.lock().unwrap();
        let path = request.uri().path();
        let pod = path.split("/pods/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let refuse = |status| {
            let mut refusal = tokio_tungstenite::tungstenite::http::Response::new(None);
            *refusal.status_mut() = status;
            Err(refusal)
        };
        if state.forbidden {
            return refuse(StatusCode::FORBIDDEN);
        }
        if !state.ready.contains(pod) {
            return refuse(StatusCode::NOT_FOUND);
        }
        state.led.push(pod.to_owned());
        response
            .headers_mut()
            .insert("sec-websocket-protocol", HeaderValue::from_static("v4.channel.k8s.io"));
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(client, check).await else { return };
    let (mut out, mut inward) = socket.split();
    let [low, high] = PORT.to_le_bytes();
    for channel in [0, 1] {
        out.send(Message::binary(vec![channel, low, high])).await.unwrap();
    }
    let (mut from, mut to) = TcpStream::connect(upstream).await.unwrap().into_split();
    let back = tokio::spawn(async move {
        let mut buffer = [0; 16384];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let mut message = vec![0];
            message.extend_from_slice(&buffer[..read]);
            if out.send(Message::binary(message)).await.is_err() {
                return;
            }
        }
        let _ = out.close().await;
    });
    while let Some(Ok(message)) = inward.next().await {
        let Message::Binary(bytes) = message else { continue };
        if bytes.len() > 1 && to.write_all(&bytes[1..]).await.is_err() {
            break;
        }
    }
    back.abort();
}

/// Actors, their gateway, and a cluster that leads to it.
fn start() -> (Place, Up, Server) {
    let place = Place::with("double", DOUBLE, "");
    place.write("tools.yaml", TOOLS);
    let up = place.up(&["--gateway", "127.0.0.1:0"]);
    let server = Server::start(&up.gateway());
    kubeconfig(&place, server.address);
    (place, up, server)
}

fn kubeconfig(place: &Place, address: SocketAddr) {
    place.write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: here, context: {{cluster: c, user: u, namespace: asya}}}}]\n"
        ),
    );
}

fn with_cluster<'a>(place: &Place, command: &'a mut Command) -> &'a mut Command {
    command.env("KUBECONFIG", place.path().join("kubeconfig")).env_remove("KUBERNETES_SERVICE_HOST")
}

/// A running forward; ended when dropped.
struct Forward {
    child: Child,
    url: String,
}

impl Forward {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command(&[&["forward", "--listen", "0"], arguments].concat());
        let errors = std::fs::File::create(place.path().join("forward.log")).unwrap();
        let command = with_cluster(place, &mut command).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let log = std::fs::read_to_string(place.path().join("forward.log")).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}\n{log}");
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn told(output: &Output, code: i32) -> (String, String) {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
    (out, error)
}

#[test]
fn a_gateway_of_a_cluster_is_reached_and_found_again_when_its_pod_is_replaced() {
    let (place, _up, server) = start();
    let mut forward = Forward::start(&place, &[]);
    let url = forward.url.clone();
    let call = ["call", "double", "--n", "21", "--gateway", &url];
    assert_eq!(told(&place.run(&call), 0).0, "42\n");

    // For a while there is none, then another: who calls meanwhile waits for it.
    server.state.lock().unwrap().ready.clear();
    let late = place.command(&call).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = || std::fs::read_to_string(place.path().join("forward.log")).unwrap();
    until("it says that none is ready", || {
        log().contains("none of the 0 pods of service/gateway-0 is ready")
    });
    server.state.lock().unwrap().ready.insert("gateway-b");
    assert_eq!(told(&late.wait_with_output().unwrap(), 0).0, "42\n");
    until("it says where it leads now", || log().contains("leads to pod gateway-b again"));
    let led: BTreeSet<_> = server.state.lock().unwrap().led.iter().cloned().collect();
    assert_eq!(led, BTreeSet::from(["gateway-a".to_owned(), "gateway-b".to_owned()]));

    kill_process(Pid::from_child(&forward.child), Signal::INT).unwrap();
    until("its end", || forward.child.try_wait().unwrap().is_some());
    assert_eq!(forward.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_keeps_a_forward_from_a_gateway_is_named_with_the_next_step() {
    let (place, _up, server) = start();
    let forward = |arguments: &[&str], code| {
        let listen = if arguments.contains(&"--listen") { &[][..] } else { &["--listen", "0"] };
        let mut command = place.command(&[&["forward"], listen, arguments].concat());
        told(&with_cluster(&place, &mut command).stdin(Stdio::null()).output().unwrap(), code).1
    };
    let error = forward(&["deployment/none"], 1);
    assert!(error.contains("no deployment none in namespace asya of context here"), "{error}");
    assert!(forward(&["pod/x"], 64).contains("service/NAME or a deployment/NAME"));
    assert!(forward(&["--listen", "nowhere"], 64).contains("neither a port nor an address"));
    assert!(forward(&["--context", "there"], 64).contains("no context there"));
    server.state.lock().unwrap().forbidden = true;
    let error = forward(&[], 1);
    assert!(error.contains("you may not get, create pods/portforward in namespace asya"), "{error}");
    server.state.lock().unwrap().services = 0;
    assert!(forward(&[], 1).contains("no gateway in namespace asya"));
    server.state.lock().unwrap().services = 2;
    assert!(forward(&[], 64).contains("name one of gateway-0, gateway-1"));
    server.state.lock().unwrap().ready.clear();
    assert!(forward(&["deployment/asya-gateway", "-n", "asya-e2e"], 1).contains("-l app=gateway"));
    let taken = server.address.to_string();
    server.state.lock().unwrap().services = 1;
    assert!(forward(&["--listen", &taken], 1).contains("--listen 0 takes any free port"));
}

/// The binary under another name.
fn former(place: &Place, name: &str, arguments: &[&str]) -> Command {
    let link = place.path().join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_asya"), &link).unwrap();
    }
    let command = place.command(&[]);
    let mut renamed = Command::new(link);
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => renamed.env(variable, value),
            None => renamed.env_remove(variable),
        };
    }
    renamed.args(arguments).current_dir(place.path()).stdin(Stdio::null());
    renamed
}

#[test]
fn asya_mcp_lists_shows_calls_and_follows_as_it_did() {
    let place = Place::with("double", DOUBLE, "");
    place.write("tools.yaml", TOOLS);
    let up = place.up(&["--gateway", "127.0.0.1:0"]);
    let url = up.gateway();
    let run = |arguments: &[&str], code| {
        let mut command = former(&place, "asya-mcp", arguments);
        told(&command.env("ASYA_CLI_MCP_URL", &url).output().unwrap(), code)
    };
    assert!(run(&["list"], 0).0.contains("double"));
    assert!(run(&["show", "double"], 0).0.contains("(required)"));
    for arguments in
        [&["call", "double", "--n=4"][..], &["call", "double", "--n", "4"], &["call", "double", "{\"n\": 4}"]]
    {
        let (out, error) = run(arguments, 0);
        let event = &lines(out.as_bytes())[0];
        assert_eq!(
            (&event["status"], &event["result"], &event["progress_percent"]),
            (&json!("succeeded"), &json!(8), &json!(100.0))
        );
        assert!(error.contains("100%"), "{error}");
    }
    let (out, _) = run(&["--no-stream", "call", "double", "--n=5"], 0);
    let handle = &lines(out.as_bytes())[0];
    let id = handle["envelope_id"].as_str().unwrap();
    assert_eq!(handle["status_url"], format!("/envelopes/{id}"));
    assert_eq!(lines(run(&["stream", id], 0).0.as_bytes())[0]["result"], 10);
    assert_eq!(lines(run(&["status", id], 0).0.as_bytes())[0]["status"], "succeeded");
    assert!(run(&["call", "double"], 64).1.contains("--n is required"));
    assert!(run(&["status", "nothing"], 1).1.contains("not found"));
    // The option goes before the variable.
    let (_, error) = run(&["--url", "http://127.0.0.1:1", "list"], 1);
    assert!(error.contains("http://127.0.0.1:1 (--gateway) cannot be reached"), "{error}");
    let (_, error) = run(&["--debug", "list"], 0);
    assert!(
        error.contains(&format!("debug: GET {url}/api/v1/tools")) && error.contains("debug: 200 OK"),
        "{error}"
    );
    let mut command = former(&place, "asya-mcp", &["list"]);
    let (_, error) =
        told(&command.env("ASYA_CLI_MCP_URL", &url).env("ASYA_CLI_MCP_DEBUG", "1").output().unwrap(), 0);
    assert!(error.contains("debug: GET"), "{error}");
    assert_eq!(run(&["nonsense"], 64).0, "");
}

#[test]
fn asya_mcp_forward_prints_the_url_and_goes_on_in_the_background() {
    let (place, _up, server) = start();
    let mut command = former(&place, "asya-mcp-forward", &["-l", "0"]);
    let (out, error) = told(&with_cluster(&place, &mut command).output().unwrap(), 0);
    let pid: i32 = error.split_once("`kill ").unwrap().1.split('`').next().unwrap().parse().unwrap();
    let mut listed = former(&place, "asya-mcp", &["list"]);
    let listed = listed.env("ASYA_CLI_MCP_URL", out.trim()).output().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(told(&listed, 0).0.contains("double"));
    let address: SocketAddr = out.trim().strip_prefix("http://").unwrap().parse().unwrap();
    until("its end", || std::net::TcpStream::connect(address).is_err());

    let mut command =
        former(&place, "asya-mcp-forward", &["-l", "0", "-d", "other", "-p", "1", "--no-check-health"]);
    let (out, error) = told(&with_cluster(&place, &mut command).output().unwrap(), 1);
    assert!(out.is_empty() && error.contains("no deployment other in namespace asya-e2e"), "{error}");

    let mut command = former(&place, "asya-mcp-forward", &["-l", "0", "--keep-alive"]);
    let mut child =
        with_cluster(&place, &mut command).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(!server.state.lock().unwrap().led.is_empty());
}
