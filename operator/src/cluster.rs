//! What the API server, the installed KEDA and an actor's namespace can do.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    core::PartialObjectMeta,
};

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

/// What the API server and KEDA can do, for all namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// See [`Cluster::native_sidecars`].
    pub native_sidecars: bool,
    /// See [`Cluster::keda`].
    pub keda: Keda,
}

/// First Kubernetes whose init containers may be sidecars by default.
const NATIVE_SIDECARS: (u16, u16) = (1, 29);
/// The CRD whose labels tell KEDA's version.
const KEDA_CRD: &str = "scaledobjects.keda.sh";
const VERSION_LABEL: &str = "app.kubernetes.io/version";

impl Facts {
    /// Asks the API server. `keda` says whether its resources exist.
    ///
    /// # Errors
    /// What the server said.
    pub async fn read(client: &Client, keda: bool) -> kube::Result<Self> {
        let version = client.apiserver_version().await?;
        Ok(Self {
            native_sidecars: native_sidecars(&version.major, &version.minor),
            keda: if keda { keda_version(client).await } else { Keda::Missing },
        })
    }
}

/// A server whose version cannot be told gets what every server takes.
fn native_sidecars(major: &str, minor: &str) -> bool {
    numbers(&format!("{major}.{minor}")).is_some_and(|server| server >= NATIVE_SIDECARS)
}

/// Charts and release files of KEDA label its CRDs with the version.
async fn keda_version(client: &Client) -> Keda {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client.clone(), &resource);
    let labels = match api.get(KEDA_CRD).await {
        Ok(crd) => crd.metadata.labels.unwrap_or_default(),
        Err(error) => {
            tracing::info!(%error, "cannot tell KEDA's version");
            return Keda::Unknown;
        }
    };
    labels
        .get(VERSION_LABEL)
        .and_then(|text| numbers(text))
        .map_or(Keda::Unknown, |(major, minor)| Keda::Version(major, minor))
}

/// Major and minor of `2.18.1`, `v1.33` or `1.29+`.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.trim_start_matches('v').split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_spelling_are_read() {
        assert_eq!(numbers("2.18.1"), Some((2, 18)));
        assert_eq!(numbers("v1.33"), Some((1, 33)));
        assert_eq!(numbers("1.29+"), Some((1, 29)));
        assert_eq!(numbers("main"), None);
    }

    #[test]
    fn init_containers_are_sidecars_from_1_29_on_and_nowhere_by_guess() {
        for (major, minor) in [("1", "29"), ("1", "29+"), ("1", "36"), ("2", "0")] {
            assert!(native_sidecars(major, minor), "{major}.{minor}");
        }
        for (major, minor) in [("1", "28"), ("1", "28+"), ("1", "9"), ("", ""), ("1", "")] {
            assert!(!native_sidecars(major, minor), "{major}.{minor}");
        }
    }
}
