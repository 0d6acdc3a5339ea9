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
    /// Gets pages for a model.
    HttpGet,
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
    /// Has somebody decide whether an envelope goes on.
    Approval,
    /// Changes objects of a cluster, each time with approval.
    K8sWrite,
    /// Looks at releases of Helm, and changes them with approval.
    Helm,
    /// Has a model talk with somebody, and calls tools for it.
    Agent,
    /// Reads a cluster for a model.
    K8sRead,
    /// Looks for what is broken in a cluster, for a model.
    Analyze,
    /// Calls tools of an MCP server.
    Mcp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::HappyEnd,
        Self::ErrorEnd,
        Self::FanIn,
        Self::Schedule,
        Self::Park,
        Self::HttpCall,
        Self::HttpGet,
        Self::K8sWatch,
        Self::K8sAnalyze,
        Self::Custom,
        Self::Findings,
        Self::Results,
        Self::Explain,
        Self::Remedy,
        Self::Notify,
        Self::Approval,
        Self::K8sWrite,
        Self::Helm,
        Self::Agent,
        Self::K8sRead,
        Self::Analyze,
        Self::Mcp,
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
            Self::HttpGet => "http-get",
            Self::K8sWatch => "k8s-watch",
            Self::K8sAnalyze => "k8s-analyze",
            Self::Custom => "custom",
            Self::Findings => "findings",
            Self::Results => "results",
            Self::Explain => "explain",
            Self::Remedy => "remedy",
            Self::Notify => "notify",
            Self::Approval => "approval",
            Self::K8sWrite => "k8s-write",
            Self::Helm => "helm",
            Self::Agent => "agent",
            Self::K8sRead => "k8s-read",
            Self::Analyze => "analyze",
            Self::Mcp => "mcp-call",
        }
    }

    /// The actor of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The handler that names it in a manifest, such as `asya_crew.happy_end`.
    pub fn handler(self) -> String {
        match self {
            // Beside `k8s_analyze`, which looks at an object.
            Self::Analyze => format!("{HANDLER_PREFIX}analyze_cluster"),
            kind => format!("{HANDLER_PREFIX}{}", kind.as_str().replace('-', "_")),
        }
    }

    /// The actor that a manifest's handler names, such as `asya_crew.happy_end`.
    pub fn of_handler(handler: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.handler() == handler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_its_handler() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_name(kind.as_str()), Some(kind));
            assert_eq!(Kind::of_handler(&kind.handler()), Some(kind));
        }
        assert_eq!(Kind::of_handler("asya_crew.analyze_cluster"), Some(Kind::Analyze));
        assert_eq!(Kind::of_handler("asya_crew.k8s_analyze"), Some(Kind::K8sAnalyze));
        assert_eq!(Kind::of_handler("asya_crew.analyze"), None);
    }
}
