//! Export of spans over OTLP/HTTP: in batches, from a bounded queue, in the background.

use std::time::Duration;

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::trace::{Kind, Span};

/// Spans that may wait; newer ones are thrown away.
const BUFFERED: usize = 4_096;
/// Spans of one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const COLLECT: Duration = Duration::from_secs(2);
/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A running export.
#[derive(Debug)]
pub struct Export {
    sender: mpsc::Sender<Span>,
    task: JoinHandle<()>,
}

impl Export {
    /// Begins to export to the collector at `endpoint` (`http://host:4318`; the path `/v1/traces` is added unless it is
    /// there), under the service name `asya-<actor>`.
    ///
    /// # Errors
    /// A sentence, if the address cannot be used.
    pub fn start(endpoint: &str, actor: &str) -> Result<Self, String> {
        let endpoint = endpoint.trim_end_matches('/');
        let address = if endpoint.ends_with("/v1/traces") {
            endpoint.to_owned()
        } else {
            format!("{endpoint}/v1/traces")
        };
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(&address)
            .with_timeout(LIMIT)
            .build()
            .map_err(|error| format!("collector {address}: {error}"))?;
        let service = Resource::builder().with_service_name(format!("asya-{actor}")).build();
        exporter.set_resource(&service);
        let (sender, receiver) = mpsc::channel(BUFFERED);
        Ok(Self { sender, task: tokio::spawn(export(exporter, receiver)) })
    }

    /// Where spans go; use `try_send`.
    pub fn sender(&self) -> mpsc::Sender<Span> {
        self.sender.clone()
    }

    /// Sends what still waits, for at most this long. Every other sender must be gone.
    pub async fn flush(self, limit: Duration) {
        let Self { sender, task } = self;
        drop(sender);
        if timeout(limit, task).await.is_err() {
            tracing::warn!("the last spans were not exported in time");
        }
    }
}

async fn export(exporter: SpanExporter, mut receiver: mpsc::Receiver<Span>) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH && !receiver.is_closed() {
            sleep(COLLECT).await;
            while batch.len() < BATCH
                && let Ok(span) = receiver.try_recv()
            {
                batch.push(span);
            }
        }
        let spans: Vec<_> = batch.drain(..).map(data).collect();
        let count = spans.len();
        if let Err(error) = exporter.export(spans).await {
            tracing::debug!(%error, count, "spans were not taken");
        }
    }
}

fn data(span: Span) -> SpanData {
    let context = |span_id: u64| {
        SpanContext::new(
            TraceId::from_bytes(span.context.trace_id.to_be_bytes()),
            SpanId::from_bytes(span_id.to_be_bytes()),
            TraceFlags::new(span.context.flags),
            false,
            TraceState::default(),
        )
    };
    SpanData {
        span_context: context(span.context.span_id),
        parent_span_id: SpanId::from_bytes(span.parent.unwrap_or(0).to_be_bytes()),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: match span.kind {
            Kind::Run => SpanKind::Consumer,
            Kind::Request => SpanKind::Server,
        },
        name: span.name.into(),
        start_time: span.start,
        end_time: span.end,
        attributes: match span.kind {
            Kind::Run => vec![
                KeyValue::new("messaging.message.id", span.envelope),
                KeyValue::new("asya.attempt", i64::from(span.attempt)),
            ],
            Kind::Request => Vec::new(),
        },
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder(match span.kind {
            Kind::Run => "asya-sidecar",
            Kind::Request => "asya-gateway",
        })
        .build(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::TraceContext;

    #[tokio::test]
    async fn a_span_reaches_the_collector_before_the_flush_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(9).any(|part| part == b"envelope1") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request).into_owned()
        });
        let export = Export::start(&endpoint, "ocr").unwrap();
        let span = Span {
            kind: Kind::Run,
            context: TraceContext::start((1, 2)),
            parent: None,
            name: "ocr process".to_owned(),
            envelope: "envelope1".to_owned(),
            attempt: 1,
            start: SystemTime::now(),
            end: SystemTime::now(),
            error: None,
        };
        export.sender().try_send(span).unwrap();
        export.flush(Duration::from_secs(20)).await;
        let request = collector.await.unwrap();
        assert!(request.starts_with("POST /v1/traces HTTP/1.1"), "{request}");
        assert!(request.contains("ocr process"), "{request}");
    }
}
