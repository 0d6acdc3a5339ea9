//! The store itself: a choice of two databases behind one set of operations.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    AuditEntry, Cancelled, Changes, Claimed, Counts, Creation, Cursor, Ended, Ending, Filter, Follow,
    Migrated, NewChild, NewEnvelope, Offspring, OutboxDepth, Page, Report, Reported, StoreOptions, Summary,
    Tracked, Update, Within, children, create, ending, follow, hub::Hub, list, outbox, progress, tracked,
    update,
};
#[cfg(feature = "postgres")]
use crate::postgres;
use crate::{Store, StoreError, sqlite};

/// The gateway's store. Clones share it.
///
/// Operations are single transactions: one that fails has changed nothing. A future that is dropped before it has
/// answered may or may not have taken effect; every operation may be repeated. Times before the microsecond are cut.
#[derive(Clone, Debug)]
pub struct EnvelopeStore {
    database: Database,
    hub: Arc<Hub>,
}

#[derive(Clone, Debug)]
enum Database {
    Sqlite(Arc<sqlite::database::Database>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<postgres::database::Database>),
}

/// What a store's URL says.
enum Url<'a> {
    Sqlite(&'a Path),
    #[cfg(feature = "postgres")]
    Postgres(&'a str),
}

/// How often a transaction that gave way to others is done again: two that meet once rarely meet twice.
#[cfg(feature = "postgres")]
pub(super) const TRIES: u32 = 5;

/// Does `$work` in a transaction.
macro_rules! write {
    ($store:ident, |$session:ident| $work:expr) => {
        match &$store.database {
            Database::Sqlite(database) => {
                database.write(move |$session| sqlite::database::at_once($work)).await
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(database) => {
                let mut tries = 1;
                loop {
                    let mut session = database.begin().await?;
                    let $session = &mut session;
                    let result = $work.await;
                    match session.end(result).await {
                        Err(StoreError::Contended(_)) if tries < $crate::envelopes::store::TRIES => {
                            tries += 1
                        }
                        ended => break ended,
                    }
                }
            }
        }
    };
}

/// Does `$work`, which only reads: no transaction, and beside writers.
macro_rules! read {
    ($store:ident, |$session:ident| $work:expr) => {
        match &$store.database {
            Database::Sqlite(database) => {
                database.read(move |$session| sqlite::database::at_once($work)).await
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(database) => {
                let mut session = database.look().await?;
                let $session = &mut session;
                $work.await
            }
        }
    };
}

mod chats;
mod keeping;
mod operations;

impl EnvelopeStore {
    /// Opens the store that `url` names: `postgres://…` or `postgresql://…`, else a SQLite file as `sqlite:PATH` or
    /// its plain path, which is made if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a wrong URL, a file of another program or a schema of a newer version;
    /// [`StoreError::Unavailable`] when the database cannot be reached now.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let hub = Hub::new();
        let database = match parse(url)? {
            Url::Sqlite(path) => {
                let database = sqlite::database::Database::open(path, options, hub.clone()).await?;
                Database::Sqlite(Arc::new(database))
            }
            #[cfg(feature = "postgres")]
            Url::Postgres(url) => {
                let database = postgres::database::Database::open(url, options, hub.clone()).await?;
                Database::Postgres(Arc::new(database))
            }
        };
        Ok(Self { database, hub })
    }

    /// Brings the schema of the database at `url` to this version, taking over tables of the Go system with their
    /// data. One at a time: others wait.
    ///
    /// # Errors
    /// As [`EnvelopeStore::open`]. After an error the schema is as it was.
    pub async fn migrate(url: &str, options: StoreOptions) -> Result<Migrated, StoreError> {
        match parse(url)? {
            Url::Sqlite(path) => sqlite::database::Database::migrate(path, options).await,
            #[cfg(feature = "postgres")]
            Url::Postgres(url) => postgres::database::Database::migrate(url, options).await,
        }
    }

    /// Which database this is, for logs: `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match &self.database {
            Database::Sqlite(_) => "sqlite",
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => "postgres",
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        read!(self, |session| list::ping(session))
    }

    /// The records in the same database, for actors that keep state.
    pub fn records(&self) -> Arc<dyn Store> {
        match &self.database {
            Database::Sqlite(database) => database.clone(),
            #[cfg(feature = "postgres")]
            Database::Postgres(database) => database.clone(),
        }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    // -- envelopes --

    /// Stores an envelope and the message to publish, together. An id that is known changes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create(&self, new: &NewEnvelope, now: Timestamp) -> Result<Creation, StoreError> {
        self.create_by(new, None, now).await
    }

    /// As [`EnvelopeStore::create`], with an entry of the audit log in the same transaction; none where the id was
    /// known.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create_by(
        &self,
        new: &NewEnvelope,
        by: Option<AuditEntry>,
        now: Timestamp,
    ) -> Result<Creation, StoreError> {
        let (new, now) = (new.clone(), cut(now));
        let by = by.map(|entry| AuditEntry { at: cut(entry.at), ..entry });
        let created = write!(self, |session| create::create(session, &new, by.as_ref(), now));
        if matches!(created, Ok(Creation::Created)) {
            self.hub.sendable();
        }
        created
    }

    /// Stores a fan-out child that its sidecar has sent. An id that is known changes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn add_child(&self, new: &NewChild, now: Timestamp) -> Result<Creation, StoreError> {
        let (new, now) = (new.clone(), cut(now));
        write!(self, |session| create::add_child(session, &new, now))
    }

    /// Stores fan-out children of envelopes that are known here, and with `within` only of those; answers how many of them
    /// are known then. Ids that are known, and others' children, change nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn add_children(
        &self,
        new: &[NewChild],
        within: Option<&Within>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let (new, within, now) = (new.to_vec(), within.cloned(), cut(now));
        write!(self, |session| children::add(session, &new, within.as_ref(), now))
    }

    /// One envelope, whole.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get(&self, id: &str) -> Result<Option<Tracked>, StoreError> {
        let id = id.to_owned();
        read!(self, |session| tracked::get(session, &id))
    }

    /// One envelope without what may be large: for "is it active" ([`Summary::is_active`]).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn summary(&self, id: &str) -> Result<Option<Summary>, StoreError> {
        let id = id.to_owned();
        read!(self, |session| tracked::glance(session, &id))
    }

    /// Envelopes that fit `filter`, newest first, behind `after`; at most `limit`, and [`MAX_PAGE`](super::MAX_PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        read!(self, |session| list::list(session, &filter, after.as_ref(), limit))
    }

    /// How the database would carry out a list, in its own words: for whoever wonders why one is slow.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn explain(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<String, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        read!(self, |session| list::explain(session, &filter, after.as_ref(), limit))
    }

    /// How many envelopes are in each state.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        read!(self, |session| list::counts(session, None))
    }

    /// How many children of an envelope are in each state.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn children(&self, parent: &str) -> Result<Counts, StoreError> {
        let parent = parent.to_owned();
        read!(self, |session| list::counts(session, Some(&parent)))
    }

    // -- what happens to them --

    /// Applies a sidecar's report.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn report(&self, id: &str, report: &Report, now: Timestamp) -> Result<Reported, StoreError> {
        let (id, report, now) = (id.to_owned(), report.clone(), cut(now));
        write!(self, |session| progress::report(session, &id, &report, now))
    }

    /// Ends an envelope, unless it has ended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end(&self, id: &str, ending: &Ending, now: Timestamp) -> Result<Ended, StoreError> {
        self.end_part(id, ending, &Offspring::default(), now).await
    }

    /// Ends an envelope's own part: one that succeeds and has open children goes on until the last of them has ended,
    /// and fails with the code [`codes::CHILDREN`](super::codes::CHILDREN) if one of them does.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end_part(
        &self,
        id: &str,
        ending: &Ending,
        offspring: &Offspring,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        let (id, ending, offspring, now) = (id.to_owned(), ending.clone(), offspring.clone(), cut(now));
        write!(self, |session| ending::end(session, &id, &ending, &offspring, now))
    }

    /// Cancels an envelope and its descendants that have not ended: they fail with the code
    /// [`codes::CANCELLED`](super::codes::CANCELLED). `why` may be empty.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn cancel(&self, id: &str, why: &str, now: Timestamp) -> Result<Cancelled, StoreError> {
        let (id, why, now) = (id.to_owned(), why.to_owned(), cut(now));
        write!(self, |session| ending::cancel(session, &id, &why, now))
    }

    /// Ends up to `limit` envelopes whose deadline has passed, and answers their ids: each to one of several replicas.
    /// Call it again at once when it answers `limit` of them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let now = cut(now);
        write!(self, |session| ending::sweep(session, now, limit))
    }

    // -- watching --

    /// The updates of an envelope with numbers above `after`, in order; at most `limit`. No update with a smaller
    /// number appears later.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn updates_since(&self, id: &str, after: i64, limit: usize) -> Result<Vec<Update>, StoreError> {
        let id = id.to_owned();
        read!(self, |session| update::since(session, &id, after, limit))
    }

    /// Waits until an envelope has ended, and answers how; `None`: there is no such envelope. Cancel safe.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn ended(&self, id: &str) -> Result<Option<Summary>, StoreError> {
        follow::ended(self, id).await
    }

    /// Follows one envelope from the update behind number `after` (0: from the first) to its end.
    pub fn follow(&self, id: &str, after: i64) -> Follow {
        Follow::new(self.clone(), id, after)
    }

    /// Changes of all envelopes, of every replica. They say which, not what; one may be lost when a connection breaks.
    pub fn changes(&self) -> Changes {
        self.hub.watch_all()
    }

    // -- outbox --

    /// Takes up to `limit` outbox entries that are ready, until `now + lease`: each goes to one claimant. Those of
    /// pending envelopes are running from then on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let now = cut(now);
        write!(self, |session| outbox::claim(session, now, lease, limit))
    }

    /// Frees what a gateway before this one had in hand, and what it let wait, when nobody else can be at it: in a file
    /// of SQLite, which one gateway has for itself. Elsewhere claims run out. Call it once, before the first claim.
    /// Answers how many entries became ready.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take_over(&self, now: Timestamp) -> Result<u64, StoreError> {
        let now = cut(now);
        match &self.database {
            Database::Sqlite(database) => {
                database.write(move |session| sqlite::database::at_once(outbox::free(session, now))).await
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => Ok(0),
        }
    }

    /// Deletes entries that are published: once the broker has confirmed them, not before. Answers how many; fewer
    /// than given when a claim had run out and somebody else has the entry.
    ///
    /// # Errors
    /// Those of the store: the entries are published again then.
    pub async fn confirm(&self, published: &[Claimed]) -> Result<u64, StoreError> {
        let published = published.to_vec();
        write!(self, |session| outbox::confirm(session, &published))
    }

    /// Deletes entries that are published, and takes up to `limit` that are ready, until `now + lease`:
    /// [`EnvelopeStore::confirm`] and [`EnvelopeStore::claim`] at the price of one transaction.
    ///
    /// # Errors
    /// Those of the store: what is published is to be handed over again then.
    pub async fn exchange(
        &self,
        published: &[Claimed],
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let (published, now) = (published.to_vec(), cut(now));
        write!(self, |session| outbox::exchange(session, &published, now, lease, limit))
    }

    /// Gives an entry back that could not be published, to be claimed again at `until`.
    ///
    /// # Errors
    /// Those of the store: it is ready again when its claim runs out then.
    pub async fn postpone(&self, entry: &Claimed, why: &str, until: Timestamp) -> Result<(), StoreError> {
        let (entry, why, until) = (entry.clone(), why.to_owned(), cut(until));
        write!(self, |session| outbox::postpone(session, &entry, &why, until))
    }

    /// Gives an entry up: its envelope fails with "failed to send envelope: …".
    ///
    /// # Errors
    /// Those of the store.
    pub async fn abandon(&self, entry: &Claimed, why: &str, now: Timestamp) -> Result<(), StoreError> {
        let (entry, why, now) = (entry.clone(), why.to_owned(), cut(now));
        write!(self, |session| outbox::abandon(session, &entry, &why, now))
    }

    /// How full the outbox is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn outbox_depth(&self) -> Result<OutboxDepth, StoreError> {
        read!(self, |session| outbox::depth(session))
    }

    /// When the next outbox entry is ready, this replica's or another's; `None` if there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next_ready(&self) -> Result<Option<Timestamp>, StoreError> {
        read!(self, |session| outbox::next_ready(session))
    }

    /// Returns when this process has stored an outbox entry since the last call. A hint: look at the outbox every few
    /// seconds besides, for entries of other replicas and claims that ran out. Cancel safe; for one waiter.
    pub async fn sendable(&self) {
        self.hub.wait_sendable().await;
    }
}

fn parse(url: &str) -> Result<Url<'_>, StoreError> {
    match url.split_once(':') {
        #[cfg(feature = "postgres")]
        Some(("postgres" | "postgresql", _)) => Ok(Url::Postgres(url)),
        Some(("sqlite", path)) => {
            // sqlite:PATH, sqlite://PATH as others write it; sqlite:///PATH is an absolute one.
            Ok(Url::Sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))))
        }
        Some((scheme, rest)) if rest.starts_with("//") => Err(StoreError::Refused(format!(
            "no database is called {scheme:?}: use postgres://USER:PASSWORD@HOST/DATABASE or a file's path"
        ))),
        _ if url.is_empty() => Err(StoreError::Refused("the database's URL is empty".to_owned())),
        _ => Ok(Url::Sqlite(Path::new(url))),
    }
}

/// Microseconds are what both databases keep.
fn cut(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
