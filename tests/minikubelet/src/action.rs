//! What a probe or a hook does: a request, a connection or a program.

use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::container::Surroundings;

/// Enough for a status line.
const HEAD_BYTES: usize = 64;

/// One attempt of it.
#[derive(Debug)]
pub(crate) enum Action {
    Http { address: String, request: String },
    Connect { address: String },
    Exec { command: Vec<String> },
    Sleep { time: Duration },
}

impl Action {
    pub(crate) fn of_probe(probe: &Probe, container: &Container, around: &Surroundings) -> Option<Self> {
        Self::of(probe.http_get.as_ref(), probe.exec.as_ref(), probe.tcp_socket.as_ref(), container, around)
    }

    pub(crate) fn of_hook(
        hook: &LifecycleHandler,
        container: &Container,
        around: &Surroundings,
    ) -> Option<Self> {
        if let Some(sleep) = &hook.sleep {
            return Some(Self::Sleep {
                time: Duration::from_secs(sleep.seconds.try_into().unwrap_or_default()),
            });
        }
        Self::of(hook.http_get.as_ref(), hook.exec.as_ref(), hook.tcp_socket.as_ref(), container, around)
    }

    fn of(
        http: Option<&HTTPGetAction>,
        exec: Option<&ExecAction>,
        tcp: Option<&TCPSocketAction>,
        container: &Container,
        around: &Surroundings,
    ) -> Option<Self> {
        let address = |host: &Option<String>, port| {
            format!("{}:{}", host.as_deref().unwrap_or(&around.ip), number(port, container))
        };
        if let Some(http) = http {
            let address = address(&http.host, &http.port);
            let path = http.path.as_deref().unwrap_or("/");
            let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
            for header in http.http_headers.iter().flatten() {
                request.push_str(&format!("{}: {}\r\n", header.name, header.value));
            }
            request.push_str("\r\n");
            return Some(Self::Http { address, request });
        }
        if let Some(tcp) = tcp {
            return Some(Self::Connect { address: address(&tcp.host, &tcp.port) });
        }
        let command = exec?.command.iter().flatten().map(|word| around.paths.rewrite(word)).collect();
        Some(Self::Exec { command })
    }

    /// Tries it once.
    ///
    /// # Errors
    /// The sentence for the event, also when it takes longer than the limit.
    pub(crate) async fn run(&self, around: &Surroundings, limit: Duration) -> Result<(), String> {
        match timeout(limit, self.attempt(around)).await {
            Ok(result) => result,
            Err(_) => Err(format!("{self:?}: no answer within {limit:?}")),
        }
    }

    async fn attempt(&self, around: &Surroundings) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{self:?}: {error}");
        match self {
            Self::Http { address, request } => {
                let mut stream = TcpStream::connect(address).await.map_err(failed)?;
                stream.write_all(request.as_bytes()).await.map_err(failed)?;
                let mut head = Vec::with_capacity(HEAD_BYTES);
                (&mut stream).take(HEAD_BYTES as u64).read_to_end(&mut head).await.map_err(failed)?;
                let head = String::from_utf8_lossy(&head);
                let status = head.split_whitespace().nth(1).and_then(|status| status.parse::<u16>().ok());
                match status {
                    Some(200..400) => Ok(()),
                    Some(status) => Err(format!("HTTP probe failed with statuscode: {status}")),
                    None => Err(format!("{address} does not answer in HTTP")),
                }
            }
            Self::Connect { address } => TcpStream::connect(address).await.map(drop).map_err(failed),
            Self::Sleep { time } => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Self::Exec { command } => {
                let mut process = around.command(command);
                let output =
                    process.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.map_err(failed)?;
                if output.status.success() {
                    return Ok(());
                }
                let (out, err) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                Err(format!("{} {} {}", output.status, out.trim(), err.trim()))
            }
        }
    }
}

fn number(port: &IntOrString, container: &Container) -> i32 {
    match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports.find(|port| port.name.as_ref() == Some(name)).map_or(0, |port| port.container_port)
        }
    }
}
