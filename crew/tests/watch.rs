//! The watch of a foreign cluster: its Lease is in the cluster of the pod, says how far it is, and is given back.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{path::Path, time::Duration};

use asya_cluster::lease::Candidate;
use asya_crew::{
    analysis::watch::{Again, Clusters, Settings, once},
    shipped::Variables,
};
use asya_envelope::Naming;
use asya_handler::Handler as _;
use asya_sidecar::Means;
use asya_transport::{
    Queues as _,
    local::{Local, LocalOptions},
};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Namespace, rbac::v1};
use kube::{
    Api, Client, Config, Resource,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

/// The kubeconfig of the test cluster; nothing where there is none, unless CI must have one.
async fn config() -> Option<Config> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(path) = std::env::var("ASYA_TEST_KUBECONFIG").ok().filter(|path| !path.is_empty()) else {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "ASYA_TEST_KUBECONFIG is not set");
        eprintln!(
            "NOT RUN: ASYA_TEST_KUBECONFIG is not set; start the servers with tests/servers/all.sh start"
        );
        return None;
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Some(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap())
}

async fn make<K>(api: Api<K>, object: Value)
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn until<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_cluster_is_watched_without_a_right_to_its_leases() {
    let Some(home) = config().await else { return };
    let admin = Client::try_from(home.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = format!("watch-home-{:x}", jiff::Timestamp::now().as_nanosecond());
    make::<Namespace>(Api::all(admin.clone()), json!({"metadata": {"name": name}})).await;
    // Whoever watches is another than who holds the Lease, and may only look at namespaces.
    let group = "rbac.authorization.k8s.io";
    let role = json!({"metadata": {"name": name}, "rules": [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"nonResourceURLs": ["/version"], "verbs": ["get"]}]});
    let binding = json!({"metadata": {"name": name}, "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name}});
    make::<v1::ClusterRole>(Api::all(admin.clone()), role).await;
    make::<v1::ClusterRoleBinding>(Api::all(admin.clone()), binding).await;
    let mut watched = home.clone();
    watched.auth_info.impersonate = Some(name.clone());
    let mut home = home;
    home.default_namespace = name.clone();
    let server = watched.cluster_url.to_string();

    let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
    local.ensure(&Naming::bare().queue("k8s-analyze")).await.unwrap();
    let means = Means { transport: local.clone(), metrics: None, payloads: None };
    let given = [
        ("ASYA_WATCH_ANALYZERS", "Deletion/Namespace"),
        ("ASYA_WATCH_CLUSTER", "far"),
        ("ASYA_WATCH_LEASE", "far-watch"),
    ];
    let find =
        |asked: &str| given.iter().find(|(name, _)| *name == asked).map(|(_, text)| (*text).to_owned());
    let settings = Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
    let (actor, orders) = Again::handler();
    let watch = tokio::spawn(async move {
        once(Clusters { watched, home: Some(home) }, &settings, &Naming::bare(), &means, &orders).await;
    });

    let leases: Api<Lease> = Api::namespaced(admin.clone(), &name);
    let lease = || async { leases.get_opt("far-watch").await.unwrap() };
    let noted = until(async || {
        let notes = lease().await?.metadata.annotations?;
        notes.contains_key("analysis.asya.sh/last-pass").then_some(notes)
    })
    .await;
    assert_eq!(noted["analysis.asya.sh/cluster"], "far");
    assert_eq!(noted["analysis.asya.sh/server"], server);
    assert!(noted["analysis.asya.sh/version"].starts_with('v'), "{noted:?}");
    assert_eq!(noted["analysis.asya.sh/unverified"], "0");
    assert!(noted["analysis.asya.sh/last-pass"].parse::<jiff::Timestamp>().is_ok());

    timeout(LIMIT, actor.close()).await.unwrap();
    timeout(LIMIT, watch).await.unwrap().unwrap();
    let given_back = lease().await.unwrap();
    assert_eq!(given_back.spec.unwrap().holder_identity, None, "the next one need not wait");
    assert!(given_back.metadata.annotations.unwrap().contains_key("analysis.asya.sh/last-pass"));
    let next = Candidate::new(admin.clone(), &name, "far-watch", "next");
    assert!(
        timeout(Duration::from_secs(10), next.acquire(&CancellationToken::new())).await.unwrap().is_some()
    );

    let gone = DeleteParams::default();
    Api::<v1::ClusterRoleBinding>::all(admin.clone()).delete(&name, &gone).await.unwrap();
    Api::<v1::ClusterRole>::all(admin.clone()).delete(&name, &gone).await.unwrap();
    Api::<Namespace>::all(admin).delete(&name, &gone).await.unwrap();
}
