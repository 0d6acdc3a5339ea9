//! The echo: answers with the question. For trials without a provider, as K8sGPT's `noopai`.

use async_trait::async_trait;

use crate::{
    error::Error,
    estimate,
    message::Message,
    model::Model,
    request::Request,
    response::{Events, Finish, Response, Usage},
};

/// Answers with the last thing that was said to it. Its usage is the estimate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop;

impl Noop {
    fn answer(request: &Request) -> Response {
        let text = request.messages.iter().rev().find_map(|message| match message {
            Message::User { text } | Message::Tool { text, .. } => Some(text.clone()),
            Message::Assistant { .. } => None,
        });
        let text = text.unwrap_or_default();
        let usage = Usage { output: estimate::tokens(&text), ..estimate::usage(request, 0) };
        Response { text, calls: Vec::new(), finish: Finish::Stop, usage: Some(usage) }
    }
}

#[async_trait]
impl Model for Noop {
    fn provider(&self) -> &str {
        "noop"
    }

    fn model(&self) -> &str {
        "echo"
    }

    async fn complete(&self, request: &Request) -> Result<Response, Error> {
        Ok(Self::answer(request))
    }

    async fn stream(&self, request: &Request) -> Result<Events, Error> {
        Ok(Self::answer(request).stream())
    }
}
