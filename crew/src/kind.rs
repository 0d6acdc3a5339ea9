//! The actors by name, as manifests and the command line say them.

/// What a manifest's handler begins with when it is one of these actors and no Python.
pub const HANDLER_PREFIX: &str = "asya_crew.";

/// One of the shipped actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Records what succeeded.
    HappyEnd,
    /// Records what failed.
    ErrorEnd,
    /// Joins the parts of a fan-out.
    FanIn,
    /// Sends envelopes when it is time.
    Schedule,
    /// Keeps envelopes until an event comes.
    Park,
    /// Calls an HTTP endpoint.
    HttpCall,
    /// Watches a cluster and sends what has to be looked at.
    K8sWatch,
    /// Looks at an object of a cluster.
    K8sAnalyze,
    /// Asks custom analyzers over gRPC.
    Custom,
    /// Keeps what is wrong in a cluster, until it is healed.
    Findings,
    /// Writes what is wrong as objects that kubectl shows.
    Results,
    /// Has a model explain what is wrong.
    Explain,
    /// Has a model propose changes that mend, and applies those that are approved.
    Remedy,
    /// Tells what breaks and what heals.
    Notify,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::HappyEnd,
        Self::ErrorEnd,
        Self::FanIn,
        Self::Schedule,
        Self::Park,
        Self::HttpCall,
        Self::K8sWatch,
        Self::K8sAnalyze,
        Self::Custom,
        Self::Findings,
        Self::Results,
        Self::Explain,
        Self::Remedy,
        Self::Notify,
    ];

    /// Its name on the command line, and that of its actor unless another is given.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HappyEnd => "happy-end",
            Self::ErrorEnd => "error-end",
            Self::FanIn => "fan-in",
            Self::Schedule => "schedule",
            Self::Park => "park",
            Self::HttpCall => "http-call",
            Self::K8sWatch => "k8s-watch",
            Self::K8sAnalyze => "k8s-analyze",
            Self::Custom => "custom",
            Self::Findings => "findings",
            Self::Results => "results",
            Self::Explain => "explain",
            Self::Remedy => "remedy",
            Self::Notify => "notify",
        }
    }

    /// The actor of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The actor that a manifest's handler names, such as `asya_crew.happy_end`.
    pub fn of_handler(handler: &str) -> Option<Self> {
        let name = handler.strip_prefix(HANDLER_PREFIX)?;
        Self::ALL.into_iter().find(|kind| kind.as_str().replace('-', "_") == name)
    }
}
