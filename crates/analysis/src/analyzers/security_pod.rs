//! Pods that may do to their node what they should not be able to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSecurityContext, PodSpec, SecurityContext, VolumeMount};

use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::View;

/// Set by the kubelet on pods that it runs from files: the control plane.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Looks at pods: all their containers, and all that is wrong with each.
pub(crate) struct SecurityPodAnalyzer;

impl Analyzer for SecurityPodAnalyzer {
    fn name(&self) -> &'static str {
        "Security/Pod"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Pod>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, _view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let pod: Pod = object.typed()?;
        let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let Some(spec) = pod.spec.as_ref().filter(|_| !matches!(ended, Some("Succeeded" | "Failed"))) else {
            return Ok(());
        };
        // Networks, storage drivers and the control plane work on the node: that is what they are there for.
        let system = object.namespace() == Some("kube-system") || object.annotations().contains_key(MIRROR);
        let severity = if system { Severity::Info } else { Severity::Warning };
        let containers = containers(spec);
        let at = object.reference();
        privileged(&at, &containers, severity, report);
        shares(&at, spec, severity, report);
        host_paths(&at, spec, &containers, severity, report);
        without_context(&at, spec, &containers, report);
        Ok(())
    }
}

struct Container<'a> {
    name: &'a str,
    path: String,
    context: Option<&'a SecurityContext>,
    mounts: &'a [VolumeMount],
    debug: bool,
}

fn containers(spec: &PodSpec) -> Vec<Container<'_>> {
    let usual = [
        ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
        ("containers", spec.containers.as_slice()),
    ];
    let usual = usual.into_iter().flat_map(|(list, containers)| {
        containers.iter().enumerate().map(move |(n, container)| Container {
            name: &container.name,
            path: format!(".spec.{list}[{n}]"),
            context: container.security_context.as_ref(),
            mounts: container.volume_mounts.as_deref().unwrap_or_default(),
            debug: false,
        })
    });
    let debug = spec.ephemeral_containers.iter().flatten().enumerate().map(|(n, container)| Container {
        name: &container.name,
        path: format!(".spec.ephemeralContainers[{n}]"),
        context: container.security_context.as_ref(),
        mounts: container.volume_mounts.as_deref().unwrap_or_default(),
        debug: true,
    });
    usual.chain(debug).collect()
}

