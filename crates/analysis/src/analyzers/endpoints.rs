//! What the EndpointSlices of a Service say.

use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::object::ObjectRef;
use crate::selector::Selector;
use crate::view::{Typed, Unverified, View};

/// The label by which an EndpointSlice belongs to a Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The EndpointSlices of a Service.
pub(crate) struct Endpoints(Vec<EndpointSlice>);

/// Something behind a Service: one pod has an endpoint in a slice for each family of addresses and each set of ports.
pub(crate) struct Backend<'a> {
    /// One of its endpoints.
    pub(crate) endpoint: &'a Endpoint,
    /// Whether one of them is ready.
    pub(crate) ready: bool,
    /// The slice of the first, and its place in it.
    pub(crate) slice: (ObjectRef, usize),
}

impl Endpoints {
    /// Those of the Service `name`.
    ///
    /// # Errors
    /// [`Unverified`] if they could not be listed.
    pub(crate) fn of(view: &dyn View, namespace: Option<&str>, name: &str) -> Result<Self, Unverified> {
        let label = BTreeMap::from([(SERVICE_NAME.to_owned(), name.to_owned())]);
        view.all(namespace, &Selector::labels(&label)).map(Self)
    }

    /// What is behind the Service and stays, by what it is called: `Pod web-1`, or an address that stands for nothing.
    pub(crate) fn backends(&self) -> BTreeMap<String, Backend<'_>> {
        let mut backends: BTreeMap<String, Backend<'_>> = BTreeMap::new();
        for slice in &self.0 {
            let metadata = &slice.metadata;
            let name = metadata.name.as_deref().unwrap_or_default();
            let at = ObjectRef::of::<EndpointSlice>(metadata.namespace.as_deref(), name);
            for (n, endpoint) in slice.endpoints.iter().enumerate() {
                if is_going(endpoint) {
                    continue;
                }

                let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
                let backend = backends.entry(named(endpoint)).or_insert_with(|| Backend {
                    endpoint,
                    ready: false,
                    slice: (at.clone(), n),
                });
                // Who does not say that it is not ready, is.
                backend.ready |= ready != Some(false);
            }
        }
        backends
    }

    /// Whether one of the backends has the Service's port of this name: a target by name was found there.
    pub(crate) fn have_port(&self, name: Option<&str>) -> bool {
        let name = name.unwrap_or_default();
        self.0.iter().filter(|slice| slice.endpoints.iter().any(|endpoint| !is_going(endpoint))).any(
            |slice| {
                let mut ports = slice.ports.iter().flatten();
                ports.any(|port| port.port.is_some() && port.name.as_deref().unwrap_or_default() == name)
            },
        )
    }
}

fn is_going(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating) == Some(true)
}

fn named(endpoint: &Endpoint) -> String {
    let target = endpoint.target_ref.as_ref();
    let named =
        target.and_then(|target| Some(format!("{} {}", target.kind.as_ref()?, target.name.as_ref()?)));
    named.or_else(|| endpoint.addresses.first().cloned()).unwrap_or_else(|| "an endpoint".to_owned())
}
