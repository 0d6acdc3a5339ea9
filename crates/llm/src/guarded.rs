//! A model with everything around it that keeps it, and us, from harm: concurrency, budget, retries, circuit breaker.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use crate::{
    breaker::{Admission, Breaker, Breaking},
    budget::{Account, Limits, Reservation},
    error::{Error, Kind},
    estimate,
    model::Model,
    request::Request,
    response::{Event, Events, Partial, Response, Usage},
    retry::Retry,
};

/// How much is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Calls at the same time; at least 1. Further ones wait for a place.
    pub concurrency: usize,
    /// How often and when a call is made again.
    pub retry: Retry,
    /// When the provider is left alone.
    pub breaking: Breaking,
    /// What may be spent.
    pub limits: Limits,
    /// What an answer is estimated at if its request does not bound it.
    pub max_tokens: u32,
}

/// A guarded model. Clones share one guard.
///
/// A call takes a place, then its estimate of the budget, then tries. What is told by `Retry-After` holds for all calls of
/// this guard. A stream is tried again until its first piece has come, not after. The place is kept until the answer or
/// the stream is done or dropped.
#[derive(Clone)]
pub struct Guarded<M> {
    model: M,
    guard: Arc<Guard>,
    places: Arc<Semaphore>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    breaker: Mutex<Breaker>,
    account: Mutex<Account>,
}

impl State {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Model> Guarded<M> {
    /// `model` within `guard`, going on with `account`: what was stored, or a new one.
    pub fn new(model: M, guard: Guard, account: Account) -> Self {
        let places = Arc::new(Semaphore::new(guard.concurrency.max(1)));
        let breaker = Mutex::new(Breaker::new(guard.breaking.clone()));
        let state = Arc::new(State { breaker, account: Mutex::new(account) });
        Self { model, guard: Arc::new(guard), places, state }
    }

    /// What was spent so far, to be stored.
    pub fn account(&self) -> Account {
        self.state.account().clone()
    }

    /// Whether the provider is being left alone; for a metric.
    pub fn is_open(&self) -> bool {
        self.state.breaker().is_open()
    }

    /// The place and the part of the budget of one call.
    async fn enter(&self, request: &Request) -> Result<Call, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let estimate = estimate::usage(request, self.guard.max_tokens);
        let reservation = self.state.account().reserve(&self.guard.limits, now(), estimate);
        let reservation = reservation.map_err(|exhausted| {
            let kind = Kind::Budget { after: exhausted.after };
            Error::new(kind, exhausted.to_string()).at(self.model.provider(), None)
        })?;
        let (state, guard) = (Arc::clone(&self.state), Arc::clone(&self.guard));
        Ok(Call { state, guard, reservation, estimate, probe: None, _place: place })
    }

    /// Waits for what the provider asked for, or says that it is being left alone.
    async fn admit(&self, call: &mut Call) -> Result<(), Error> {
        loop {
            let admission = self.state.breaker().admit(Instant::now());
            let wait = match admission {
                Admission::Go { probe } => {
                    call.probe = Some(probe);
                    return Ok(());
                }
                Admission::Open(after) => {
                    call.took_nothing();
                    let words = "it failed several times in a row";
                    return Err(Error::new(Kind::Resting { after }, words).at(self.model.provider(), None));
                }
                Admission::Wait(wait) => wait,
            };
            if wait > self.guard.retry.most {
                call.took_nothing();
                let kind = Kind::RateLimited { after: Some(wait) };
                return Err(Error::new(kind, "it asked for a pause").at(self.model.provider(), None));
            }
            sleep(wait + self.guard.retry.base.mul_f64(rand::random::<f64>())).await;
        }
    }

    /// Takes note of a failure, and waits if the call is to be made again.
    async fn again(&self, call: &mut Call, made: u32, error: Error) -> Result<(), Error> {
        call.failed(&error);
        // Once it rests another try of this call would only hide what was wrong.
        let open = self.state.breaker().is_open();
        match self.guard.retry.pause(made, &error.kind, rand::random()).filter(|_| !open) {
            Some(pause) => {
                tracing::debug!(%error, ?pause, made, "a call is made again");
                sleep(pause).await;
                Ok(())
            }
            None => {
                if error.kind != Kind::Timeout && !matches!(error.kind, Kind::Malformed | Kind::Refused) {
                    call.took_nothing();
                }
                Err(error)
            }
        }
    }
}

/// A call under way. Dropped, its probe goes back; its estimate stays spent, as the provider may have worked.
struct Call {
    state: Arc<State>,
    guard: Arc<Guard>,
    reservation: Reservation,
    estimate: Usage,
    /// Set while an outcome is awaited: whether it is the breaker's probe.
    probe: Option<bool>,
    _place: OwnedSemaphorePermit,
}

impl Call {
    fn answered(&mut self, usage: Option<Usage>) {
        self.probe = None;
        self.state.breaker().succeeded();
        let used = usage.unwrap_or(self.estimate);
        self.state.account().settle(&self.guard.limits, now(), self.reservation, used);
    }

    fn failed(&mut self, error: &Error) {
        let Some(probe) = self.probe.take() else { return };
        let mut breaker = self.state.breaker();
        match error.kind {
            Kind::RateLimited { after: Some(after) } => breaker.told(Instant::now(), after),
            Kind::Unavailable { .. } | Kind::Timeout => breaker.failed(Instant::now(), probe),
            _ => breaker.succeeded(),
        }
    }

    fn took_nothing(&self) {
        self.state.account().release(&self.guard.limits, now(), self.reservation);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(probe) = self.probe {
            self.state.breaker().dropped(Instant::now(), probe);
        }
    }
}

#[async_trait]
impl<M: Model> Model for Guarded<M> {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    fn model(&self) -> &str {
        self.model.model()
    }

    async fn complete(&self, request: &Request) -> Result<Response, Error> {
        let mut call = self.enter(request).await?;
        let mut made = 0;
        loop {
            made += 1;
            self.admit(&mut call).await?;
            match self.model.complete(request).await {
                Ok(response) => {
                    call.answered(response.usage);
                    return Ok(response);
                }
                Err(error) => self.again(&mut call, made, error).await?,
            }
        }
    }

    async fn stream(&self, request: &Request) -> Result<Events, Error> {
        let mut call = self.enter(request).await?;
        let mut made = 0;
        loop {
            made += 1;
            self.admit(&mut call).await?;
            let begun = match self.model.stream(request).await {
                // The first piece belongs to the beginning: until it is there nothing is lost by another try.
                Ok(mut events) => match events.next().await {
                    Some(Ok(first)) => Ok((first, events)),
                    Some(Err(error)) => Err(error),
                    None => Err(Error::cut().at(self.provider(), None)),
                },
                Err(error) => Err(error),
            };
            match begun {
                Ok((first, rest)) => return Ok(watched(call, first, rest)),
                Err(error) => self.again(&mut call, made, error).await?,
            }
        }
    }
}

/// The stream, with its call's outcome noted when it is known.
fn watched(call: Call, first: Event, rest: Events) -> Events {
    let events = futures::stream::once(async { Ok(first) }).chain(rest);
    let state = (Box::pin(events), call, Partial::default());
    let events = futures::stream::unfold(state, |(mut events, mut call, mut partial)| async move {
        let event = events.next().await?;
        match &event {
            Ok(piece) => {
                partial.push(piece);
                if matches!(piece, Event::End(_)) {
                    call.answered(partial.usage());
                }
            }
            Err(error) => call.failed(error),
        }
        Some((event, (events, call, partial)))
    });
    events.boxed()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
