//! Shipped actors from their settings, for the program of their own and for `asya up`.

use std::{path::Path, sync::Arc, time::Duration};

use asya_envelope::Naming;
use asya_handler::Handler;
use asya_settings::units;
use asya_sidecar::wiring::Beside;
use asya_store::Store;

#[cfg(feature = "agents")]
use crate::agent::{self, Agent};
#[cfg(feature = "custom")]
use crate::analysis::custom::{self, Custom};
#[cfg(feature = "explain")]
use crate::analysis::explain::{self, Explain};
#[cfg(feature = "notify")]
use crate::analysis::notify::{self, Notify};
#[cfg(feature = "remedy")]
use crate::analysis::remedy::{self, Remedy};
#[cfg(feature = "results")]
use crate::analysis::results::{self, Results};
#[cfg(feature = "watch")]
use crate::analysis::watch;
#[cfg(feature = "analysis")]
use crate::analysis::{Analyze, Findings, findings, mute::Mute};
#[cfg(feature = "agents")]
use crate::approval::{self, Approval};
#[cfg(feature = "helm")]
use crate::helm;
#[cfg(feature = "http-call")]
use crate::http_call::{self, HttpCall};
#[cfg(feature = "http-call")]
use crate::http_get::{self, HttpGet};
#[cfg(feature = "k8s-write")]
use crate::kube::write;
#[cfg(feature = "kube-tools")]
use crate::kube::{analyze::AnalyzeCluster, looker, read::K8sRead};
#[cfg(feature = "mcp-call")]
use crate::mcp_call::{self, McpCall};
#[cfg(feature = "schedule")]
use crate::schedule::{Clock, Delay, Plan};
use crate::{
    FanIn, InProcess, Kind, Patience, Recorder,
    committed::Committed,
    fan_in,
    park::{self, Park},
};

/// Objects that are looked at at the same time: pure work, so no more than there are processors to be expected.
#[cfg(feature = "analysis")]
const ANALYZING: usize = 4;
/// Observations that are kept at the same time; those of one object exclude each other by the store.
#[cfg(feature = "analysis")]
const KEEPING: usize = 16;
/// How long something must be wrong before anybody is told, unless settings say otherwise: what a pod passes through at
/// its start is over by then.
#[cfg(feature = "analysis")]
const GRACE: Duration = Duration::from_secs(30);

/// Changes that wait for their explanation or are written down for their sinks at the same time.
#[cfg(any(feature = "explain", feature = "notify"))]
const TELLING: usize = 32;

/// Envelopes that park works on at the same time; those of one key exclude each other by the store.
const PARKING: usize = 16;

/// Where settings come from: the environment of a program, or of an actor's manifest.
pub struct Variables<'a> {
    /// The value of a variable.
    pub find: &'a dyn Fn(&str) -> Option<String>,
    /// What names of files are meant from.
    pub base: &'a Path,
}

impl Variables<'_> {
    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        asya_settings::filled((self.find)(name))
    }

    /// The model of `ASYA_LLM_…`, if one is named.
    ///
    /// # Errors
    /// All that is wrong, by the name of its variable.
    #[cfg(feature = "explain")]
    pub fn model(&self) -> Result<Option<asya_llm::Settings>, asya_settings::Errors> {
        self.model_at(None)
    }

    /// The same, asked so many things at the same time where `ASYA_LLM_CONCURRENCY` does not say it.
    ///
    /// # Errors
    /// Those of [`Variables::model`].
    #[cfg(any(feature = "explain", feature = "agents"))]
    pub fn model_at(
        &self,
        concurrency: Option<usize>,
    ) -> Result<Option<asya_llm::Settings>, asya_settings::Errors> {
        let concurrency = concurrency.map(|number| number.to_string());
        // Names of files are meant from the manifest, as everywhere.
        asya_llm::Settings::read(|name| {
            let is_file = name.ends_with("_FILE") || matches!(name, "ASYA_LLM_RECORD" | "ASYA_LLM_REPLAY");
            let unsaid = || concurrency.clone().filter(|_| name == asya_llm::settings::CONCURRENCY);
            let value = self.get(name).or_else(unsaid)?;
            Some(if is_file { self.base.join(value).to_string_lossy().into_owned() } else { value })
        })
    }
}

