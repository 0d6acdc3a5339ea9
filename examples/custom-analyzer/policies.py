"""Two analyzers of your own: which images pods may have, and fields that Kubernetes has given up.

Each gets an object with what k8s-watch read for it, and returns what is wrong with it; an empty list is "nothing".
"""

from __future__ import annotations

from typing import Any

KINDS_OF_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
OLD_CLASS = "kubernetes.io/ingress.class"
OLD_LABELS = ("beta.kubernetes.io/", "failure-domain.beta.kubernetes.io/")


def images(question: dict[str, Any]) -> dict[str, Any]:
    """Every image has a tag other than `latest`, or a digest: else nobody knows what runs tomorrow."""
    failures = []
    for kind in KINDS_OF_CONTAINERS:
        for n, container in enumerate(question["object"].get("spec", {}).get(kind) or []):
            image = container.get("image", "")
            name, _, digest = image.partition("@")
            tag = name.rpartition("/")[2].partition(":")[2]
            if not digest and tag in ("", "latest"):
                failures.append(
                    {
                        "code": "ImageNotPinned",
                        "text": f"container {container['name']} runs {image}, which is another image tomorrow",
                        "severity": "warning",
                        "evidence": [{"path": f".spec.{kind}[{n}].image", "value": image}],
                    }
                )
    return {"failures": failures}


def deprecated(question: dict[str, Any]) -> dict[str, Any]:
    """Fields that still work and will not for ever."""
    obj = question["object"]
    failures = []
    old_class = obj["metadata"].get("annotations", {}).get(OLD_CLASS)
    if obj["kind"] == "Ingress" and old_class is not None:
        failures.append(
            {
                "code": "IngressClassByAnnotation",
                "text": f"the class {old_class} stands in an annotation; write spec.ingressClassName instead",
                "severity": "info",
                "evidence": [{"path": f".metadata.annotations['{OLD_CLASS}']", "value": old_class}],
            }
        )
    for label in sorted(obj.get("spec", {}).get("nodeSelector") or {}):
        if label.startswith(OLD_LABELS):
            failures.append(
                {
                    "code": "NodeLabelDeprecated",
                    "text": f"the node label {label} is deprecated; see the well-known labels of Kubernetes",
                    "severity": "info",
                    "evidence": [{"path": f".spec.nodeSelector['{label}']"}],
                }
            )
    return {"failures": failures}
