//! Reads what the analyzers look at, and then what they ask for, until they ask no more.

use std::collections::BTreeSet;
use std::sync::Arc;

use asya_analysis::view::LogTail;
use asya_analysis::{
    Evaluation, GroupKind, Inventory, Lookup, Object, ObjectRef, Selection, Unverified, evaluate,
};
use futures::future::{BoxFuture, FutureExt as _};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use crate::api::{Api, Refusal};
use crate::catalogue::{Catalogue, Served, encode};
use crate::fetch::{Fetch, plan};
use crate::list;
use crate::scope::Scope;

/// How often the analyzers may ask for more. Owners are the longest way, and [`asya_analysis::owner`] ends it at eight.
const ROUNDS: u32 = 16;

/// Lines of a log, from its end: what [`asya_analysis::View::log`] promises at most.
const LOG_LINES: u32 = 100;

/// Most that is read of one log, in bytes: a hundred long lines.
const LOG_BYTES: u32 = 256 * 1024;

/// Reads a cluster for the analyzers of a selection.
pub struct Collector {
    /// The API server.
    pub api: Api,
    /// What it serves.
    pub catalogue: Catalogue,
    /// Which analyzers run.
    pub selection: Selection,
    /// Kinds that somebody named: they are looked at even if they belong to no namespace and the scope is one.
    pub named: BTreeSet<GroupKind>,
    /// Which namespaces are looked at.
    pub scope: Scope,
    /// Labels of the objects that are looked at, as kubectl's `-l` takes them; what they depend on needs none.
    pub labels: String,
    /// Whether Secrets are read. Each takes the right to get it; their values are dropped as soon as they are parsed.
    pub secrets: bool,
    /// Whether logs are read.
    pub logs: bool,
    /// Requests under way at once.
    pub at_once: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// 0 while the objects themselves are read, then how often the analyzers have asked for more.
    pub round: u32,
    /// What was read of the round.
    pub done: usize,
    /// What is read in the round.
    pub total: usize,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What.
    pub fetch: Fetch,
    /// Where; none: everywhere, or what belongs to no namespace, whatever was asked.
    pub namespace: Option<String>,
    /// The verb of the right that it takes.
    pub verb: &'static str,
    /// What it is about, as roles name it: `pods`, `deployments.apps`, `pods/log`.
    pub resource: String,
    /// What the analyzers were told.
    pub why: Unverified,
    /// What the API server said.
    pub said: String,
    /// Whether the API server did not understand the question, as a label selector that is none.
    pub wrong: bool,
    /// Whether these objects themselves were to be looked at: then nobody knows what is wrong with them.
    pub subject: bool,
}

/// What was read, and what the analyzers say of it.
pub struct Collected {
    /// One for each object that was looked at, by kind, namespace and name.
    pub evaluations: Vec<Evaluation>,
    /// What could not be read; kinds that are not installed are not among it.
    pub unread: Vec<Unread>,
    /// Kinds of the selection that this cluster does not serve.
    pub absent: BTreeSet<GroupKind>,
    /// Kinds of the selection that belong to no namespace and were left out because the scope is one.
    pub skipped: BTreeSet<GroupKind>,
    /// Everything that was read.
    pub inventory: Inventory,
    /// How often the analyzers asked for more.
    pub rounds: u32,
}

/// An answer as it is put into an [`Inventory`].
enum Got {
    List(Result<Vec<Object>, Unverified>),
    Object(Lookup<Object>),
    Log(Lookup<String>),
}

impl Collector {
    /// Reads and evaluates once, at `now`. It ends by itself: every request has its time, and [`ROUNDS`] is a bound.
    /// Cancel safe: it only reads.
    pub async fn run(&self, now: Timestamp, progress: &(dyn Fn(Progress) + Sync)) -> Collected {
        let mut collected = Collected {
            evaluations: Vec::new(),
            unread: Vec::new(),
            absent: BTreeSet::new(),
            skipped: BTreeSet::new(),
            inventory: Inventory::new(now),
            rounds: 0,
        };
        if !self.secrets {
            collected.inventory.put_list(&GroupKind::of::<Secret>(), None, Err(Unverified::NotRead));
        }
        let mut done = BTreeSet::new();
        let subjects = self.subjects(&mut collected, &mut done, progress).await;
        let mut evaluations: Vec<Option<Evaluation>> = vec![None; subjects.len()];
        let mut open: Vec<usize> = (0..subjects.len()).collect();
        while !open.is_empty() && collected.rounds < ROUNDS {
            let mut wanted = BTreeSet::new();
            open.retain(|n| {
                evaluations[*n] = Some(evaluate(&subjects[*n], &self.selection, &collected.inventory));
                let mut more = collected.inventory.take_wanted();
                let unanswered = !more.is_empty();
                wanted.append(&mut more);
                unanswered
            });
            let everywhere = matches!(self.scope, Scope::Everywhere { .. });
            let mut fetches = plan(wanted, everywhere);
            fetches = fetches.into_iter().map(|fetch| self.rooted(fetch)).collect();
            fetches.retain(|fetch| !done.contains(fetch));
            if fetches.is_empty() {
                break;
            }
            collected.rounds += 1;
            let round = collected.rounds;
            self.read_all(&fetches, "", |fetch, got, unread, read| {
                collected.take(self, fetch, got, unread, false);
                progress(Progress { round, done: read, total: fetches.len() });
            })
            .await;
            done.extend(fetches);
        }
        collected.evaluations = evaluations.into_iter().flatten().collect();
        collected
    }