/// What a shipped actor that is no end actor does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Joins fan-outs.
    FanIn(Patience),
    /// Holds envelopes, and sends these.
    #[cfg(feature = "schedule")]
    Schedule(Vec<Plan>),
    /// Keeps envelopes, for so long unless they say otherwise.
    Park(Duration),
    /// Calls an endpoint.
    #[cfg(feature = "http-call")]
    HttpCall(Box<http_call::Settings>),
    /// Gets pages.
    #[cfg(feature = "http-call")]
    HttpGet(http_get::Settings),
    /// Watches a cluster.
    #[cfg(feature = "watch")]
    K8sWatch(Box<watch::Settings>),
    /// Looks at objects of a cluster.
    #[cfg(feature = "analysis")]
    K8sAnalyze,
    /// Asks custom analyzers.
    #[cfg(feature = "custom")]
    Custom(custom::Settings),
    /// Keeps what is wrong in a cluster; tells nobody before it has been wrong for so long, and never of what is muted.
    #[cfg(feature = "analysis")]
    Findings(Duration, Mute),
    /// Writes what is wrong as objects that kubectl shows.
    #[cfg(feature = "results")]
    Results(results::Settings),
    /// Has a model explain what is wrong.
    #[cfg(feature = "explain")]
    Explain(Box<explain::Settings>),
    /// Has a model propose changes that mend, and applies those that are approved.
    #[cfg(feature = "remedy")]
    Remedy(Box<remedy::Settings>),
    /// Tells what breaks and what heals.
    #[cfg(feature = "notify")]
    Notify(notify::Settings),
    /// Has somebody decide.
    #[cfg(feature = "agents")]
    Approval(Box<approval::Settings>),
    /// Changes objects of a cluster.
    #[cfg(feature = "k8s-write")]
    K8sWrite(Box<write::Settings>),
    /// Looks at and changes releases of Helm.
    #[cfg(feature = "helm")]
    Helm(Box<helm::Settings>),
    /// Has a model talk with somebody.
    #[cfg(feature = "agents")]
    Agent(Box<agent::Settings>),
    /// Reads a cluster for a model.
    #[cfg(feature = "kube-tools")]
    K8sRead(looker::Settings),
    /// Looks for what is broken in a cluster, for a model.
    #[cfg(feature = "kube-tools")]
    Analyze(looker::Settings),
    /// Calls tools of an MCP server.
    #[cfg(feature = "mcp-call")]
    Mcp(Box<mcp_call::Settings>),
}

/// Where an actor's state is.
pub enum State {
    /// In the queue file: its writes are part of the settlement.
    WithQueue(Arc<dyn Store>),
    /// In a database: committed before what follows is sent.
    Apart(Arc<dyn Store>),
    /// Nowhere.
    None,
}

/// Names that an actor has to know.
#[derive(Clone, Debug)]
pub struct Names {
    /// The actor.
    pub actor: String,
    /// How queues are called.
    pub naming: Naming,
    /// Where a route ends.
    pub happy_end: String,
    /// Where failures go.
    pub error_end: String,
}

/// An actor, and its work beside what comes from its queue.
pub type Started = (Arc<dyn Handler>, Option<Beside>);

