//! One AMQP connection that is kept up: dialled again with back-off after any loss.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, ErrorKind, Event, protocol::AMQPErrorKind,
    tcp::OwnedTLSConfig, uri::AMQPScheme,
};
use tokio::{
    sync::watch,
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    board::Board,
    config::{Address, RabbitmqConfig},
    fault::Fault,
};
use crate::{Health, TransportError};

/// Longest that one try to connect takes before the next begins.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The client library reports most losses at once; this look at its state catches the rest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A connection that lived this long was a good one: the back-off after it begins anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Pauses between tries: 0.1 s doubling to 5 s, with jitter so that sidecars do not return in step, without an end.
pub(super) fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

/// How to dial.
#[derive(Clone)]
pub(super) struct Dialer {
    address: Address,
    tls: OwnedTLSConfig,
    name: String,
}

impl Dialer {
    /// # Errors
    /// [`TransportError::Misconfigured`] for a fixed address that cannot be used or a certificate file that cannot be
    /// read.
    pub(super) fn new(config: &RabbitmqConfig) -> Result<Self, TransportError> {
        if let Address::Fixed(_) = config.address {
            config.address.uri().map_err(TransportError::Misconfigured)?;
        }
        let mut tls = OwnedTLSConfig::default();
        if let Some(path) = &config.ca_file {
            let wrong = |why: String| {
                TransportError::Misconfigured(format!("certificate authority {}: {why}", path.display()))
            };
            let pem = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
            if !pem.contains("BEGIN CERTIFICATE") {
                return Err(wrong("holds no PEM certificate".to_owned()));
            }
            tls.cert_chain = Some(pem);
        }
        Ok(Self { address: config.address.clone(), tls, name: config.name.clone() })
    }

    /// Host and port, for messages.
    pub(super) fn target(&self) -> String {
        let uri = self.address.uri();
        uri.map_or_else(
            |_| "RabbitMQ".to_owned(),
            |uri| format!("{}:{}", uri.authority.host, uri.authority.port),
        )
    }

    /// Whether the credentials may change: then a refusal is waited out as an absence is.
    pub(super) fn may_change(&self) -> bool {
        matches!(self.address, Address::Read(_))
    }

    pub(super) async fn dial(&self, role: &str) -> Result<Connection, Fault> {
        let uri = self.address.uri().map_err(Fault::Away)?;
        if uri.scheme == AMQPScheme::AMQPS {
            // One provider for the whole process; an error means that it is installed already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{} {role}", self.name).into());
        let connect = Connection::connect_uri_with_config(
            uri,
            properties,
            self.tls.clone(),
            lapin::runtime::default_runtime()?,
        );
        match timeout(DIAL_TIMEOUT, connect).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Fault::Away(format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }
}

/// The connection as its users see it.
#[derive(Clone)]
pub(super) struct Wire {
    state: watch::Receiver<State>,
    patience: Duration,
}

#[derive(Clone)]
enum State {
    Up(Arc<Connection>),
    Down(String),
    Closed,
}

impl Wire {
    /// Keeps a connection up until `stop`. `first` is one that is up already.
    pub(super) fn keep(
        dialer: Dialer,
        role: &'static str,
        first: Option<Connection>,
        board: Arc<Board>,
        patience: Duration,
        stop: CancellationToken,
    ) -> Self {
        let (sender, state) = watch::channel(State::Down("not connected yet".to_owned()));
        let keeper = Keeper { dialer, role, board, state: sender };
        tokio::spawn(async move {
            stop.run_until_cancelled(keeper.run(first)).await;
            keeper.state.send_replace(State::Closed);
        });
        Self { state, patience }
    }

    /// The connection, as soon as it is up; `None` when the transport is closed.
    pub(super) async fn up(&self) -> Option<Arc<Connection>> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| !matches!(state, State::Down(_))).await.ok()?;
        match &*state {
            State::Up(connection) => Some(connection.clone()),
            State::Down(_) | State::Closed => None,
        }
    }