fn privileged(at: &ObjectRef, containers: &[Container<'_>], severity: Severity, report: &mut Report) {
    for container in containers {
        if container.context.is_some_and(|context| context.privileged == Some(true)) {
            let text = format!(
                "container {} of pod {} is privileged: whoever takes it has the node",
                container.name,
                at.path()
            );
            let path = format!("{}.securityContext.privileged", container.path);
            report.fail(
                Failure::new("ContainerPrivileged", severity, text)
                    .seen(at, path, "true".to_owned())
                    .explained_by("pod.spec.containers.securityContext.privileged"),
            );
        }
    }
}

fn shares(at: &ObjectRef, spec: &PodSpec, severity: Severity, report: &mut Report) {
    let shared = [
        ("hostNetwork", spec.host_network, "network"),
        ("hostPID", spec.host_pid, "processes"),
        ("hostIPC", spec.host_ipc, "shared memory"),
    ];
    for (field, _, what) in shared.into_iter().filter(|(_, shared, _)| *shared == Some(true)) {
        let text = format!("pod {} shares the {what} of its node", at.path());
        report.fail(
            Failure::new("PodSharesHost", severity, text)
                .seen(at, format!(".spec.{field}"), "true".to_owned())
                .explained_by(&format!("pod.spec.{field}")),
        );
    }
}

fn host_paths(
    at: &ObjectRef,
    spec: &PodSpec,
    containers: &[Container<'_>],
    severity: Severity,
    report: &mut Report,
) {
    // Whether any container may write to the volume of a name; one that none mounts is not in it.
    let mut writable: BTreeMap<&str, bool> = BTreeMap::new();
    for mount in containers.iter().flat_map(|container| container.mounts) {
        *writable.entry(&mount.name).or_default() |= mount.read_only != Some(true);
    }
    for (n, volume) in spec.volumes.iter().flatten().enumerate() {
        let (Some(host), Some(writable)) = (&volume.host_path, writable.get(volume.name.as_str())) else {
            continue;
        };
        let (severity, how) = if *writable { (severity, "write to") } else { (Severity::Info, "read") };
        let text = format!("pod {} can {how} {} of its node", at.path(), host.path);
        report.fail(
            Failure::new("PodMountsHost", severity, text)
                .seen(at, format!(".spec.volumes[{n}].hostPath.path"), host.path.clone())
                .explained_by("pod.spec.volumes.hostPath"),
        );
    }
}

/// Containers for which neither they nor their pod say anything. The API server fills in an empty context for a pod
/// without one, so an empty one is none. A debug container is made by hand and does not count.
fn without_context(at: &ObjectRef, spec: &PodSpec, containers: &[Container<'_>], report: &mut Report) {
    let pod_says =
        spec.security_context.as_ref().is_some_and(|context| *context != PodSecurityContext::default());
    let bare: Vec<&Container<'_>> = containers
        .iter()
        .filter(|container| {
            !container.debug && container.context.is_none_or(|context| *context == SecurityContext::default())
        })
        .collect();
    if pod_says || bare.is_empty() {
        return;
    }
    let names: Vec<&str> = bare.iter().map(|container| container.name).collect();
    let text = format!("pod {} sets no security context for {}", at.path(), names.join(", "));
    let failure = Failure::new("SecurityContextMissing", Severity::Info, text)
        .seen(at, ".spec.securityContext", None)
        .explained_by("pod.spec.securityContext");
    report.fail(bare.iter().fold(failure, |failure, container| {
        failure.seen(at, format!("{}.securityContext", container.path), None)
    }));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, object};

    fn pod(spec: Value) -> Object {
        object("v1", "Pod", "web", json!({"spec": spec}))
    }

    fn looked(spec: Value) -> Vec<String> {
        let found = look(&["Security/Pod"], &pod(spec), &[]);
        codes(&found).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_context_of_the_pod_or_of_each_container_is_enough() {
        let safe = json!({"runAsNonRoot": true});
        let bare = json!({"name": "a"});
        let own = json!({"name": "b", "securityContext": {"allowPrivilegeEscalation": false}});
        let cases: [(&str, Value, bool); 7] = [
            ("none", json!({"containers": [bare]}), true),
            (
                "empty, as the API server fills it in",
                json!({"securityContext": {}, "containers": [bare]}),
                true,
            ),
            ("the pod's", json!({"securityContext": safe, "containers": [bare]}), false),
            ("each container's", json!({"securityContext": {}, "containers": [own]}), false),
            ("one container's", json!({"containers": [own, bare]}), true),
            ("an init container without", json!({"containers": [own], "initContainers": [bare]}), true),
            ("a debug container without", json!({"containers": [own], "ephemeralContainers": [bare]}), false),
        ];
        for (name, spec, missing) in cases {
            let expected: &[&str] = if missing { &["SecurityContextMissing"] } else { &[] };
            assert_eq!(looked(spec), expected, "{name}");
        }
    }

    #[test]
    fn every_privileged_container_is_found_init_and_debug_ones_too() {
        let strong = |name: &str| json!({"name": name, "securityContext": {"privileged": true}});
        let spec = json!({"securityContext": {"runAsUser": 1}, "containers": [{"name": "calm"}, strong("b")],
            "initContainers": [strong("a")], "ephemeralContainers": [strong("c")]});
        let found = look(&["Security/Pod"], &pod(spec), &[]);
        let paths: Vec<&str> =
            found.report.failures().iter().map(|failure| failure.evidence[0].path.as_str()).collect();
        assert_eq!(
            paths,
            [
                ".spec.initContainers[0].securityContext.privileged",
                ".spec.containers[1].securityContext.privileged",
                ".spec.ephemeralContainers[0].securityContext.privileged",
            ]
        );
    }

    #[test]
    fn what_a_pod_shares_with_its_node_is_told_with_the_field() {
        let own = json!({"runAsNonRoot": true});
        assert_eq!(
            looked(json!({"securityContext": own, "hostNetwork": true, "hostPID": true, "containers": []})),
            ["PodSharesHost", "PodSharesHost"]
        );
        let mounts = |read_only: bool| {
            let spec = json!({"securityContext": own, "volumes": [{"name": "v", "hostPath": {"path": "/var/log"}},
                {"name": "nobodys", "hostPath": {"path": "/"}}],
                "containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/l", "readOnly": read_only}]}]});
            let found = look(&["Security/Pod"], &pod(spec), &[]);
            found.report.failures().iter().map(|failure| failure.severity).collect::<Vec<_>>()
        };
        assert_eq!(mounts(true), [Severity::Info]);
        assert_eq!(mounts(false), [Severity::Warning]);
    }

    #[test]
    fn the_cluster_s_own_pods_are_privileged_on_purpose_and_ended_ones_do_nothing() {
        let spec = json!({"hostNetwork": true, "securityContext": {"runAsUser": 0}, "containers": []});
        let proxy = object(
            "v1",
            "Pod",
            "kube-proxy",
            json!({"metadata": {"namespace": "kube-system"}, "spec": spec}),
        );
        let found = look(&["Security/Pod"], &proxy, &[]);
        assert_eq!(found.report.failures()[0].severity, Severity::Info);
        let ended = object("v1", "Pod", "load", json!({"spec": spec, "status": {"phase": "Succeeded"}}));
        assert!(codes(&look(&["Security/Pod"], &ended, &[])).is_empty());
    }
}
