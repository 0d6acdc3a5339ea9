"""Agents as a new user has them, by the README of their chart, and an approval that waits while nothing runs.

Everything is real but the model, a server of this test: the operator, the gateway and the actors as processes under the
accounts that they are given, a real broker, a real database. Pods are ended and woken by KEDA where it runs, else by a
thread that asks the broker what KEDA asks it.

It applies KEDA's CRDs, which stay, and so stands behind the tests of a cluster without them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agents_live import README, SPACE, TOKEN, Heard, Model, Place, Words, free_port
from live import LIMIT, OPERATOR, Cluster, Hooks, await_
from test_gateway import database  # noqa: F401 (a fixture)
from test_pages import Broker, Stranger, blocks, broker, commands, stranger  # noqa: F401 (fixtures)

pytestmark = pytest.mark.cluster
SHOP = "shop"
# KEDA lets an agent nap after a minute without work.
NAPPING = LIMIT if "ASYA_TEST_KEDA_CTL" not in os.environ else 3 * LIMIT
# How long nothing may stir while an approval waits.
QUIET = 3.0
ACTORS = ("ops", "k8s-read", "k8s-write", "analyze", "approval", "happy-end", "error-end")


def play(heard: Heard) -> Words:
    """Looks, or changes what it is asked to change; and says what it was told."""
    if heard.results:
        return f"The cluster says: {heard.results[-1]}"
    if "broken" in heard.asked:
        return "k8s_read", {"verb": "list", "kind": "Deployment", "namespace": SHOP}
    scale = {"verb": "scale", "kind": "Deployment", "name": "web", "namespace": SHOP, "replicas": 3}
    return "k8s_write", scale


@pytest.fixture
def model() -> Iterator[Model]:
    it = Model(play)
    yield it
    it.shutdown()
    it.server_close()


@pytest.fixture
def place(
    cluster: Cluster,
    hooks: Hooks,
    stranger: Stranger,  # noqa: F811
    broker: Broker,  # noqa: F811
    keda_crds: Path,
    database: Any,  # noqa: F811
    model: Model,
    tmp_path: Path,
) -> Iterator[Place]:
    """With everything that agents need, and a shop in which a Deployment has no pods: nobody runs them there."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this user may make no mount namespace")
    for program in ("asya", "asya-crew", "asya-gateway"):
        if not OPERATOR.with_name(program).exists():
            pytest.fail(f"{program} is not built: run 'cargo build --workspace'")
    if "ASYA_TEST_KEDA_CTL" not in os.environ:
        cluster.kubectl("apply", "--server-side", "-f", str(keda_crds))
    cluster.kubectl("create", "namespace", SHOP)
    cluster.kubectl("create", "deployment", "web", "--image=registry.example/web:1", "-n", SHOP)
    it = Place(cluster, broker, stranger, database, model, tmp_path)
    it.prepare()
    try:
        it.install()
        yield it
    finally:
        # Shown where a test failed.
        print(it.told(), *hooks.done, sep="\n")
        # Last the gateway, for which there is a Deployment.
        for kind in ("agents", "asyncactors", "deployments,jobs"):
            cluster.run("kubectl", "delete", kind, "--all", "-n", SPACE, f"--timeout={LIMIT}s", check=False)
        cluster.run("kubectl", "delete", "pods", "--all", "-n", SPACE, "--force", "--grace-period=0", check=False)
        it.stop()
        cluster.kubectl("delete", "namespace", SHOP, f"--timeout={LIMIT}s")
        for it in broker.call("GET", "queues/%2F") or []:
            if it["name"].startswith(f"asya-{SPACE}-"):
                broker.remove(it["name"])
            elif it["name"].startswith("asya-retry-"):
                # What would be tried again, after a test that failed.
                broker.call("DELETE", f"queues/%2F/{it['name']}/contents")


