//! What the API server, the installed KEDA and an actor's namespace can do.

/// Facts that desired objects depend on. Read by the controllers, never by pure code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Whether init containers may be sidecars (`restartPolicy: Always`): Kubernetes 1.29 and newer.
    pub native_sidecars: bool,
    /// The KEDA that is installed.
    pub keda: Keda,
    /// Whether the actor's namespace enforces the restricted Pod Security Standard.
    pub restricted: bool,
}

/// The KEDA of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keda {
    /// Its resources do not exist.
    #[default]
    Missing,
    /// They exist; the version could not be told.
    Unknown,
    /// Major and minor version.
    Version(u16, u16),
}

impl Keda {
    /// Whether its resources can be applied.
    pub fn installed(self) -> bool {
        self != Self::Missing
    }

    /// Whether a push scaler can wake actors without putting them to sleep as well: 2.18 and newer.
    pub fn takes_push(self) -> bool {
        matches!(self, Self::Version(major, minor) if (major, minor) >= (2, 18))
    }
}
