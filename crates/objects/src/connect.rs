//! The HTTP client that stores are spoken to with: the connector of our own, so that there is one TLS stack.

use std::{future::Future, pin::Pin, time::Duration};

use asya_http::connector::{Connector, system};
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};

/// How long a store may take until its answer begins, what is sent to it included: a megabyte over a slow line, or the
/// largest payload at half a megabyte per second.
const LIMIT: Duration = Duration::from_secs(120);

/// Makes clients.
#[derive(Debug)]
pub(crate) struct Connect {
    /// Whether TLS is needed: trusted certificates are read then.
    pub(crate) tls: bool,
}

impl Connect {
    /// A client of its own.
    pub(crate) fn client(&self) -> Result<HttpClient, String> {
        let connector = system(if self.tls { "https://" } else { "http://" })?;
        Ok(HttpClient::new(Service(Client::builder(TokioExecutor::new()).build(connector))))
    }
}

impl HttpConnector for Connect {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.client()
            .map_err(|reason| object_store::Error::Generic { store: "connect", source: reason.into() })
    }
}

#[derive(Debug)]
struct Service(Client<Connector, HttpRequestBody>);

impl HttpService for Service {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answer = tokio::time::timeout(LIMIT, self.0.request(request)).await;
            let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
            let answer = answer.map_err(|error| {
                let kind =
                    if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
                HttpError::new(kind, error)
            })?;
            let (parts, body) = answer.into_parts();
            let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
        })
    }
}
