//! What is never proposed, whoever asks and whatever a chart says.

use serde_json::{Value, json};

use super::world::{PASSWORD, World};

async fn error(world: &World, more: &[(&str, &str)], arguments: &Value) -> String {
    let told = world.told(&world.actor(more), arguments).await;
    assert!(world.history("redis").is_empty());
    told["error"].as_str().unwrap_or_else(|| panic!("{arguments}: {told:#}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_of_an_allowed_chart_is_refused() {
    let Some(world) = World::new("helm4").await else { return };
    let url = format!("{}/unlisted-1.0.0.tgz", world.repository.url);
    for (more, told) in [
        (json!({"chart": "unlisted"}), "own (redis"),
        (json!({"chart": "bitnami/redis"}), "own (redis"),
        (json!({"chart": "redis", "repository": "bitnami"}), "own (redis"),
        (json!({"chart": url}), "no address is taken"),
        (json!({"chart": "oci://registry.example/redis"}), "no address is taken"),
        (json!({"chart": "own/../unlisted"}), "can be no chart"),
        (json!({"chart": "../redis"}), "can be no"),
        (json!({"chart": "/etc/redis"}), "can be no"),
        (json!({"chart": "--repo=evil.example"}), "can be no"),
        (json!({"chart": "redis", "version": "--post-renderer=/bin/sh"}), "can be no version"),
        (json!({"chart": "redis", "version": "9.9.9"}), "fetching own/redis"),
        (json!({"chart": "redis", "release": "--post-renderer"}), "can be no release"),
        (json!({"chart": "redis", "args": ["--post-renderer", "/bin/sh"]}), "unknown field"),
        (json!({"chart": "redis", "post_renderer": "/bin/sh"}), "unknown field"),
        (json!({"chart": "redis", "set_file": "a=/etc/passwd"}), "unknown field"),
        (json!({"chart": "redis", "namespace": "kube-system"}), "nothing is changed in namespace"),
        (json!({"chart": "redis", "namespace": "a --kube-as-user=admin"}), "can be no namespace"),
    ] {
        let error = error(&world, &[], &world.redis("install", &more)).await;
        assert!(error.contains(told), "{more}: {error}");
    }
    let none = error(
        &world,
        &[("ASYA_HELM_REPOSITORIES", "[]")],
        &world.redis("install", &json!({"chart": "redis"})),
    )
    .await;
    assert!(none.contains("there are: none"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_data_and_nothing_else() {
    let Some(world) = World::new("helm4").await else { return };
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, before) in
        ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(",")));
    }
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!({"a": deep});
    }
    for (values, told) in [
        (json!(bomb), "the values"),
        (json!({"a": deep}), "nested"),
        (json!({"a": "x".repeat(70_000)}), "more than"),
        (json!("a: b\n---\nc: d"), "more than one document"),
        (json!("- a"), "must be an object"),
        (json!({"maxmemory": "{{ lookup \"v1\" \"Secret\" \"kube-system\" \"\" }}"}), "as a template"),
    ] {
        let error =
            error(&world, &[], &world.redis("install", &json!({"chart": "redis", "values": values}))).await;
        assert!(error.contains(told), "{told}: {error}");
    }
    // What would mean something to --set means nothing here.
    let values =
        json!({"maxmemory": "64mb,auth.password=evil", "auth.password": "evil", "@file": "/etc/passwd"});
    let actor = world.actor(&[]);
    let operation =
        world.proposed(&actor, &world.redis("install", &json!({"chart": "redis", "values": values}))).await;
    let diff = &operation.proposal.diff;
    assert!(diff.contains("maxmemory: 64mb,auth.password="), "{diff}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_gives_no_rights_and_stays_in_its_namespace() {
    let Some(world) = World::new("helm4").await else { return };
    for (chart, told) in [
        ("rights", "ClusterRole is not changed by this tool"),
        ("elsewhere", "nothing is changed in namespace \"kube-system\""),
    ] {
        let error = error(&world, &[], &world.redis("install", &json!({"chart": chart}))).await;
        assert!(error.contains(told), "{chart}: {error}");
    }
    // Allowed by whoever runs it, the person's own rights decide.
    let kinds = [("ASYA_HELM_KINDS", "rbac.authorization.k8s.io/*")];
    let rights = error(&world, &kinds, &world.redis("install", &json!({"chart": "rights"}))).await;
    assert!(rights.contains("may not create clusterroles"), "{rights}");
    let stranger = world.user("nobody-{sub}");
    let nobody = [("ASYA_KUBE_USER_CLAIM", stranger.as_str())];
    for verb in ["install", "list", "values"] {
        let mut arguments = world.redis(verb, &json!({}));
        if verb == "install" {
            arguments["chart"] = "redis".into();
        }
        if verb == "list" {
            arguments.as_object_mut().unwrap().remove("release");
        }
        let error = error(&world, &nobody, &arguments).await;
        assert!(error.contains("may not get secrets"), "{verb}: {error}");
    }
    // What gets the node is said, however it is spelt.
    let actor = world.actor(&[]);
    let operation = world.proposed(&actor, &world.redis("install", &json!({"chart": "node"}))).await;
    assert_eq!(operation.proposal.risk, asya_session::Risk::High);
    assert!(operation.proposal.summary.contains("hostNetwork"), "{}", operation.proposal.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_helm_says_in_an_error_shows_no_value() {
    let Some(world) = World::new("helm4").await else { return };
    let values = json!({"auth": {"password": PASSWORD}});
    let arguments = world.redis("install", &json!({"chart": "secret-in-path", "values": values}));
    let error = error(&world, &[], &arguments).await;
    assert!(error.contains("***") && !error.contains(PASSWORD), "{error}");
}
