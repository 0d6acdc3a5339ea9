//! Asks a model, each question once: the answer is looked up before, and kept before anybody hears of it.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use asya_analysis::{Finding, Lifecycle, message::Explanation};
use asya_llm::{Error, Guarded, Kind, Model, budget::Account, cache::Key, prompt::Templates};
use asya_store::{Expect, Store, Write};
use asya_telemetry::ActorMetrics;
use bytes::Bytes;
use tokio::{
    sync::{OnceCell, Semaphore},
    task::JoinHandle,
};

use super::{
    answers::{Answers, Claim},
    names::Names,
    question::Question,
    settings::{self, Settings},
};
use crate::{
    actor::ActError,
    analysis::findings::{self, FINDINGS},
};

/// What the budget's window has taken.
const BUDGET: &str = "analysis_budget";
const ACCOUNT: &str = "account";
/// Questions that are being asked or wait for their place at the model. What is beyond is asked later.
const ASKING: usize = 16;
/// How long nothing is asked after an answer that says that settings are wrong: one call a minute tells when they are not.
const WRONG: Duration = Duration::from_secs(60);
/// Tries to keep an answer; it has been paid for.
const KEEPING: u32 = 3;
const KEEPING_PAUSE: Duration = Duration::from_secs(2);

/// What became of a question.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is answered, and the answer is kept.
    Answered(Explanation),
    /// The model does not answer now.
    Away,
    /// The model does not answer this.
    Unanswerable,
    /// Somebody else is asking it.
    Elsewhere,
}

/// Who asks. Shared by the actor and by what is explained later.
pub(super) struct Asker {
    store: Arc<dyn Store>,
    pub(super) answers: Answers,
    names: Names,
    templates: Templates,
    language: String,
    settings: asya_llm::Settings,
    /// As settings say it, for keys and metrics.
    provider: String,
    model_name: String,
    model: OnceCell<Guarded<Box<dyn Model>>>,
    places: Arc<Semaphore>,
    /// Nothing is asked until then.
    rests: Mutex<Option<Instant>>,
    pub(super) metrics: OnceLock<ActorMetrics>,
}

impl Asker {
    /// Somebody who asks the model of the settings; `None`: they name none.
    ///
    /// # Errors
    /// A sentence: a file, a certificate or a place that cannot be used.
    pub(super) fn new(store: Arc<dyn Store>, settings: &Settings) -> Result<Option<Self>, String> {
        let Some(model) = &settings.model else { return Ok(None) };
        let built = model.build(Account::default())?;
        let answers = Answers::new(store.clone(), settings.keep);
        #[cfg(feature = "objects")]
        let answers = {
            let open = |place| super::objects::Objects::open(place, &settings.prefix);
            answers.within(settings.cache.as_ref().map(open).transpose()?)
        };
        Ok(Some(Self {
            answers,
            names: Names::new(store.clone(), settings.secret.clone()),
            store,
            templates: settings::templates(settings.prompts.as_deref())?,
            language: settings.language.clone(),
            provider: built.provider().to_owned(),
            model_name: built.model().to_owned(),
            settings: model.clone(),
            model: OnceCell::new(),
            places: Arc::new(Semaphore::new(ASKING)),
            rests: Mutex::default(),
            metrics: OnceLock::new(),
        }))
    }

    /// The key that an answer about this finding is kept under.
    pub(super) fn key(&self, finding: &Finding) -> String {
        let template = self.templates.version("", &finding.object.kind.kind);
        Key {
            fingerprint: &finding.fingerprint,
            provider: &self.provider,
            model: &self.model_name,
            language: &self.language,
            template: &template,
        }
        .hash()
    }

    /// Whether the finding still is what it was. Where the findings are in another database nobody knows better.
    pub(super) async fn stands(&self, key: &str, finding: &Finding) -> Result<bool, ActError> {
        let Some(record) = self.store.get(FINDINGS, key).await? else { return Ok(true) };
        let Ok(kept) = serde_json::from_slice::<findings::Kept>(&record.value) else { return Ok(true) };
        let now = kept.finding;
        Ok(now.lifecycle != Lifecycle::Resolved && now.fingerprint == finding.fingerprint)
    }