    /// Lists what is looked at.
    async fn subjects(
        &self,
        collected: &mut Collected,
        done: &mut BTreeSet<Fetch>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Vec<Arc<Object>> {
        let mut fetches = BTreeSet::new();
        let kinds = self.selection.subjects();
        for kind in &kinds {
            match self.catalogue.find(kind) {
                Ok(served) if served.namespaced => {
                    fetches
                        .extend(self.scope.lists().into_iter().map(|place| Fetch::List(kind.clone(), place)));
                }
                Ok(_) if matches!(self.scope, Scope::Everywhere { .. }) || self.named.contains(kind) => {
                    fetches.insert(Fetch::List(kind.clone(), None));
                }
                Ok(_) => {
                    collected.skipped.insert(kind.clone());
                }
                Err(Unverified::NotInstalled) => {
                    collected.absent.insert(kind.clone());
                }
                // The group's API server does not answer: told as an unread list.
                Err(_) => {
                    fetches.insert(Fetch::List(kind.clone(), None));
                }
            }
        }
        self.read_all(&fetches, &self.labels, |fetch, got, unread, read| {
            collected.take(self, fetch, got, unread, true);
            progress(Progress { round: 0, done: read, total: fetches.len() });
        })
        .await;
        if self.labels.is_empty() {
            done.extend(fetches);
        }
        let objects = kinds.iter().flat_map(|kind| collected.inventory.objects(kind));
        objects.filter(|object| self.scope.contains(object.namespace())).collect()
    }

    /// Lists of what belongs to no namespace have none, whatever was asked.
    fn rooted(&self, fetch: Fetch) -> Fetch {
        match fetch {
            Fetch::List(kind, Some(namespace)) => {
                let namespaced = self.catalogue.find(&kind).is_ok_and(|served| served.namespaced);
                Fetch::List(kind, namespaced.then_some(namespace))
            }
            fetch => fetch,
        }
    }

    async fn read_all(
        &self,
        fetches: &BTreeSet<Fetch>,
        labels: &str,
        mut take: impl FnMut(&Fetch, Got, Option<Unread>, usize),
    ) {
        // Boxed and collected, so that whoever awaits it may do so on any thread: of a closure that makes futures the compiler
        // cannot tell.
        let reads: Vec<BoxFuture<'_, _>> = fetches
            .iter()
            .map(|fetch| async move { (fetch, self.read(fetch, labels).await) }.boxed())
            .collect();
        let mut answers = stream::iter(reads).buffer_unordered(self.at_once.max(1));
        let mut read = 0;
        while let Some((fetch, (got, unread))) = answers.next().await {
            read += 1;
            take(fetch, got, unread, read);
        }
    }

    async fn read(&self, fetch: &Fetch, labels: &str) -> (Got, Option<Unread>) {
        if let Fetch::Log(_) = fetch
            && !self.logs
        {
            return (Got::unverified(fetch, Unverified::NotRead), None);
        }
        let kind = fetch.kind();
        let served = match self.catalogue.find(&kind) {
            Ok(served) => served,
            Err(why) => {
                let said = why.to_string();
                let unread = (why != Unverified::NotInstalled)
                    .then(|| Unread::of(fetch, "list", kind.to_string(), why.clone(), said));
                return (Got::unverified(fetch, why), unread);
            }
        };
        let (verb, part, answer) = match fetch {
            Fetch::List(_, namespace) => {
                let list = list::list(&self.api, served, namespace.as_deref(), labels).await;
                ("list", "", list.map(|objects| Got::List(Ok(objects))))
            }
            Fetch::Object(object) => ("get", "", self.object(served, object).await.map(Got::Object)),
            Fetch::Log(log) => ("get", "/log", self.log(served, log).await.map(Got::Log)),
        };
        match answer {
            Ok(got) => (got, None),
            Err(refusal) => {
                let why = refusal.unverified();
                let name = match part {
                    "" => served.full_name(),
                    part => format!("{}{part}", served.plural),
                };
                let wrong = matches!(refusal, Refusal::Wrong(_));
                let namespace = fetch.namespace().filter(|_| served.namespaced).map(str::to_owned);
                let unread = (why != Unverified::NotInstalled).then(|| Unread {
                    namespace,
                    wrong,
                    ..Unread::of(fetch, verb, name, why.clone(), refusal.to_string())
                });
                (Got::unverified(fetch, why), unread)
            }
        }
    }

    async fn object(&self, served: &Served, object: &ObjectRef) -> Result<Lookup<Object>, Refusal> {
        if served.namespaced && object.namespace.is_none() {
            return Err(Refusal::Wrong(format!("{object} was asked for without its namespace")));
        }
        let path = format!("{}/{}", served.path(object.namespace.as_deref()), encode(&object.name));
        match self.api.json(&path).await {
            Ok(found) => list::object(served, found).map(Lookup::Found),
            Err(Refusal::NotFound { object: true }) => Ok(Lookup::NotFound),
            Err(refusal) => Err(refusal),
        }
    }

    async fn log(&self, served: &Served, log: &LogTail) -> Result<Lookup<String>, Refusal> {
        let LogTail { namespace, pod, container, previous } = log;
        let path = format!(
            "{}/{}/log?container={}&tailLines={LOG_LINES}&limitBytes={LOG_BYTES}{}",
            served.path(Some(namespace)),
            encode(pod),
            encode(container),
            if *previous { "&previous=true" } else { "" }
        );
        match self.api.text(&path).await {
            Ok(text) => Ok(Lookup::Found(text)),
            // "previous terminated container not found", "container is waiting to start": there is no such log.
            Err(Refusal::NotFound { object: true } | Refusal::Wrong(_)) => Ok(Lookup::NotFound),
            Err(refusal) => Err(refusal),
        }
    }
}

impl Collected {
    fn take(
        &mut self,
        collector: &Collector,
        fetch: &Fetch,
        got: Got,
        unread: Option<Unread>,
        subject: bool,
    ) {
        self.unread.extend(unread.map(|unread| Unread { subject, ..unread }));
        match (fetch, got) {
            // A part of a kind, by labels, is not the kind: what is not among it may still be there.
            (Fetch::List(..), Got::List(Ok(objects))) if subject && !collector.labels.is_empty() => {
                objects.iter().for_each(|object| self.inventory.put(object));
            }
            (Fetch::List(..), Got::List(Err(_))) if subject && !collector.labels.is_empty() => {}
            (Fetch::List(kind, _), Got::List(Err(Unverified::NotInstalled))) => {
                self.inventory.put_list(kind, None, Err(Unverified::NotInstalled));
            }
            (Fetch::List(kind, namespace), Got::List(list)) => {
                self.inventory.put_list(kind, namespace.as_deref(), list);
            }
            (Fetch::Object(object), Got::Object(Lookup::Unverified(Unverified::NotInstalled))) => {
                self.inventory.put_list(&object.kind, None, Err(Unverified::NotInstalled));
            }
            (Fetch::Object(object), Got::Object(answer)) => {
                self.inventory.put_single(object.clone(), answer);
            }
            (Fetch::Log(log), Got::Log(answer)) => self.inventory.put_log(log.clone(), answer),
            _ => {}
        }
    }
}

impl Got {
    fn unverified(fetch: &Fetch, why: Unverified) -> Self {
        match fetch {
            Fetch::List(..) => Self::List(Err(why)),
            Fetch::Object(_) => Self::Object(Lookup::Unverified(why)),
            Fetch::Log(_) => Self::Log(Lookup::Unverified(why)),
        }
    }
}

impl Unread {
    fn of(fetch: &Fetch, verb: &'static str, resource: String, why: Unverified, said: String) -> Self {
        let namespace = fetch.namespace().map(str::to_owned);
        Self { fetch: fetch.clone(), namespace, verb, resource, why, said, wrong: false, subject: false }
    }

    /// What it is, in words: `list pods in namespace prod`.
    #[must_use]
    pub fn words(&self) -> String {
        let place = match &self.namespace {
            Some(namespace) => format!(" in namespace {namespace}"),
            None => String::new(),
        };
        format!("{} {}{place}", self.verb, self.resource)
    }
}
