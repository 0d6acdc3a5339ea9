"""The pages of docs/ as a stranger follows them: their own commands, on the test cluster, with a real broker.

What the machine has not is left out by name: KEDA's chart (its CRDs are applied instead, and `kubectl scale` stands for
it), and images (the operator runs beside the cluster, pods run as processes).
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from live import CRD, LIMIT, Cluster, Hooks, Kubelet, Operator, await_, report_ready
from rendering import ROOT, copy_of

pytestmark = pytest.mark.cluster
DATA = Path(__file__).parent / "data"
QUEUE = "asya-asya-test-actor"


def commands(page: str, heading: str) -> list[str]:
    """The shell blocks below a heading, up to the next one."""
    return blocks(page, heading, "sh")


def blocks(page: str, heading: str, language: str) -> list[str]:
    """All blocks of a language there."""
    text = (ROOT / "docs" / page).read_text()
    section = re.split(r"^#+ ", text, flags=re.MULTILINE)
    found = [it for it in section if it.partition("\n")[0] == heading]
    assert len(found) == 1, f"{page} has no heading {heading!r}"
    return re.findall(rf"```{language}\n(.*?)```", found[0], flags=re.DOTALL)


class Broker:
    """RabbitMQ through its management API."""

    def __init__(self, amqp: str, management: str) -> None:
        amqp_url, url = urllib.parse.urlsplit(amqp), urllib.parse.urlsplit(management)
        self.host, self.port = amqp_url.hostname, amqp_url.port
        self.base = f"http://{url.hostname}:{url.port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(f"{self.base}/api/{path}", method=method)
        request.add_header("authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, json.dumps(body).encode() if body else None, LIMIT) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def has(self, queue: str) -> bool:
        return self.call("GET", f"queues/%2F/{queue}") is not None

    def publish(self, key: str, envelope: Any) -> None:
        body = {
            "properties": {"delivery_mode": 2, "content_type": "application/json"},
            "routing_key": key,
            "payload": json.dumps(envelope),
            "payload_encoding": "string",
        }
        assert self.call("POST", "exchanges/%2F/asya/publish", body) == {"routed": True}, key

    def take(self, queue: str) -> list[Any]:
        body = {"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"}
        return [json.loads(it["payload"]) for it in self.call("POST", f"queues/%2F/{queue}/get", body) or []]

    def remove(self, *queues: str) -> None:
        for queue in queues:
            self.call("DELETE", f"queues/%2F/{queue}")


@pytest.fixture
def broker() -> Iterator[Broker]:
    amqp, management = os.environ.get("ASYA_TEST_RABBITMQ_URL"), os.environ.get("ASYA_TEST_RABBITMQ_MANAGEMENT")
    if not amqp or not management:
        pytest.skip("run by tests/servers/all.sh run")
    it = Broker(amqp, management)
    yield it
    names = ("test-actor", "happy-end", "error-end", "hello", "first-hello")
    it.remove(*(f"asya-asya-{name}{end}" for name in names for end in ("", "-dlq")))


class Stranger:
    """Somebody at a shell in the repository, with a page open."""

    def __init__(self, cluster: Cluster, broker: Broker) -> None:
        self.cluster, self.broker = cluster, broker
        # What stands in the pages -> what it is on this machine.
        self.words: dict[str, str] = {}
        # What was exported so far.
        self.exported: dict[str, str] = {}

    def runs(self, page: str, heading: str, only: int | None = None) -> str:
        """Runs a section's commands, with this broker's address and password."""
        blocks = commands(page, heading)
        said = ""
        for block in blocks if only is None else [blocks[only]]:
            mine = block
            for word, here in self.words.items():
                mine = mine.replace(word, here)
            mine = mine.replace("'…'", "guest").replace("config.username=asya", "config.username=guest")
            api = r"http://rabbitmq\.messaging\.svc\.cluster\.local:15672"
            mine = re.sub(api, self.broker.base, mine)
            host = f"{self.broker.host} --set transports.rabbitmq.config.port={self.broker.port}"
            mine = mine.replace("rabbitmq.messaging.svc.cluster.local", host)
            mine = mine.replace("helm install", f"helm install --timeout={LIMIT}s")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", mine],
                cwd=ROOT,
                env={**self.cluster.env, **self.exported},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=3 * LIMIT,
            )
            assert done.returncode == 0, f"{page}, {heading}:\n{mine}\n{done.stdout}{done.stderr}"
            said += done.stdout + done.stderr
        return said


@pytest.fixture
def stranger(cluster: Cluster, broker: Broker, hooks: Hooks) -> Stranger:
    cluster.kubectl("delete", "namespace", "asya-system", f"--timeout={LIMIT}s")
    return Stranger(cluster, broker)


@pytest.fixture
def keda(cluster: Cluster, stranger: Stranger, keda_crds: Path) -> Iterator[None]:
    """KEDA's part of the prerequisites, as far as it can be had; in the end nothing of actors is left.

    KEDA's CRDs stay: an API server that is told to drop six CRDs seconds after it was given them again may hang in it
    ("storage is (re)initializing" in its log, and then nothing).
    """
    cluster.kubectl("apply", "--server-side", "-f", str(keda_crds))
    yield
    for actor in (cluster.get("asyncactors", "-A") or {"items": []})["items"]:
        cluster.kubectl(
            *("patch", "asyncactor", actor["metadata"]["name"], "-n", actor["metadata"]["namespace"]),
            *("--type=merge", "-p", '{"metadata": {"finalizers": null}}'),
        )
    # What a kubelet that is gone did not end.
    cluster.run("kubectl", "delete", "pods", "--all", "-n", "asya", "--force", "--grace-period=0", check=False)


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path) -> Iterator[Any]:
    """Starts the operator that was installed, with its Secret as the kubelet would mount it."""
    started: list[Operator] = []

    def start(**overrides: str) -> Operator:
        (tmp_path / "rabbitmq").mkdir()
        (tmp_path / "rabbitmq/password").write_text("guest")
        runtime = tmp_path / "asya_runtime.py"
        subprocess.run([sys.executable, ROOT / "runtime-py/build_zipapp.py", runtime], check=True, capture_output=True)
        paths = {"ASYA_RUNTIME_SCRIPT_PATH": str(runtime), "ASYA_TRANSPORT_SECRETS_DIR": str(tmp_path)}
        started.append(Operator(cluster, tmp_path, **paths, **overrides))
        report_ready(cluster)
        return started[0]

    yield start
    for it in started:
        it.stop()


def collector_knows(cluster: Cluster) -> None:
    """Waits until the garbage collector has heard of the kind, which takes it up to half a minute: what an actor owned
    that was deleted before, with its CRD, it would never take away."""
    nobody = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "name": "nobody", "uid": "0-0"}
    orphan = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "orphan", "namespace": "asya", "ownerReferences": [nobody]},
    }
    cluster.run("kubectl", "create", "-f", "-", stdin=json.dumps(orphan))
    await_("a garbage collector", lambda: cluster.get("configmap", "orphan", "-n", "asya") is None)


def word(cluster: Cluster, actor: str) -> str | None:
    found = cluster.get("asyncactor", actor, "-n", "asya") or {}
    return found.get("status", {}).get("status")


def test_a_new_user_gets_an_answer_and_leaves_nothing(
    cluster: Cluster, stranger: Stranger, keda: None, broker: Broker, hooks: Hooks, operator: Any, tmp_path: Path
) -> None:
    stranger.runs("install.md", "3. The broker's credentials")
    stranger.runs("install.md", "4. The operator")
    running = operator()
    kubelet = None
    try:
        said = stranger.runs("install.md", "5. Look")
        for test in ("crd", "operator-ready", "runtime-configmap", "serviceaccount"):
            assert re.search(rf"asya-operator-test-{test}\n(.*\n)*?Phase: +Succeeded", said), said + "\n".join(
                hooks.done
            )
        stranger.runs("install.md", "6. The end actors")
        cluster.kubectl("apply", "-f", str(ROOT / "examples/manifests/test-actor.yaml"))
        await_("the queue", lambda: broker.has(QUEUE))
        await_("a napping actor", lambda: word(cluster, "test-actor") == "Napping")
        await_("the end's queue", lambda: broker.has("asya-asya-happy-end"))
        assert cluster.get("deployment", "test-actor", "-n", "asya")["spec"]["replicas"] == 0
        # The images of the others are not on this machine; then KEDA's part.
        paused = '{"spec": {"paused": true}}'
        cluster.kubectl("patch", "asyncactor", "hello", "-n", "asya", "--type=merge", "-p", paused)
        cluster.kubectl("scale", "deployment", "happy-end", "error-end", "--replicas=0", "-n", "asya")
        await_("no pods", lambda: not cluster.get("pods", "-n", "asya")["items"])
        kubelet = Kubelet(cluster, "asya", tmp_path)
        cluster.kubectl("scale", "deployment", "test-actor", "--replicas=1", "-n", "asya")
        broker.publish(
            "asya-test-actor", {"id": "job-7", "route": {"actors": ["test-actor"], "current": 0}, "payload": 7}
        )
        arrived: list[Any] = []
        await_("the answer", lambda: arrived.extend(broker.take("asya-asya-happy-end")) or arrived)
        await_("a running actor", lambda: word(cluster, "test-actor") == "Running")
        assert [(it["id"], it["payload"]) for it in arrived] == [("job-7", 7)]
        collector_knows(cluster)
        # docs/uninstall.md, the first order.
        stranger.runs("uninstall.md", "Everything: actors first")
        assert not broker.has(QUEUE), "an empty queue goes with its actor"
        assert cluster.get("crd", CRD) is None
        await_("no workload", lambda: not cluster.get("deployments", "-n", "asya")["items"])
    except BaseException:
        print(running.log.read_text()[-4000:], kubelet and kubelet.log.read_text()[-4000:], *hooks.done, sep="\n")
        raise
    finally:
        if kubelet:
            kubelet.stop()


def test_the_operator_may_go_first(
    cluster: Cluster, stranger: Stranger, keda: None, broker: Broker, hooks: Hooks, operator: Any
) -> None:
    stranger.runs("install.md", "3. The broker's credentials")
    stranger.runs("install.md", "4. The operator")
    operator()
    cluster.kubectl("apply", "-f", str(ROOT / "examples/manifests/test-actor.yaml"))
    await_("a napping actor", lambda: word(cluster, "test-actor") == "Napping")
    collector_knows(cluster)
    stranger.runs("uninstall.md", "Everything: operator first")
    assert len(hooks.done) == 3 and all("Succeeded" in it for it in hooks.done), hooks.done
    assert cluster.get("crd", CRD) is None, "no finalizer holds it"
    await_("no workload", lambda: not cluster.get("deployments", "-n", "asya")["items"])
    assert broker.has(QUEUE), "nobody is left to delete it"


@pytest.mark.parametrize("old", sorted(DATA.glob("asya-operator-*.yaml")), ids=lambda it: it.stem)
def test_an_old_release_is_upgraded_with_its_values(
    old: Path, cluster: Cluster, stranger: Stranger, hooks: Hooks
) -> None:
    with copy_of("asya-operator") as folder:
        (folder / "values.yaml").write_text(yaml.safe_dump(yaml.safe_load(old.read_text())))
        cluster.run(
            *("helm", "install", "asya-operator", str(folder), "-n", "asya-system", "--create-namespace"),
            f"--timeout={LIMIT}s",
        )
    before = cluster.get("deployment", "asya-operator", "-n", "asya-system")
    stranger.runs("upgrade.md", "Upgrading")
    after = cluster.get("deployment", "asya-operator", "-n", "asya-system")
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "upgraded in place"
    assert after["spec"]["template"]["spec"] == before["spec"]["template"]["spec"], "its values stay"
    assert [it.split(":")[0] for it in hooks.done] == ["crds apply", "crds apply"]
    stranger.runs("uninstall.md", "The operator only")
    assert cluster.get("crd", CRD), "the CRD stays"
