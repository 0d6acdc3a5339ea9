"""The test cluster as the tests of the charts see it.

There is no kubelet. A hook's pod is run here: the operator's real binary, or kubectl, with the pod's arguments and
environment and the token of the pod's own ServiceAccount, so that its role is what decides. Then the pod is reported as
done.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from rendering import CHARTS, ROOT

OPERATOR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/asya-operator"
CRD = "asyncactors.asya.sh"
# Those that the operator's chart brings.
CRDS = (CRD, "agents.asya.sh")
# Long enough for a machine that builds something else at the same time.
LIMIT = 60.0
# Seconds for a CRD to go: its objects are looked for first, and after a look that failed the API server waits.
GONE = 180.0


class Cluster:
    """kubectl as the administrator."""

    def __init__(self, kubeconfig: str, tools: str) -> None:
        self.kubeconfig = kubeconfig
        self.env = {**os.environ, "KUBECONFIG": kubeconfig, "PATH": f"{tools}:{os.environ['PATH']}"}

    def run(self, *command: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, env=self.env, input=stdin, capture_output=True, text=True, timeout=2 * LIMIT)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return self.run("kubectl", *arguments, **options).stdout

    def get(self, *arguments: str) -> Any:
        done = self.run("kubectl", "get", *arguments, "-o", "json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None

    def apply(self, *objects: dict[str, Any]) -> None:
        if objects:
            self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def may(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        said = self.run(
            "kubectl", "auth", "can-i", verb, resource, "-n", namespace, "--as", account, check=False
        ).stdout
        return said.strip() == "yes"


class Hooks(threading.Thread):
    """Runs the pods of a namespace's Jobs and of `helm test`, as the kubelet would with their images."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(daemon=True)
        self.cluster, self.namespace = cluster, namespace
        self.done: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.3):
            pods = self.cluster.get("pods", "-n", self.namespace)
            for pod in (pods or {}).get("items", []):
                if pod["status"].get("phase") == "Pending" and self.is_hook(pod):
                    self.execute(pod)

    @staticmethod
    def is_hook(pod: dict[str, Any]) -> bool:
        metadata = pod["metadata"]
        return bool(
            "batch.kubernetes.io/job-name" in metadata.get("labels", {})
            or "helm.sh/hook" in metadata.get("annotations", {})
        )

    def execute(self, pod: dict[str, Any]) -> None:
        spec = pod["spec"]
        container = spec["containers"][0]
        token = self.cluster.kubectl("create", "token", spec["serviceAccountName"], "-n", self.namespace).strip()
        config = yaml.safe_load(Path(self.cluster.kubeconfig).read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        own = Path(self.cluster.kubeconfig).with_name(f"hook-{pod['metadata']['uid']}")
        own.write_text(yaml.safe_dump(config))
        env = {it["name"]: it["value"] for it in container.get("env", [])}
        ran = subprocess.run(
            [*container.get("command", [OPERATOR]), *container["args"]],
            # kubectl caches below its home, else below the working directory.
            env={**env, "KUBECONFIG": str(own), "PATH": self.cluster.env["PATH"], "HOME": str(own.parent)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        own.unlink()
        phase = "Succeeded" if ran.returncode == 0 else "Failed"
        self.done.append(f"{' '.join(container['args'])}: {phase} {ran.stdout}{ran.stderr}")
        self.cluster.run(
            *("kubectl", "patch", "pod", pod["metadata"]["name"], "-n", self.namespace, "--subresource=status"),
            *("--type=merge", "-p", json.dumps({"status": {"phase": phase}})),
            check=False,
        )

    def stop(self) -> None:
        self.stopped.set()
        self.join()


def install(cluster: Cluster, helm: str, *arguments: str, hooks: Hooks, chart: str = "asya-operator") -> None:
    done = cluster.run(
        *(helm, "install", chart, str(CHARTS / chart), "-n", "asya-system", f"--timeout={LIMIT}s"),
        *arguments,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + "\n".join(hooks.done)


def await_(what: str, condition: Any, limit: float = LIMIT) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.2)


class Operator:
    """The real operator, as the chart's Deployment would start it, under the chart's ServiceAccount."""

    def __init__(self, cluster: Cluster, folder: Path, deployment: str = "asya-operator", **overrides: str) -> None:
        pod = cluster.get("deployment", deployment, "-n", "asya-system")["spec"]["template"]["spec"]
        container = pod["containers"][0]
        token = cluster.kubectl("create", "token", pod["serviceAccountName"], "-n", "asya-system").strip()
        config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        env = {it["name"]: it["value"] for it in container["env"] if "value" in it}
        # Ports of its own, for these a test machine may have given to others.
        args = [it for it in container["args"] if "bind-address" not in it]
        self.log = folder / "operator.log"
        self.process = subprocess.Popen(
            [OPERATOR, *args, "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:0"],
            env={
                **env,
                "KUBECONFIG": str(folder / "kubeconfig"),
                "ASYA_OPERATOR_NAMESPACE": "asya-system",
                "ASYA_POD_NAME": f"{deployment}-0",
                **overrides,
            },
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def stop(self) -> str:
        self.process.terminate()
        self.process.wait(LIMIT)
        return self.log.read_text()


def report_ready(cluster: Cluster) -> None:
    """Says of the operator's pods what a kubelet would: the operator itself runs outside."""
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    selector = ("-n", "asya-system", "-l", "app.kubernetes.io/name=asya-operator,!batch.kubernetes.io/job-name")
    await_("the operator's pod", lambda: cluster.get("pods", *selector)["items"])
    for pod in cluster.get("pods", *selector)["items"]:
        cluster.kubectl(
            *("patch", "pod", pod["metadata"]["name"], "-n", "asya-system", "--subresource=status"),
            *("--type=merge", "-p", json.dumps({"status": ready})),
        )


class Kubelet:
    """Runs the pods of a namespace as processes, with the real programs."""

    def __init__(
        self, cluster: Cluster, namespace: str, folder: Path, path: Path | None = None, **programs: str
    ) -> None:
        """`programs` are by the names of their containers, of this workspace or paths; without any it is the sidecar.
        `path`: where those are that images have on their path."""
        env = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"} if path else None
        self.log = folder / "kubelet.log"
        named = programs or {"asya-sidecar": "asya-sidecar"}
        commands = [f"--command={name}={OPERATOR.parent / program}" for name, program in named.items()]
        self.process = subprocess.Popen(
            [
                *(OPERATOR.with_name("minikubelet"), "--kubeconfig", cluster.kubeconfig, "--namespace", namespace),
                *("--node", namespace, *commands),
            ],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("w"),
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(LIMIT)
