//! StorageClasses that make no volumes, and more than one default.

use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};

use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// Marks the default class.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The same, as it was before 1.6; still looked at by the API server.
const DEFAULT_BEFORE: &str = "storageclass.beta.kubernetes.io/is-default-class";

/// Provisioners that were part of Kubernetes, are not any more, and have no successor that takes their claims.
const REMOVED: [&str; 6] = [
    "kubernetes.io/flocker",
    "kubernetes.io/glusterfs",
    "kubernetes.io/quobyte",
    "kubernetes.io/rbd",
    "kubernetes.io/scaleio",
    "kubernetes.io/storageos",
];

/// Provisioners that were part of Kubernetes, and the driver that does their work now if it is installed.
const MIGRATED: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];

/// Looks at StorageClasses. One with `kubernetes.io/no-provisioner` is as the documentation of local volumes wants it and
/// not deprecated; only that it binds before a pod is placed is worth knowing.
pub(crate) struct StorageClassAnalyzer;

impl Analyzer for StorageClassAnalyzer {
    fn name(&self) -> &'static str {
        "Storage/StorageClass"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<StorageClass>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let class: StorageClass = object.typed()?;
        provisioner(object, &class, view, report);
        if is_default(object) {
            one_default(object, view, report);
        }
        Ok(())
    }
}

/// Whether claims that name no class get this one.
pub(super) fn is_default(class: &Object) -> bool {
    let annotations = class.annotations();
    [DEFAULT, DEFAULT_BEFORE].iter().any(|key| annotations.get(*key).is_some_and(|value| value == "true"))
}

fn provisioner(object: &Object, class: &StorageClass, view: &dyn View, report: &mut Report) {
    let (name, provisioner) = (object.name(), class.provisioner.as_str());
    let seen = |code: &str, severity, text: String| {
        Failure::new(code, severity, text)
            .seen(&object.reference(), ".provisioner", provisioner.to_owned())
            .explained_by("storageclass.provisioner")
    };
    if REMOVED.contains(&provisioner) {
        let text = format!(
            "no volume is made for StorageClass {name}: Kubernetes has no provisioner {provisioner} any more"
        );
        report.fail(seen("StorageProvisionerRemoved", Severity::Error, text));
    } else if let Some((_, driver)) = MIGRATED.iter().find(|(old, _)| *old == provisioner) {
        let code = "StorageDriverMissing";
        let lookup = view.get::<CSIDriver>(None, driver);
        if let Some(None) = report.known(code, format!("CSIDriver {driver}"), lookup) {
            let text = format!(
                "no volume is made for StorageClass {name}: the work of {provisioner} is done by the driver \
                 {driver}, which is not installed"
            );
            report.fail(seen(code, Severity::Error, text));
        }
    } else if provisioner == "kubernetes.io/no-provisioner"
        && class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer")
    {
        let text = format!(
            "StorageClass {name} is for volumes made by hand and binds them before a pod is placed: a local volume may \
             be on a node that has no room for the pod"
        );
        report.fail(
            Failure::new("StorageBindsEarly", Severity::Info, text)
                .seen(&object.reference(), ".volumeBindingMode", class.volume_binding_mode.clone())
                .explained_by("storageclass.volumeBindingMode"),
        );
    }
}

fn one_default(object: &Object, view: &dyn View, report: &mut Report) {
    let code = "StorageDefaultAmbiguous";
    let list = view.list(&GroupKind::of::<StorageClass>(), None, &Selector::everything());
    let Some(classes) = report.listed(code, "StorageClasses", list) else { return };
    let mut defaults: Vec<_> = classes.iter().filter(|class| is_default(class)).collect();
    if defaults.len() < 2 {
        return;
    }
    // The order in which the API server picks: the newest, and of two of one second the first by name.
    defaults.sort_by(|a, b| b.created().cmp(&a.created()).then_with(|| a.name().cmp(b.name())));
    let Some(winner) = defaults.first() else { return };
    let mut names: Vec<&str> = defaults.iter().map(|class| class.name()).collect();
    names.sort_unstable();
    let text = format!(
        "{} StorageClasses are the default ({}); claims that name none get {}",
        names.len(),
        names.join(", "),
        winner.name()
    );
    let path = if object.annotations().contains_key(DEFAULT) { DEFAULT } else { DEFAULT_BEFORE };
    report.fail(Failure::new(code, Severity::Warning, text).seen(
        &object.reference(),
        format!(".metadata.annotations[\"{path}\"]"),
        "true".to_owned(),
    ));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn class(name: &str, rest: Value) -> Object {
        cluster_object("storage.k8s.io/v1", "StorageClass", name, rest)
    }

    fn default_class(name: &str, key: &str, created: &str) -> Object {
        class(
            name,
            json!({"provisioner": "ebs.csi.aws.com", "metadata": {"annotations": {key: "true"}, "creationTimestamp": created}}),
        )
    }

    #[test]
    fn cases() {
        let driver =
            [cluster_object("storage.k8s.io/v1", "CSIDriver", "ebs.csi.aws.com", json!({"spec": {}}))];
        let cases: [(&str, Value, &[Object], &[&str]); 6] = [
            ("a driver", json!({"provisioner": "ebs.csi.aws.com"}), &[], &[]),
            ("removed", json!({"provisioner": "kubernetes.io/rbd"}), &[], &["StorageProvisionerRemoved"]),
            ("migrated", json!({"provisioner": "kubernetes.io/aws-ebs"}), &driver, &[]),
            ("to nobody", json!({"provisioner": "kubernetes.io/aws-ebs"}), &[], &["StorageDriverMissing"]),
            (
                "local",
                json!({"provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer"}),
                &[],
                &[],
            ),
            (
                "local and early",
                json!({"provisioner": "kubernetes.io/no-provisioner"}),
                &[],
                &["StorageBindsEarly"],
            ),
        ];
        for (name, rest, others, expected) in cases {
            assert_eq!(
                codes(&look(&["Storage/StorageClass"], &class("fast", rest), others)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn of_several_defaults_the_one_that_claims_get_is_named() {
        let old = default_class("old", DEFAULT_BEFORE, "2026-01-01T00:00:00Z");
        let new = default_class("new", DEFAULT, "2026-02-01T00:00:00Z");
        let name = ["Storage/StorageClass"];
        for subject in [&old, &new] {
            let found = look(&name, subject, &[old.clone(), new.clone()]);
            assert_eq!(codes(&found), ["StorageDefaultAmbiguous"]);
            let text = &found.report.failures()[0].text;
            assert!(text.contains("new, old") && text.ends_with("get new"), "{text}");
        }
        let other = class("other", json!({"provisioner": "x.example"}));
        assert!(codes(&look(&name, &old, std::slice::from_ref(&other))).is_empty(), "one default");
        assert!(codes(&look(&name, &other, &[old.clone(), new])).is_empty(), "not a default itself");
        let mut inventory = Inventory::of([old.clone()]);
        inventory.put_list(&GroupKind::of::<StorageClass>(), None, Err(Unverified::Forbidden));
        assert_eq!(look_in(&name, &old, &inventory).report.doubts().len(), 1);
    }

    #[test]
    fn a_driver_that_cannot_be_looked_for_is_in_doubt_and_not_missing() {
        let subject = class("fast", json!({"provisioner": "kubernetes.io/gce-pd"}));
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<CSIDriver>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["Storage/StorageClass"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts().len(), 1);
    }
}
