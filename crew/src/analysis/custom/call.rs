//! One call of an analyzer.

use std::time::Duration;

use tonic::{Code, Status, transport::Endpoint};

use super::{
    Analyzer,
    proto::{Result as Said, RunRequest, custom_analyzer_service_client::CustomAnalyzerServiceClient},
};

/// Bytes of an answer. What is more than a message of the analysis may have is no answer for people either.
const LARGEST: usize = 128 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It took too long, the connection included.
    #[error("no answer from {address} within {patience:?}")]
    Slow {
        /// Host and port.
        address: String,
        /// How long it had.
        patience: Duration,
    },
    /// Nobody answers there.
    #[error("{address} cannot be reached: {why}")]
    Away {
        /// Host and port.
        address: String,
        /// The reason, with its own reasons.
        why: String,
    },
    /// It answered with an error.
    #[error("{address} answered {code:?}: {message}")]
    Failed {
        /// Host and port.
        address: String,
        /// The code of gRPC.
        code: Code,
        /// Its words.
        message: String,
    },
}

/// Asks an analyzer once, on a connection of its own, which ends with the call: one that was kept would have to be probed
/// all the time to see that a pod behind it has gone.
///
/// # Errors
/// [`CallError`]: nothing is known of what it would have said.
pub async fn call(analyzer: &Analyzer, patience: Duration) -> Result<Option<Said>, CallError> {
    let address = analyzer.address();
    let asked = async {
        let away =
            |error: &dyn std::error::Error| CallError::Away { address: address.clone(), why: chain(error) };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| away(&error))?;
        let channel = endpoint.connect().await.map_err(|error| away(&error))?;
        let mut client = CustomAnalyzerServiceClient::new(channel).max_decoding_message_size(LARGEST);
        let failed = |status: Status| CallError::Failed {
            address: address.clone(),
            code: status.code(),
            message: status.message().to_owned(),
        };
        Ok(client.run(RunRequest {}).await.map_err(failed)?.into_inner().result)
    };
    let slow = |_| CallError::Slow { address: address.clone(), patience };
    tokio::time::timeout(patience, asked).await.map_err(slow)?
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        words = format!("{words}: {source}");
        next = source.source();
    }
    words
}
