//! The seam: whoever answers questions.

use async_trait::async_trait;

use crate::{
    error::Error,
    request::Request,
    response::{Events, Response},
};

/// Somebody who answers: a provider, the echo, a recording, or one of them with a guard around it.
///
/// **Cancel safety.** Dropping a future or a stream of these methods is safe at any point: the connection is closed,
/// permits and probes go back, nothing is left running. The provider may have worked and charged for it all the same,
/// so a budget counts a dropped call as its estimate.
#[async_trait]
pub trait Model: Send + Sync {
    /// The name of the provider, as in settings, metrics and cache keys: `openai`.
    fn provider(&self) -> &str;

    /// The name of the model, unless a request asks for another.
    fn model(&self) -> &str;

    /// The whole answer.
    ///
    /// # Errors
    /// [`Error`], by kind.
    async fn complete(&self, request: &Request) -> Result<Response, Error>;

    /// The answer piece by piece. What goes wrong before the first piece is an error of this call.
    ///
    /// # Errors
    /// [`Error`], by kind; later ones come as the stream's last item.
    async fn stream(&self, request: &Request) -> Result<Events, Error>;
}

#[async_trait]
impl<M: Model + ?Sized> Model for Box<M> {
    fn provider(&self) -> &str {
        (**self).provider()
    }

    fn model(&self) -> &str {
        (**self).model()
    }

    async fn complete(&self, request: &Request) -> Result<Response, Error> {
        (**self).complete(request).await
    }

    async fn stream(&self, request: &Request) -> Result<Events, Error> {
        (**self).stream(request).await
    }
}