    /// Begins to ask, unless the model rests or too much is being asked already. What was begun goes on when nobody waits
    /// for it any more: its answer is kept.
    pub(super) fn begin(self: &Arc<Self>, finding: Finding) -> Option<JoinHandle<Outcome>> {
        if self.is_resting() {
            return None;
        }
        let place = self.places.clone().try_acquire_owned().ok()?;
        let asker = self.clone();
        Some(tokio::spawn(async move {
            let _place = place;
            asker.ask(&finding).await.unwrap_or_else(|error| {
                tracing::warn!(%error, object = %finding.object, "not explained now, trying again later");
                Outcome::Away
            })
        }))
    }

    /// Whether nothing is asked just now.
    pub(super) fn is_resting(&self) -> bool {
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        rests.is_some_and(|until| until > Instant::now())
    }

    async fn ask(&self, finding: &Finding) -> Result<Outcome, ActError> {
        let hash = self.key(finding);
        let Some(mut claim) = self.answers.claim(&hash).await? else { return Ok(Outcome::Elsewhere) };
        // Answered since it was looked up, by whoever had the claim before.
        let outcome = match self.answers.get(&hash).await {
            Ok(Some(answer)) => Ok(Outcome::Answered(answer)),
            Ok(None) => self.call(finding, &hash, &mut claim).await,
            Err(error) => Err(error),
        };
        let account = self.model.get().map(|model| account(&model.account()));
        self.answers.release(claim, account.into_iter().collect()).await?;
        outcome
    }

    async fn call(&self, finding: &Finding, hash: &str, claim: &mut Claim) -> Result<Outcome, ActError> {
        let masker = self.names.of(&finding.cluster).await?;
        let question = match Question::new(finding, &self.templates, &masker, &self.language) {
            Ok(question) => question,
            Err(error) => return Err(ActError::Unfit(error.to_string())),
        };
        let model = self.model().await?;
        let answer = {
            let mut asked = std::pin::pin!(model.complete(&question.prompt.request));
            loop {
                tokio::select! {
                    answer = &mut asked => break answer,
                    () = tokio::time::sleep(Claim::RENEW) => self.answers.renew(claim).await?,
                }
            }
        };
        let response = match answer {
            Ok(response) => {
                // It answers: what it asked for in the meantime the guard keeps to by itself.
                *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = None;
                response
            }
            Err(error) => return Ok(self.failed(finding, &error)),
        };
        let Some(explanation) = question.answered(&response, &self.provider, &self.model_name) else {
            self.count("empty");
            return Ok(Outcome::Unanswerable);
        };
        if !explanation.invented.is_empty() {
            tracing::info!(object = %finding.object, invented = ?explanation.invented, "the answer cites what does not exist");
        }
        let mut tries = 0;
        while let Err(error) = self.answers.put(hash, &explanation).await {
            tries += 1;
            if tries == KEEPING {
                return Err(error);
            }
            tokio::time::sleep(KEEPING_PAUSE).await;
        }
        self.count("answered");
        Ok(Outcome::Answered(explanation))
    }

    /// The model, going on with what its window had taken.
    async fn model(&self) -> Result<&Guarded<Box<dyn Model>>, ActError> {
        let begin = async || {
            let record = self.store.get(BUDGET, ACCOUNT).await?;
            let account = record.and_then(|record| serde_json::from_slice(&record.value).ok());
            self.settings.build(account.unwrap_or_default()).map_err(ActError::Unfit)
        };
        self.model.get_or_try_init(begin).await
    }

    fn failed(&self, finding: &Finding, error: &Error) -> Outcome {
        self.count(error.kind.code());
        tracing::info!(object = %finding.object, %error, next = error.kind.next_step(), "not explained now");
        let pause = match &error.kind {
            Kind::Auth | Kind::Quota | Kind::BadRequest => Some(WRONG),
            kind => kind.after(),
        };
        if let Some(until) = pause.and_then(|pause| Instant::now().checked_add(pause)) {
            let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
            *rests = Some(rests.map_or(until, |before| before.max(until)));
        }
        match error.kind {
            Kind::TooLong | Kind::Refused | Kind::Malformed | Kind::NotRecorded { .. } => {
                Outcome::Unanswerable
            }
            _ => Outcome::Away,
        }
    }

    /// Counts what became of an explanation.
    pub(super) fn count(&self, result: &'static str) {
        if let Some(metrics) = self.metrics.get() {
            metrics.explained(&self.provider, result);
        }
    }
}

fn account(account: &Account) -> Write {
    let value = serde_json::to_vec(account).ok().map(Bytes::from);
    Write { table: BUDGET, key: ACCOUNT.to_owned(), value, expect: Expect::Anything }
}
