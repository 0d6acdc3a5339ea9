//! Where the queues are, as programs are told it, and how that is opened.
//!
//! | module | holds |
//! |---|---|
//! | [`address`] | [`Amqp`], [`KeyFiles`]: places and credentials |
//! | [`read`] | from the texts of flags and environment |

pub mod address;
pub mod read;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::sleep;

pub use address::{Amqp, KeyFiles};

use crate::{DeadLetters, Queues, Transport, TransportError};

/// Longest pause between attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long SQS is given to take back what was received and not handed out.
#[cfg(feature = "sqs")]
const GIVE_BACK: Duration = Duration::from_secs(1);

/// Where the queues are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// RabbitMQ.
    Rabbitmq {
        /// Where it is, with credentials.
        amqp: Amqp,
        /// The topic exchange.
        exchange: String,
    },
    /// SQS or a server that speaks it.
    Sqs {
        /// The access key, where it is not for the standard chain of AWS to find.
        key: Option<KeyFiles>,
        /// Address of a server that is not AWS.
        endpoint: Option<String>,
        /// Region, if one was named.
        region: Option<String>,
        /// Zero = twice the runtime timeout.
        visibility: Duration,
        /// Of one receive.
        wait: Duration,
    },
    /// One file.
    Local {
        /// The file.
        path: PathBuf,
    },
}

/// A transport, and what it has to do before the process ends.
pub struct Opened {
    /// For envelopes.
    pub transport: Arc<dyn Transport>,
    /// Of the same broker, to be looked at and managed.
    pub queues: Arc<dyn Queues>,
    /// What nobody could handle there.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// To be awaited in the end; `None` where the broker takes back by itself what a process leaves.
    pub close: Option<BoxFuture<'static, ()>>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Opened {
    #[cfg(any(feature = "rabbitmq", feature = "sqs", feature = "local"))]
    fn new<T: Transport + Queues + DeadLetters>(transport: Arc<T>) -> Self {
        Self { transport: transport.clone(), queues: transport.clone(), dead_letters: transport, close: None }
    }
}

impl Broker {
    /// The value of the label `transport`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rabbitmq { .. } => "rabbitmq",
            Self::Sqs { .. } => "sqs",
            Self::Local { .. } => "local",
        }
    }

    /// The broker as logs show it.
    pub fn masked(&self) -> String {
        match self {
            Self::Rabbitmq { amqp, exchange } => format!("{} exchange {exchange}", amqp.shown()),
            other => format!("{other:?}"),
        }
    }

    /// Opens it once. `timeout`: how long a handler may take, for the leases of SQS.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] where no waiting helps, a transport that is not compiled in among it.
    pub async fn open(&self, timeout: Duration) -> Result<Opened, TransportError> {
        match self {
            #[cfg(feature = "rabbitmq")]
            Self::Rabbitmq { amqp, exchange } => {
                let address = amqp.address().map_err(TransportError::Misconfigured)?;
                let mut config = crate::rabbitmq::RabbitmqConfig::new(address);
                config.exchange.clone_from(exchange);
                Ok(Opened::new(crate::rabbitmq::Rabbitmq::connect(config).await?))
            }
            #[cfg(feature = "sqs")]
            Self::Sqs { key, endpoint, region, visibility, wait } => {
                let config = crate::sqs::SqsConfig {
                    access_key: key.as_ref().map(KeyFiles::source),
                    region: region.clone(),
                    endpoint: endpoint.clone(),
                    visibility_timeout: *visibility,
                    runtime_timeout: timeout,
                    wait_time: *wait,
                    ..Default::default()
                };
                let sqs = crate::sqs::Sqs::connect(config).await?;
                let opened = Opened::new(Arc::clone(&sqs));
                let close = async move {
                    if !sqs.close(GIVE_BACK).await {
                        tracing::info!("some messages stay hidden until their visibility timeout ends");
                    }
                };
                Ok(Opened { close: Some(Box::pin(close)), ..opened })
            }
            #[cfg(feature = "local")]
            Self::Local { path } => {
                let options = crate::local::LocalOptions::default();
                Ok(Opened::new(crate::local::Local::open(path, options)?))
            }
            #[cfg(not(all(feature = "rabbitmq", feature = "sqs", feature = "local")))]
            other => {
                let name = other.name();
                let _ = timeout;
                Err(TransportError::Misconfigured(format!(
                    "ASYA_TRANSPORT={name}: this program was built without it (feature {name:?})"
                )))
            }
        }
    }

    /// Keeps trying until it is there, first after `pause`, then ever more seldom: a broker that is away is not an
    /// error. `failed` hears why each time. Cancel safe.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] only.
    pub async fn connect(
        &self,
        timeout: Duration,
        mut pause: Duration,
        failed: impl Fn(&TransportError),
    ) -> Result<Opened, TransportError> {
        loop {
            match self.open(timeout).await {
                Err(error) if !matches!(error, TransportError::Misconfigured(_)) => {
                    tracing::warn!(%error, ?pause, "cannot connect to the broker, trying again");
                    failed(&error);
                }
                outcome => return outcome,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