impl Work {
    /// Reads what an actor is told; `None` for an end actor.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(kind: Kind, variables: &Variables<'_>) -> Result<Option<Self>, Vec<String>> {
        match kind {
            Kind::HappyEnd | Kind::ErrorEnd => Ok(None),
            Kind::FanIn => Patience::read(variables).map(|patience| Some(Self::FanIn(patience))),
            Kind::Park => {
                let timeout = variables.get("ASYA_PARK_TIMEOUT").map(|text| units::duration(&text));
                let timeout = timeout.unwrap_or(Ok(park::DEFAULT_TIMEOUT));
                timeout
                    .map(|timeout| Some(Self::Park(timeout)))
                    .map_err(|error| vec![format!("ASYA_PARK_TIMEOUT: {error}")])
            }
            #[cfg(feature = "schedule")]
            Kind::Schedule => plans(variables).map(|plans| Some(Self::Schedule(plans))),
            #[cfg(feature = "http-call")]
            Kind::HttpCall => {
                http_call::Settings::read(variables).map(|settings| Some(Self::HttpCall(Box::new(settings))))
            }
            #[cfg(feature = "http-call")]
            Kind::HttpGet => {
                http_get::Settings::read(variables).map(|settings| Some(Self::HttpGet(settings)))
            }
            #[cfg(feature = "watch")]
            Kind::K8sWatch => {
                watch::Settings::read(variables).map(|settings| Some(Self::K8sWatch(Box::new(settings))))
            }
            #[cfg(feature = "analysis")]
            Kind::K8sAnalyze => Ok(Some(Self::K8sAnalyze)),
            #[cfg(feature = "custom")]
            Kind::Custom => custom::Settings::read(variables).map(|settings| Some(Self::Custom(settings))),
            #[cfg(feature = "analysis")]
            Kind::Findings => {
                let grace = variables.get("ASYA_FINDINGS_GRACE").map(|text| units::duration(&text));
                let grace =
                    grace.unwrap_or(Ok(GRACE)).map_err(|error| format!("ASYA_FINDINGS_GRACE: {error}"));
                match (grace, Mute::read(variables)) {
                    (Ok(grace), Ok(mute)) => Ok(Some(Self::Findings(grace, mute))),
                    (grace, mute) => {
                        Err(grace.err().into_iter().chain(mute.err().unwrap_or_default()).collect())
                    }
                }
            }
            #[cfg(feature = "results")]
            Kind::Results => results::Settings::read(variables).map(|settings| Some(Self::Results(settings))),
            #[cfg(feature = "explain")]
            Kind::Explain => {
                explain::Settings::read(variables).map(|settings| Some(Self::Explain(Box::new(settings))))
            }
            #[cfg(feature = "remedy")]
            Kind::Remedy => {
                remedy::Settings::read(variables).map(|settings| Some(Self::Remedy(Box::new(settings))))
            }
            #[cfg(feature = "notify")]
            Kind::Notify => notify::Settings::read(variables).map(|settings| Some(Self::Notify(settings))),
            #[cfg(feature = "agents")]
            Kind::Approval => {
                approval::Settings::read(variables).map(|settings| Some(Self::Approval(Box::new(settings))))
            }
            #[cfg(feature = "k8s-write")]
            Kind::K8sWrite => {
                write::Settings::read(variables).map(|settings| Some(Self::K8sWrite(Box::new(settings))))
            }
            #[cfg(feature = "helm")]
            Kind::Helm => {
                helm::Settings::read(variables).map(|settings| Some(Self::Helm(Box::new(settings))))
            }
            #[cfg(feature = "agents")]
            Kind::Agent => {
                agent::Settings::read(variables).map(|settings| Some(Self::Agent(Box::new(settings))))
            }
            #[cfg(feature = "kube-tools")]
            Kind::K8sRead => looker::Settings::read(variables).map(|settings| Some(Self::K8sRead(settings))),
            #[cfg(feature = "kube-tools")]
            Kind::Analyze => looker::Settings::read(variables).map(|settings| Some(Self::Analyze(settings))),
            #[cfg(feature = "mcp-call")]
            Kind::Mcp => {
                mcp_call::Settings::read(variables).map(|settings| Some(Self::Mcp(Box::new(settings))))
            }
            #[cfg(not(all(
                feature = "schedule",
                feature = "http-call",
                feature = "watch",
                feature = "results",
                feature = "custom",
                feature = "explain",
                feature = "remedy",
                feature = "notify",
                feature = "agents",
                feature = "kube-tools",
                feature = "k8s-write",
                feature = "helm",
                feature = "mcp-call"
            )))]
            kind => Err(vec![format!("this program was built without {}", kind.as_str())]),
        }
    }

    /// What it keeps, if it keeps anything.
    pub fn keeps(&self) -> Option<&'static str> {
        match self {
            Self::FanIn(_) => Some("fan-in keeps the parts that have come there"),
            Self::Park(_) => Some("park keeps its envelopes there"),
            #[cfg(feature = "schedule")]
            Self::Schedule(plans) if !plans.is_empty() => Some("schedule keeps there what was sent"),
            #[cfg(feature = "schedule")]
            Self::Schedule(_) => None,
            #[cfg(feature = "http-call")]
            Self::HttpCall(_) => None,
            #[cfg(feature = "http-call")]
            Self::HttpGet(_) => None,
            #[cfg(feature = "watch")]
            Self::K8sWatch(_) => None,
            #[cfg(feature = "analysis")]
            Self::K8sAnalyze => None,
            #[cfg(feature = "custom")]
            Self::Custom(_) => None,
            #[cfg(feature = "analysis")]
            Self::Findings(..) => Some("findings keeps there what is wrong"),
            #[cfg(feature = "results")]
            Self::Results(_) => Some("results reads there what findings and explain keep"),
            #[cfg(feature = "explain")]
            Self::Explain(_) => Some("explain keeps there what is explained and what is not yet"),
            #[cfg(feature = "remedy")]
            Self::Remedy(_) => Some("remedy keeps there what is being mended"),
            #[cfg(feature = "notify")]
            Self::Notify(_) => Some("notify keeps there what is to be told"),
            #[cfg(feature = "agents")]
            Self::Approval(_) | Self::Agent(_) => None,
            #[cfg(feature = "k8s-write")]
            Self::K8sWrite(_) => None,
            #[cfg(feature = "helm")]
            Self::Helm(_) => None,
            #[cfg(feature = "kube-tools")]
            Self::K8sRead(_) | Self::Analyze(_) => None,
            #[cfg(feature = "mcp-call")]
            Self::Mcp(_) => None,
        }
    }

    /// The actor, and its work beside.
    ///
    /// # Errors
    /// A sentence, if it keeps something and there is no place for it, or certificates are not there.
    pub fn start(self, state: State, names: Names) -> Result<Started, String> {
        let store = match &state {
            State::WithQueue(store) | State::Apart(store) => Some(store.clone()),
            State::None => None,
        };
        let with_queue = matches!(state, State::WithQueue(_));
        let why = self.keeps().unwrap_or_default();
        let needed = || store.clone().ok_or_else(|| format!("there is no database, and {why}"));
        match self {
            Self::FanIn(patience) => {
                let store = needed()?;
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(FanIn::new(store.clone(), patience))
                } else {
                    let join = FanIn::recording(store.clone(), Recorder::Nowhere, patience);
                    Arc::new(Committed::new(store.clone(), join, 1))
                };
                let Names { actor, naming, happy_end, error_end } = names;
                let ways = fan_in::sweep::Ways { actor, happy_end, error_end };
                let beside: Beside = Box::new(move |means| {
                    Box::pin(fan_in::Sweeper::new(store, means, naming, ways, patience).run())
                });
                Ok((handler, Some(beside)))
            }
            Self::Park(timeout) => {
                let store = needed()?;
                let park = Park::new(store.clone(), timeout);
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(InProcess::new(park, PARKING))
                } else {
                    Arc::new(Committed::new(store.clone(), park, PARKING))
                };
                let error_end = names.naming.queue(&names.error_end);
                let beside: Beside = Box::new(move |means| {
                    Box::pin(park::Sweeper::new(store, means, names.actor, error_end).run())
                });
                Ok((handler, Some(beside)))
            }
            #[cfg(feature = "schedule")]
            Self::Schedule(plans) if plans.is_empty() => Ok((Arc::new(Delay::new()), None)),
            #[cfg(feature = "schedule")]
            Self::Schedule(plans) => {
                let store = needed()?;
                let beside: Beside = Box::new(move |means| {
                    let clock = Clock::new(store, means.transport, names.naming);
                    Box::pin(async move {
                        futures::future::join_all(plans.into_iter().map(|plan| clock.run(plan))).await;
                    })
                });
                Ok((Arc::new(Delay::new()), Some(beside)))
            }
            #[cfg(feature = "http-call")]
            Self::HttpCall(settings) => Ok((Arc::new(HttpCall::new(*settings)?), None)),
            #[cfg(feature = "http-call")]
            Self::HttpGet(settings) => Ok((Arc::new(HttpGet::new(settings)?), None)),
            #[cfg(feature = "watch")]
            Self::K8sWatch(settings) => {
                let (handler, orders) = watch::Again::handler();
                let beside: Beside =
                    Box::new(move |means| Box::pin(watch::run(*settings, names.naming, means, orders)));
                Ok((Arc::new(handler), Some(beside)))
            }
            #[cfg(feature = "analysis")]
            Self::K8sAnalyze => Ok((Arc::new(Analyze::handler(ANALYZING)), None)),
            #[cfg(feature = "custom")]
            Self::Custom(settings) => {
                let (handler, woken) = Custom::handler();
                let beside: Beside =
                    Box::new(move |means| Box::pin(custom::run(settings, names.naming, means, woken)));
                Ok((Arc::new(handler), Some(beside)))
            }
            #[cfg(feature = "analysis")]
            Self::Findings(grace, mute) => {
                let store = needed()?;
                let findings = Findings::new(store.clone(), grace).muting(mute.clone());
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(InProcess::new(findings, KEEPING))
                } else {
                    Arc::new(Committed::new(store.clone(), findings, KEEPING))
                };
                let beside: Beside = Box::new(move |means| {
                    let sweeper = findings::Sweeper::new(store, means, names.naming, grace).muting(mute);
                    Box::pin(sweeper.run())
                });
                Ok((handler, Some(beside)))
            }
            #[cfg(feature = "results")]
            Self::Results(settings) => {
                let store = needed()?;
                let results = Results::new(store.clone(), settings);
                let resync = results.resync();
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(InProcess::new(results, KEEPING))
                } else {
                    Arc::new(Committed::new(store, results, KEEPING))
                };
                let beside: Beside = Box::new(move |_| Box::pin(resync.run()));
                Ok((handler, Some(beside)))
            }
            #[cfg(feature = "explain")]
            Self::Explain(settings) => {
                let store = needed()?;
                let explain = Explain::new(store.clone(), &settings)?;
                let later = explain.later();
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(InProcess::new(explain, TELLING))
                } else {
                    Arc::new(Committed::new(store, explain, TELLING))
                };
                let beside: Beside = Box::new(move |means| Box::pin(later.run(means, names.naming)));
                Ok((handler, Some(beside)))
            }
            #[cfg(feature = "remedy")]
            Self::Remedy(settings) => {
                let store = needed()?;
                let remedy = Remedy::new(store.clone(), &settings);
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(InProcess::new(remedy, TELLING))
                } else {
                    Arc::new(Committed::new(store.clone(), remedy, TELLING))
                };
                let beside: Beside = Box::new(move |means| Box::pin(remedy::run(store, *settings, means)));
                Ok((handler, Some(beside)))
            }
            #[cfg(feature = "notify")]
            Self::Notify(settings) => {
                let store = needed()?;
                let (notify, senders) = Notify::new(store.clone(), settings)?;
                let handler: Arc<dyn Handler> = if with_queue {
                    Arc::new(InProcess::new(notify, TELLING))
                } else {
                    Arc::new(Committed::new(store, notify, TELLING))
                };
                let beside: Beside = Box::new(move |means| Box::pin(senders.run(means)));
                Ok((handler, Some(beside)))
            }
            #[cfg(feature = "agents")]
            Self::Approval(settings) => Ok((Arc::new(Approval::new(*settings)?), None)),
            #[cfg(feature = "k8s-write")]
            Self::K8sWrite(settings) => Ok((Arc::new(write::Write::handler(*settings)?), None)),
            #[cfg(feature = "helm")]
            Self::Helm(settings) => Ok((Arc::new(helm::Helm::handler(*settings)?), None)),
            #[cfg(feature = "agents")]
            Self::Agent(settings) => {
                let (agent, sessions) = (Agent::new(&names.actor, &settings)?, settings.sessions);
                let counts = agent.counts();
                let beside: Beside = Box::new(move |means| Box::pin(counts.begin(means.metrics)));
                Ok((Arc::new(InProcess::new(agent, sessions)), Some(beside)))
            }
            #[cfg(feature = "kube-tools")]
            Self::K8sRead(settings) => Ok((Arc::new(K8sRead::new(&settings)?), None)),
            #[cfg(feature = "kube-tools")]
            Self::Analyze(settings) => Ok((Arc::new(AnalyzeCluster::new(&settings)?), None)),
            #[cfg(feature = "mcp-call")]
            Self::Mcp(settings) => Ok((Arc::new(McpCall::new(*settings)?), None)),
        }
    }
}

/// The schedules, from the variable or from the file; a schedule actor without any only delays.
#[cfg(feature = "schedule")]
fn plans(variables: &Variables<'_>) -> Result<Vec<Plan>, Vec<String>> {
    let (text, file) = (variables.get("ASYA_SCHEDULES"), variables.get("ASYA_SCHEDULES_FILE"));
    let (name, text) = match (text, file) {
        (Some(_), Some(_)) => {
            return Err(vec![
                "ASYA_SCHEDULES and ASYA_SCHEDULES_FILE: only one of them can count".to_owned(),
            ]);
        }
        (Some(text), None) => ("ASYA_SCHEDULES", Ok(text)),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(variables.base.join(&file));
            ("ASYA_SCHEDULES_FILE", text.map_err(|error| vec![format!("{file}: {error}")]))
        }
        (None, None) => return Ok(Vec::new()),
    };
    let named = |errors: Vec<String>| errors.into_iter().map(|error| format!("{name}: {error}")).collect();
    text.and_then(|text| Plan::parse(&text)).map_err(named)
}
