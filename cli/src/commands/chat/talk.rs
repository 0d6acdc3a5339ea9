//! What is typed, what comes, and in which order.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use asya_session::{Operation, Phase, Session, State, Verdict, desk::Delta};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Place, said,
    typed::{self, Line},
    view::View,
};
use crate::{
    commands::approvals::decide,
    events::Event,
    exit,
    gateway::{Client, Fed, Feed, GatewayError, client::segment},
    output::{Output, note, print, safe},
};

/// What is typed so soon after a change was shown was meant for something else: nobody has read it by then.
const READING: Duration = Duration::from_secs(1);

/// An operation that waits for whoever sits here, and since when they see it.
struct Asked {
    operation: Operation,
    shown: Instant,
}

impl Asked {
    /// Whether nobody can have read it by then.
    fn is_unread(&self, at: Instant) -> bool {
        at < self.shown + READING
    }
}

/// A conversation under way.
pub(super) struct Talk {
    client: Client,
    place: Place,
    model: Option<String>,
    output: Output,
    view: View,
    feed: Option<Feed>,
    asked: Option<Asked>,
    /// Operations that were told, and how far they were.
    told: HashMap<String, Phase>,
    /// How the conversation is, as far as it was told.
    state: State,
    /// The last turn ended by a notice instead of an answer.
    failed: bool,
}

impl Talk {
    pub(super) fn new(client: Client, place: Place, model: Option<String>, output: Output) -> Self {
        let (state, feed) = match &place {
            Place::Going(session) => (session.state, Some(feed(&client, &session.id, 1))),
            Place::New(_) => (State::Idle, None),
        };
        Self {
            client,
            place,
            model,
            output,
            view: View::new(output),
            feed,
            asked: None,
            told: HashMap::new(),
            state,
            failed: false,
        }
    }

    /// Its id, once there is one.
    pub(super) fn session(&self) -> Option<&str> {
        match &self.place {
            Place::Going(session) => Some(&session.id),
            Place::New(_) => None,
        }
    }

    /// One message and its answer, or whatever is typed until the end of the input.
    pub(super) async fn run(&mut self, message: Option<String>) -> anyhow::Result<u8> {
        match message {
            Some(text) => self.once(&text).await,
            None => self.typed().await,
        }
    }

    async fn once(&mut self, text: &str) -> anyhow::Result<u8> {
        // What was said before is known to whoever goes on by a command.
        if let Place::Going(session) = &self.place {
            self.feed = Some(feed(&self.client, &session.id, session.head + 1));
        }
        let waits = self.say(text).await?;
        let mut left = waits + 1;
        loop {
            self.next().await?;
            if self.state == State::InputRequired
                && let Some(Asked { operation, .. }) = self.asked.take()
            {
                let (id, again) = (&operation.proposal.id, self.client.again());
                note(self.output, &format!("`asya approvals approve {id}{again}` lets it go on"));
                return Ok(exit::OK);
            }
            left = left.saturating_sub(usize::from(self.view.turn_ended()));
            if left == 0 {
                return Ok(if self.failed { exit::FAILED } else { exit::OK });
            }
        }
    }

    async fn typed(&mut self) -> anyhow::Result<u8> {
        let mut lines = typed::lines();
        if let Place::New(agent) = &self.place {
            eprintln!("{} listens; /quit or Ctrl-D leaves, /cancel stops what runs", safe(agent));
        }
        self.prompt();
        loop {
            match self.either(&mut lines).await? {
                Some(Line { text, at }) => match text.trim() {
                    "/quit" | "/exit" => return Ok(exit::OK),
                    "/cancel" => self.cancel().await?,
                    "" => self.prompt(),
                    line if self.asked.is_some() => self.answer(line, at).await?,
                    line => {
                        if let Err(error) = self.say(line).await {
                            eprintln!("error: {error:#}");
                            self.prompt();
                        }
                    }
                },
                None if lines.is_closed() => return Ok(exit::OK),
                None => {}
            }
        }
    }

    /// The next line that is typed, or `None` after something was shown or the input has ended.
    async fn either(&mut self, lines: &mut mpsc::Receiver<Line>) -> anyhow::Result<Option<Line>> {
        let Some(feed) = &mut self.feed else { return Ok(lines.recv().await) };
        let fed = tokio::select! {
            biased;
            fed = feed.next() => fed,
            line = lines.recv() => return Ok(line),
        };
        let before = (self.state, self.asked.is_some());
        self.take(fed)?;
        if before != (self.state, self.asked.is_some()) {
            self.prompt();
        }
        Ok(None)
    }

    /// Shows the next thing that comes.
    async fn next(&mut self) -> anyhow::Result<()> {
        let Some(feed) = &mut self.feed else { return Ok(()) };
        let fed = feed.next().await;
        self.take(fed)
    }

