//! What handles envelopes.

use std::{num::NonZeroUsize, path::PathBuf};

use asya_handler::{Budget, message::Mode};
use asya_settings::{Reader, filled, number};

use crate::{
    EngineConfig,
    web::{WebAddress, WebConfig},
};

/// Where runtimes listen in a pod.
const DEFAULT_SOCKET_DIR: &str = "/var/run/asya";

/// What handles envelopes.
#[derive(Clone, Debug)]
pub enum Runtime {
    /// A runtime that listens in this directory.
    Socket(PathBuf),
    /// An HTTP server in the same pod.
    Http(WebConfig),
}

/// What says where it is, as it is written.
pub(super) struct Said {
    pub(super) kind: Option<String>,
    pub(super) socket_dir: Option<String>,
    pub(super) http_url: Option<String>,
    pub(super) handler_mode: Option<String>,
    pub(super) concurrency: Option<String>,
}

impl Said {
    /// Reads it; what is wrong goes to `read`.
    pub(super) fn runtime(self, read: &mut Reader, engine: &EngineConfig) -> Runtime {
        let Self { kind, socket_dir, http_url, handler_mode, concurrency } = self;
        let web = read.or("ASYA_RUNTIME", kind, false, |text| match text {
            "socket" => Ok(false),
            "http" => Ok(true),
            "embedded" => {
                Err("\"embedded\" needs the binary asya-sidecar-py (image asya-sidecar-py); this one, \
                               asya-sidecar, has no Python inside"
                    .to_owned())
            }
            other => Err(format!("{other:?} must be socket or http")),
        });
        if !web {
            // The mode and the concurrency are also a runtime's own, which may share this environment.
            if filled(http_url).is_some() {
                read.wrong("ASYA_HTTP_URL", "is of use with ASYA_RUNTIME=http only");
            }
            return Runtime::Socket(
                filled(socket_dir).unwrap_or_else(|| DEFAULT_SOCKET_DIR.to_owned()).into(),
            );
        }
        let address = read.required("ASYA_HTTP_URL", http_url, WebAddress::parse);
        let mode = read.or("ASYA_HANDLER_MODE", handler_mode, Mode::Payload, |text| match text {
            "payload" => Ok(Mode::Payload),
            "envelope" => Ok(Mode::Envelope),
            other => Err(format!("{other:?} must be payload or envelope")),
        });
        let concurrency = read.or("ASYA_CONCURRENCY", concurrency, NonZeroUsize::MIN, number);
        // A missing address is an error by now; it only must not stop the search for others.
        let address =
            address.unwrap_or_else(|| WebAddress::parse("http://localhost").expect("a valid address"));
        Runtime::Http(WebConfig {
            address,
            mode,
            concurrency,
            max_reply: engine.limits.max_reply,
            budget: Some(Budget::new(engine.memory_budget / 2)),
        })
    }
}