    /// Done when this connection is no longer the one in use.
    pub(super) async fn lost(&self, connection: &Arc<Connection>) -> String {
        let mut state = self.state.clone();
        let is_other = |state: &State| !matches!(state, State::Up(up) if Arc::ptr_eq(up, connection));
        match state.wait_for(is_other).await.as_deref() {
            Ok(State::Down(reason)) => reason.clone(),
            Ok(State::Up(_)) => "connection was replaced".to_owned(),
            Ok(State::Closed) | Err(_) => "transport is closed".to_owned(),
        }
    }

    /// The connection within the configured patience.
    ///
    /// # Errors
    /// [`Fault::Away`] with the reason why there is none.
    pub(super) async fn soon(&self) -> Result<Arc<Connection>, Fault> {
        if let State::Up(connection) = &*self.state.borrow() {
            return Ok(connection.clone());
        }
        match timeout(self.patience, self.up()).await {
            Ok(Some(connection)) => Ok(connection),
            Ok(None) => Err(Fault::Away("transport is closed".to_owned())),
            Err(_) => Err(Fault::Away(match &*self.state.borrow() {
                State::Down(reason) => reason.clone(),
                State::Up(_) | State::Closed => "not connected".to_owned(),
            })),
        }
    }

    /// A new channel within the configured patience.
    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        let connection = self.soon().await?;
        match open(&connection).await {
            Err(Fault::Away(_)) => {
                // Used up, or lost a moment ago.
                let _ = timeout(self.patience, self.lost(&connection)).await;
                open(&*self.soon().await?).await
            }
            channel => channel,
        }
    }
}

/// Opens a channel. A connection that has no more numbers for channels is closed, so that it is made anew.
pub(super) async fn open(connection: &Connection) -> Result<Channel, Fault> {
    loop {
        match connection.create_channel().await {
            // The client library never forgets the error that a channel ended with, and gives it to whoever gets the
            // number next; that number is then used up, so this ends. Opening a channel has no such errors itself.
            Err(error) if is_stale(&error) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ChannelsLimitReached) => {
                let _ = connection.close(200, "out of channels".into()).await;
                return Err(Fault::Away("out of channels, connecting anew".to_owned()));
            }
            channel => return Ok(channel?),
        }
    }
}

/// An error of another channel, long closed.
fn is_stale(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)))
}

struct Keeper {
    dialer: Dialer,
    role: &'static str,
    board: Arc<Board>,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn run(&self, mut first: Option<Connection>) {
        let mut pauses = backoff();
        loop {
            let dialled = match first.take() {
                Some(connection) => Ok(connection),
                None => self.dialer.dial(self.role).await,
            };
            let reason = match dialled {
                Ok(connection) => {
                    let since = Instant::now();
                    let reason = self.watch(connection).await;
                    if since.elapsed() > STABLE_AFTER {
                        pauses = backoff();
                    }
                    format!("connection to {} was lost: {reason}", self.dialer.target())
                }
                Err(fault) => format!("cannot connect to {}: {fault}", self.dialer.target()),
            };
            tracing::warn!(role = self.role, "{reason}");
            self.board.set(self.role, Health::Down(reason.clone()));
            self.state.send_replace(State::Down(reason));
            tokio::time::sleep(pauses.next().expect("the back-off has no end")).await;
        }
    }

    /// Offers the connection until it ends; says why it ended.
    async fn watch(&self, connection: Connection) -> String {
        let mut events = Box::pin(connection.events_listener());
        let connection = Arc::new(connection);
        let mut reason = "closed".to_owned();
        let mut look = interval(LOOK_EVERY);
        tracing::info!(role = self.role, broker = self.dialer.target(), "connected");
        self.board.set(self.role, Health::Up);
        self.state.send_replace(State::Up(connection.clone()));
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => {
                        tracing::warn!(role = self.role, reason = why, "broker takes no publishes");
                        self.board.set(self.role, Health::Blocked(format!("broker takes no publishes: {why}")));
                    }
                    Some(Event::ConnectionUnblocked) => self.board.set(self.role, Health::Up),
                    // Errors of single channels come here too: the state below decides.
                    Some(Event::Error(error)) => reason = error.to_string(),
                    Some(_) => {}
                    None => return reason,
                },
                _ = look.tick() => {}
            }
            if !connection.status().connected() {
                return reason;
            }
        }
    }
}