    fn take(&mut self, fed: Result<Fed, GatewayError>) -> anyhow::Result<()> {
        match fed.map_err(GatewayError::told)? {
            Fed::Lost(why) => {
                note(self.output, &format!("the connection is lost ({}); it is begun again", safe(&why)));
                Ok(())
            }
            Fed::Event(event) => self.event(&event),
        }
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if self.output == Output::Json {
            let data: Value = self.read(&event.data)?;
            print(&crate::output::json_line(&json!({"event": event.name, "data": data}).to_string()));
        }
        match event.name.as_str() {
            "entry" => {
                let entry = self.read(&event.data)?;
                self.failed = self.view.entry(&entry);
            }
            "delta" => {
                let delta: Delta = self.read(&event.data)?;
                self.view.delta(&delta);
            }
            "session" => {
                let session: Session = self.read(&event.data)?;
                self.state = session.state;
            }
            "operation" => {
                let operation: Operation = self.read(&event.data)?;
                // They are told again after each reconnect.
                let known = self.told.insert(operation.proposal.id.clone(), operation.phase);
                if known == Some(operation.phase) {
                    return Ok(());
                }
                self.view.operation(&operation);
                let is_asked = |asked: &Asked| asked.operation.proposal.id == operation.proposal.id;
                match operation.phase {
                    Phase::Waiting => self.asked = Some(Asked { operation, shown: Instant::now() }),
                    _ if self.asked.as_ref().is_some_and(is_asked) => self.asked = None,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, text: &str) -> anyhow::Result<T> {
        serde_json::from_str(text)
            .map_err(|error| self.client.strange(format!("an event cannot be read: {error}")).into())
    }

    /// Says something; answers how many messages wait before it.
    async fn say(&mut self, text: &str) -> anyhow::Result<usize> {
        self.view.said(text);
        self.failed = false;
        let mut body = said(text, self.model.as_ref());
        match &self.place {
            Place::Going(session) => {
                // A request that comes twice says it once.
                body["id"] = Uuid::now_v7().to_string().into();
                let path = format!("/api/v1/sessions/{}/messages", segment(&session.id));
                let said: Result<Value, _> = self.client.post(&path, &body).await;
                let said = said.inspect_err(|_| self.view.unsaid()).map_err(GatewayError::told)?;
                self.state = State::Running;
                Ok(said["waiting"].as_u64().and_then(|waiting| usize::try_from(waiting).ok()).unwrap_or(0))
            }
            Place::New(agent) => {
                let options = body.get("options").cloned();
                let mut body = json!({"agent": agent, "message": text});
                if let Some(options) = options {
                    body["options"] = options;
                }
                let session: Result<Session, _> = self.client.post("/api/v1/sessions", &body).await;
                let session = session.inspect_err(|_| self.view.unsaid()).map_err(GatewayError::told)?;
                self.feed = Some(feed(&self.client, &session.id, 1));
                self.state = State::Running;
                self.place = Place::Going(Box::new(session));
                Ok(0)
            }
        }
    }

    /// What was typed at a question for approval, and when.
    async fn answer(&mut self, line: &str, at: Instant) -> anyhow::Result<()> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        let proposal = &asked.operation.proposal;
        let verdict = match line.to_ascii_lowercase().as_str() {
            "y" | "yes" | "approve" if asked.is_unread(at) => {
                eprintln!("nothing is approved: that was typed before this could be read");
                None
            }
            "y" | "yes" | "approve" => Some(Verdict::Approve),
            "n" | "no" | "reject" => Some(Verdict::Reject),
            "l" | "later" => {
                let (id, again) = (&proposal.id, self.client.again());
                eprintln!("it waits until {}: `asya approvals approve {id}{again}`", proposal.expires);
                return Ok(());
            }
            _ => None,
        };
        let Some(verdict) = verdict else {
            self.asked = Some(asked);
            self.prompt();
            return Ok(());
        };
        if let Err(error) = decide(&self.client, proposal, verdict, "").await {
            eprintln!("error: {error}");
            // Somebody else decides, or has.
            let over = matches!(error.status(), Some(StatusCode::CONFLICT | StatusCode::FORBIDDEN));
            self.asked = (!over).then_some(asked);
            self.prompt();
        }
        Ok(())
    }

    async fn cancel(&mut self) -> anyhow::Result<()> {
        let Some(id) = self.session() else { return Ok(()) };
        let path = format!("/api/v1/sessions/{}/cancel", segment(id));
        if let Err(error) = self.client.post::<Value>(&path, &json!({})).await {
            eprintln!("error: {error}");
        }
        Ok(())
    }

    /// Shows that something can be typed.
    fn prompt(&mut self) {
        match (&self.asked, self.state) {
            (Some(_), _) => self.view.prompt("approve? [y]es, [n]o, [l]ater > "),
            (None, State::Idle) => self.view.prompt("> "),
            (None, _) => {}
        }
    }
}

fn feed(client: &Client, session: &str, from: u64) -> Feed {
    Feed::new(client.clone(), format!("/api/v1/sessions/{}/events?from={from}", segment(session)))
}
