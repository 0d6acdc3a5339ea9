#!/usr/bin/env python3
"""Makes the objects of the bench of the cluster analysis.

usage: analysis_objects.py SOCKET PODS OTHERS

SOCKET is that of `kubectl proxy --unix-socket`. Pods are as large as those of a cluster in use, about 6 kB, and say
that they run; one in a hundred cannot pull its image. They are of ten namespaces.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

NAMESPACES = 10
AT_ONCE = 8
Call = tuple[str, str, dict[str, object]]


class Proxied(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def pod(n: int) -> Iterator[Call]:
    namespace, name = f"bench-{n % NAMESPACES}", f"web-{n // 100}-7d9f8b6c5-{n:05d}"
    container = {
        "name": "app",
        "image": f"registry.example/shop/service-{n // 100}:1.{n}",
        "env": [{"name": f"SETTING_{i}", "value": f"value-{i}-of-{n}"} for i in range(15)],
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 10},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
    }
    proxy = {
        "name": "proxy",
        "image": "registry.example/mesh/proxy:1.20",
        "args": ["proxy", "sidecar", "--domain", f"{namespace}.svc.cluster.local", "--log_level=warning"],
        "env": [{"name": f"PROXY_{i}", "value": f"value-{i}"} for i in range(15)],
        "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}},
    }
    labels = {"app": f"web-{n // 100}", "pod-template-hash": "7d9f8b6c5", "team": "shop"}
    body: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {f"example.com/note-{i}": "x" * 60 for i in range(5)},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container, proxy],
            "nodeName": f"node-{n % 50}",
            "volumes": [{"name": "settings", "configMap": {"name": f"settings-{n % NAMESPACES}", "optional": True}}],
        },
    }
    yield "POST", f"/api/v1/namespaces/{namespace}/pods", body
    time = "2026-01-01T00:00:00Z"
    well = {"running": {"startedAt": time}}
    bad = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    statuses = [
        {
            "name": c["name"],
            "image": c["image"],
            "imageID": f"{c['image']}@sha256:{n:064d}",
            "containerID": f"containerd://{n:064d}",
            "ready": n % 100 != 0,
            "started": n % 100 != 0,
            "restartCount": 0,
            "state": bad if n % 100 == 0 else well,
        }
        for c in (container, proxy)
    ]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": time, "lastProbeTime": None}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    status = {
        "phase": "Running",
        "podIP": f"10.{n // 65536}.{n // 256 % 256}.{n % 256}",
        "startTime": time,
        "conditions": conditions,
        "containerStatuses": statuses,
    }
    yield "PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status}


def other(n: int) -> Iterator[Call]:
    namespace, name = f"bench-{n % NAMESPACES}", f"other-{n}"
    metadata = {"name": name, "labels": {"team": "shop"}}
    match n % 4:
        case 0:
            path, spec = "/api/v1/{}/services", {"selector": {"app": f"web-{n // 40}"}, "ports": [{"port": 80}]}
        case 1:
            data = {f"key-{i}": "x" * 500 for i in range(4)}
            yield "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": metadata, "data": data}
            return
        case 2:
            backend = {"service": {"name": f"other-{n - 2}", "port": {"number": 80}}}
            rule = {
                "host": f"{name}.example",
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
            path, spec = "/apis/networking.k8s.io/v1/{}/ingresses", {"rules": [rule]}
        case _:
            requests = {"requests": {"storage": "1Gi"}}
            path, spec = "/api/v1/{}/persistentvolumeclaims", {"accessModes": ["ReadWriteOnce"], "resources": requests}
    yield "POST", path.format(f"namespaces/{namespace}"), {"metadata": metadata, "spec": spec}


def work(address: str, todo: SimpleQueue[Callable[[], Iterator[Call]]], failed: list[str]) -> None:
    connection = Proxied(address)
    while not failed:
        try:
            calls = todo.get_nowait()
        except Empty:
            return
        for verb, path, body in calls():
            kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
            connection.request(verb, path, json.dumps(body), {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
            # There already: made by a run before, or by the cluster.
            if answer.status >= 300 and answer.status != 409:
                failed.append(f"{verb} {path}: {answer.status} {text[:300]!r}")


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 64
    address, pods, others = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    failed: list[str] = []
    # Namespaces first, and the account without which none takes a pod.
    first: SimpleQueue[Callable[[], Iterator[Call]]] = SimpleQueue()
    for n in range(NAMESPACES):
        name = {"metadata": {"name": f"bench-{n}"}}
        account = ("POST", f"/api/v1/namespaces/bench-{n}/serviceaccounts", {"metadata": {"name": "default"}})
        first.put(lambda name=name, account=account: iter([("POST", "/api/v1/namespaces", name), account]))
    work(address, first, failed)
    todo: SimpleQueue[Callable[[], Iterator[Call]]] = SimpleQueue()
    for n in range(max(pods, others)):
        if n < pods:
            todo.put(lambda n=n: pod(n))
        if n < others:
            todo.put(lambda n=n: other(n))
    workers = [threading.Thread(target=work, args=(address, todo, failed)) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