@dataclass
class Waiting:
    """An operation that nobody has decided yet."""

    place: Place
    operation: str
    session: str

    def nothing_runs(self) -> None:
        """No pod, no connection, no message under way; and the gateway has it, and the conversation."""
        place, cluster = self.place, self.place.cluster
        assert place.pods() == []
        workloads = cluster.get("deployments", "-n", SPACE, "-l", "asya.sh/asya")["items"]
        assert {it["metadata"]["name"]: it["spec"]["replicas"] for it in workloads} == dict.fromkeys(ACTORS, 0)
        depths = place.queues()
        assert depths.keys() >= {f"asya-{SPACE}-{it}" for it in ACTORS} and place.quiet(), depths
        assert set(place.connections()) <= {"asya-gateway", "asya-operator"}
        assert place.ask(f"/api/v1/approvals/{self.operation}")["phase"] == "waiting"
        assert self.state() == "input-required"
        assert replicas(cluster) == 1

    def state(self) -> str:
        return str(self.place.ask(f"/api/v1/sessions/{self.session}")["state"])


def replicas(cluster: Cluster) -> int:
    return int(cluster.get("deployment", "web", "-n", SHOP)["spec"]["replicas"])


def looks(place: Place) -> None:
    """The first part of the README: an answer from the cluster's objects, through `asya forward`."""
    mine, port = place.stranger, free_port()
    mine.runs(README, "asya-agents", 1)
    (forward,) = commands(README, "asya-agents")[2].splitlines()
    environment = {**place.cluster.env, **mine.exported}
    led = subprocess.Popen(
        [*forward.split(), "--listen", str(port)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert led.stdout and led.stdout.readline() == f"http://127.0.0.1:{port}\n"
        mine.exported["ASYA_GATEWAY"] = f"http://127.0.0.1:{port}"
        await_("the gateway knows the agent", lambda: place.ask("/api/v1/agents")["agents"])
        said = mine.runs(README, "asya-agents", 3)
        assert re.search(r"^The cluster says: .*\bweb \|.*\| 0/1 \|", said, flags=re.S), said
    finally:
        led.terminate()
        assert led.wait(LIMIT) == 0
    # Of a shell and a forward that stay, as those of the page would.
    mine.exported |= {"ASYA_TOKEN": TOKEN, "ASYA_GATEWAY": f"http://127.0.0.1:{place.port}"}


def asks_for_a_change(place: Place) -> Waiting:
    """The second part, up to what has to be approved."""
    mine = place.stranger
    (place.folder / "changes.yaml").write_text(blocks(README, "Changes", "yaml")[0])
    mine.runs(README, "Changes", 0)
    await_("the gateway knows what it may", lambda: "k8s_write" in json.dumps(place.ask("/api/v1/agents")))
    said = mine.runs(README, "Changes", 1)
    assert "+  replicas: 3" in said, said
    mine.words["op-…"] = operation = re.findall(r"\bop-[0-9a-f]+", said)[-1]
    return Waiting(place, operation, place.ask(f"/api/v1/approvals/{operation}")["session"])


def test_a_stranger_has_an_agent_look_and_change_something_after_a_restart_of_everything(place: Place) -> None:
    cluster, mine = place.cluster, place.stranger
    looks(place)
    # So that nothing at all runs.
    mine.runs(README, "asya-agents", 4)
    await_("no pod", lambda: not place.pods(), NAPPING)
    waiting = asks_for_a_change(place)
    await_("no pod", lambda: not place.pods(), NAPPING)
    await_("the broker's figures", place.quiet)
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        waiting.nothing_runs()
    asked = len(place.model.heard)
    place.restart()
    await_("the gateway", place.answers)
    await_("the broker's figures", place.quiet)
    waiting.nothing_runs()
    assert "approved: scale" in mine.runs(README, "Changes", 2)
    await_("three replicas", lambda: replicas(cluster) == 3, NAPPING)
    await_("an answer", lambda: waiting.state() == "idle", NAPPING)
    entries = place.ask(f"/api/v1/sessions/{waiting.session}/entries")["entries"]
    assert [it["kind"] for it in entries] == ["user", "assistant", "tool", "assistant"], entries
    assert len(place.model.heard) == asked + 1, "nothing was asked twice"
    assert cluster.get("deployment", "web", "-n", SHOP)["metadata"]["generation"] == 2, "it was changed once"
    audit = [it["action"] for it in place.ask("/api/v1/audit?limit=100")["entries"]]
    for action in ("propose", "approve", "claim", "outcome"):
        assert audit.count(f"operation.{action}") == 1, audit
    await_("no pod again", lambda: not place.pods(), NAPPING)
    await_("the broker's figures", place.quiet)
