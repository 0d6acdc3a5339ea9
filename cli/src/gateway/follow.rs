//! What happens to an envelope, to its end, over broken connections.

use super::{
    Client, GatewayError,
    client::segment,
    feed::{Fed, Feed},
    wire::Update,
};

/// Something to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// It happened to the envelope; the text is the event's own.
    Update { update: Box<Update>, text: String },
    /// The stream broke; it is begun again where it was.
    Lost(String),
}

/// Follows one envelope.
pub(crate) struct Follow {
    client: Client,
    feed: Feed,
    ended: bool,
}

impl Follow {
    /// From the first update on.
    pub(crate) fn new(client: Client, id: &str) -> Self {
        Self::at(client, format!("/api/v1/envelopes/{}/events", segment(id)))
    }

    /// Events of this path.
    pub(crate) fn at(client: Client, path: String) -> Self {
        Self { feed: Feed::new(client.clone(), path), client, ended: false }
    }

    /// What is to be told next; `None` after the update that ended the envelope.
    ///
    /// # Errors
    /// Those of [`Feed::next`], and an update that cannot be read.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, GatewayError> {
        while !self.ended {
            let event = match self.feed.next().await? {
                Fed::Lost(why) => return Ok(Some(Told::Lost(why))),
                Fed::Event(event) if event.name == "update" => event,
                Fed::Event(_) => continue,
            };
            let update: Update = serde_json::from_str(&event.data)
                .map_err(|error| self.client.strange(format!("an event cannot be read: {error}")))?;
            self.ended = update.status.is_final();
            return Ok(Some(Told::Update { update: Box::new(update), text: event.data }));
        }
        Ok(None)
    }
}
