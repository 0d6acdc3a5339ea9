//! Sockets over real connections, in both forms.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod door;
mod talks;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use asya_settings::Secret;
use axum::{Router, middleware::from_fn_with_state};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error as Wire, Message,
        client::IntoClientRequest as _,
        http::{HeaderName, HeaderValue},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::{Ws, door::ASYA_V1, router, seats::Seats};
use crate::{
    actors::{Actor as Shown, Source},
    auth::{Auth, Callbacks, Failures, Tokens, TokensAt, layer},
    rest::{
        api::{self, Pace},
        guard::{self, Guard},
    },
    server,
    service::{Error, chat::People, tests::World},
};

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(30);
/// Who has a token, and what they may. The token of each is their name, four times.
const PEOPLE: [(&str, &str); 5] =
    [("anna", "chat"), ("benn", "chat"), ("carl", "approve, chat"), ("dora", "read"), ("emil", "approve")];

struct Nobody;

impl Source for Nobody {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Shown>, Error>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

/// How a gateway differs from the usual one.
struct Kind {
    open: bool,
    loopback: bool,
    pace: Pace,
    streams: usize,
    each: usize,
}

impl Default for Kind {
    fn default() -> Self {
        Self { open: false, loopback: false, pace: Pace::default(), streams: 100, each: 8 }
    }
}

/// A gateway that serves sockets and what belongs to them.
struct House {
    world: World,
    address: SocketAddr,
    guard: Arc<Guard>,
    tokens: watch::Sender<Tokens>,
    stop: CancellationToken,
}

fn token(name: &str) -> String {
    name.repeat(4)
}

/// The tokens of these people.
fn tokens(people: &[(&str, &str)]) -> Tokens {
    let entry = |(name, roles): &(&str, &str)| {
        let sha256 = digest(&SHA256, token(name).as_bytes());
        let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("- {{name: {name}, roles: [{roles}], sha256: {sha256}}}\n")
    };
    let inline = people.iter().map(entry).collect();
    let admin = Some(Secret::Plain("root-root-root-root".to_owned()));
    TokensAt { inline: Some(inline), admin, ..TokensAt::default() }.read().unwrap()
}

impl House {
    async fn new(world: World, kind: Kind) -> Self {
        let Kind { open, loopback, pace, streams, each } = kind;
        let mut guard = Arc::into_inner(Guard::small(100, 100, streams)).unwrap();
        guard.streams = Arc::new(Semaphore::new(streams));
        guard.seats = Seats::new(each);
        guard.origins.loopback = loopback;
        guard.origins.allowed = vec!["https://listed.example".to_owned()];
        let guard = Arc::new(guard);
        let (sender, tokens) = watch::channel(tokens(&PEOPLE));
        let world = world.for_people(People { open, tokens: tokens.clone() });
        let auth = Arc::new(Auth {
            open,
            tokens,
            oidc: None,
            callbacks: Callbacks { open, ..Callbacks::default() },
            rates: None,
            failures: Failures::default(),
            reports: None,
            public_url: None,
            metrics: Arc::clone(&guard.metrics),
        });
        let people = Router::new()
            .nest("/api/v1", api::router(world.service.clone(), Arc::new(Nobody)))
            .route_layer(from_fn_with_state(Arc::clone(&auth), layer::people));
        let ws = Ws { service: world.service.clone(), auth, guard: Arc::clone(&guard), pace };
        let app = people.merge(router(ws)).layer(from_fn_with_state(Arc::clone(&guard), guard::pass));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(listener, app, stop.clone(), Duration::ZERO));
        Self { world, address, guard, tokens: sender, stop }
    }

    /// Opens a socket with these headers; else the status and what is said.
    async fn dial(&self, path: &str, headers: &[(&str, &str)]) -> Result<Socket, (u16, String)> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Socket::open(stream, &format!("ws://{}{path}", self.address), headers).await
    }

    /// Opens a socket as somebody, in a form.
    async fn as_who(&self, who: &str, path: &str, form: &str) -> Socket {
        let bearer = format!("Bearer {}", token(who));
        let headers = [("authorization", bearer.as_str()), ("sec-websocket-protocol", form)];
        let headers = if form.is_empty() { &headers[..1] } else { &headers };
        self.dial(path, headers).await.unwrap()
    }

    /// Opens a socket in the versioned form, and hears who it is.
    async fn v1(&self, who: &str) -> Socket {
        let mut socket = self.as_who(who, "/ws/", ASYA_V1).await;
        assert_eq!(socket.next().await["data"]["who"], who);
        socket
    }

    /// Asks as somebody by HTTP; status and body.
    async fn ask(&self, who: &str, line: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.address,
            token(who)
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// A ticket of somebody's, as the subprotocol that it is offered as.
    async fn ticket(&self, who: &str) -> String {
        let (status, body) = self.ask(who, "POST /api/v1/ws-tickets").await;
        assert_eq!(status, 201, "{body}");
        body["protocol"].as_str().unwrap().to_owned()
    }

    /// Waits until `/metrics` has this line.
    async fn counted(&self, line: &str) {
        let there = async {
            while !self.guard.metrics.encode().lines().any(|one| one == line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = timeout(LIMIT, there).await;
        assert!(found.is_ok(), "{line} is not in {}", self.guard.metrics.encode());
    }
}

/// A client's end.
struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The subprotocol that was chosen.
    form: String,
}

impl Socket {
    async fn open(stream: TcpStream, url: &str, headers: &[(&str, &str)]) -> Result<Self, (u16, String)> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        match client_async(request, stream).await {
            Ok((stream, answer)) => {
                let form = answer.headers().get("sec-websocket-protocol");
                let form = form.map(|form| form.to_str().unwrap().to_owned()).unwrap_or_default();
                Ok(Self { stream, form })
            }
            Err(Wire::Http(answer)) => {
                let text = answer.body().clone().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8(text).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn say(&mut self, said: &Value) {
        self.stream.send(Message::text(said.to_string())).await.unwrap();
    }

    /// What comes next, or why it is closed.
    async fn hear(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match timeout(LIMIT, self.stream.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => return Err(close),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn next(&mut self) -> Value {
        self.hear().await.unwrap_or_else(|close| panic!("it is closed: {close:?}"))
    }

    /// The next message that fits.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let heard = self.next().await;
            if fits(&heard) {
                return heard;
            }
        }
    }

    /// The answer to what is said with this `ref`.
    async fn answer(&mut self, mut said: Value, own: &str) -> Value {
        said["ref"] = json!(own);
        self.say(&said).await;
        self.until(|heard| heard["ref"] == own).await
    }

    /// The next event of the reference's form.
    async fn event(&mut self, name: &str) -> Value {
        self.until(|heard| heard["output"]["event"] == name).await
    }

    /// Shows that it is there.
    async fn is_there(&mut self) {
        self.say(&json!({"type": "ping"})).await;
        self.until(|heard| heard["type"] == "pong").await;
    }

    /// Reads to the end; the code and the reason.
    async fn closed(&mut self) -> (CloseCode, String) {
        loop {
            if let Err(close) = self.hear().await {
                let close = close.expect("it is closed with a reason");
                return (close.code, close.reason.as_str().to_owned());
            }
        }
    }
}
