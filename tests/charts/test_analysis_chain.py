"""Cluster analysis as a new user has it, from the sample of K8sGPT's operator to the message in a chat.

Both operators, the actors as processes with the accounts that they are given, a real broker, a real database; the model
and the chat are servers of this test.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from live import GONE, LIMIT, OPERATOR, Cluster, Hooks, Kubelet, Operator, await_, install
from rendering import CHARTS
from test_analysis_cluster import CHART, CRDS, SAMPLE, SPACE, sample
from test_gateway import DATABASE, database  # noqa: F401 (a fixture)
from test_pages import Broker, broker, commands  # noqa: F401 (a fixture)

pytestmark = pytest.mark.cluster
SHOP = "analysis-shop"
ANSWER = "Error: nothing answers.\nSolution: start what should."
PARTS = ("watch", "analyze", "findings", "results", "explain", "notify")
IN_POD = Path(__file__).with_name("in_pod.sh")


@dataclass
class World:
    """A model and a chat: what they were sent."""

    server: ThreadingHTTPServer | None = None
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        assert self.server
        return f"http://127.0.0.1:{self.server.server_port}"

    def count(self, words: str) -> int:
        return sum(text.count(words) for text in self.told)


@pytest.fixture
def world() -> Iterator[World]:
    it = World()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if self.path == "/chat":
                it.told.append(json.loads(body)["text"])
                answer: Any = {}
            else:
                assert (self.path, self.headers["authorization"]) == ("/v1/chat/completions", "Bearer a-key")
                it.asked.append(body)
                message = {"role": "assistant", "content": ANSWER}
                answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    it.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=it.server.serve_forever, daemon=True).start()
    yield it
    it.server.shutdown()
    it.server.server_close()


@dataclass
class Analysis:
    """A cluster in which it is installed."""

    cluster: Cluster
    world: World
    secret: Callable[[str, str], None]
    page: Callable[[str], None]

    def sample(self, **spec: Any) -> None:
        """The sample, with the model and the chat of this test, and told at once."""
        manifest = yaml.safe_load(sample())
        manifest["spec"]["ai"]["baseUrl"] = f"{self.world.address}/v1"
        manifest["spec"]["sink"] = {"type": "slack", "webhook": f"{self.world.address}/chat"}
        manifest["spec"]["analysis"] = {"grace": "0s"}
        manifest["spec"].update(spec)
        self.cluster.apply(manifest)

    def result(self, name: str, gpt: str = SAMPLE) -> Any:
        """What is said of an object of the shop."""
        of = ("results", "-n", SPACE, "-l", f"k8sgpts.k8sgpt.ai/name={gpt}")
        found = [it for it in self.cluster.get(*of)["items"] if it["spec"]["name"] == f"{SHOP}/{name}"]
        return found[0] if found else None

    def says(self, condition: str, reason: str, gpt: str = SAMPLE) -> str | None:
        """The sentence of a condition, if it has this reason."""
        status = self.cluster.get("k8sgpt", gpt, "-n", SPACE).get("status", {})
        for it in status.get("conditions", []):
            if (it["type"], it["reason"]) == (condition, reason):
                return str(it["message"])
        return None

    def breaks(self, name: str) -> None:
        self.cluster.kubectl("create", "service", "clusterip", name, "--tcp=80:80", "-n", SHOP)


@pytest.fixture
def analysis(
    cluster: Cluster,
    hooks: Hooks,
    broker: Broker,  # noqa: F811
    database: Any,  # noqa: F811
    world: World,
    tmp_path: Path,
) -> Iterator[Analysis]:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this user may make no mount namespace")
    for folder in ("bin", "operator", "analysis", "transports/rabbitmq"):
        (tmp_path / folder).mkdir(parents=True)
    kubectl = Path(cluster.env["PATH"].split(":")[0]) / "kubectl"
    crew = tmp_path / "bin/asya-crew"
    program = OPERATOR.with_name("asya-crew").absolute()
    crew.write_text(f'#!/bin/sh\nexec {IN_POD} {cluster.kubeconfig} {kubectl} {program} "$@"\n')
    crew.chmod(0o755)
    (tmp_path / "transports/rabbitmq/password").write_text("guest")
    for namespace in (SPACE, SHOP):
        cluster.kubectl("create", "namespace", namespace)

    def secret(name: str, literal: str) -> None:
        cluster.kubectl("create", "secret", "generic", name, "-n", SPACE, f"--from-literal={literal}")

    def page(heading: str) -> None:
        """Runs a section of the page, with the database and the key of this test."""
        url = f"postgres://{database.username}:{database.password}@{database.hostname}:{database.port}/{DATABASE}"
        for block in commands("analysis/cluster.md", heading):
            mine = block.replace("postgres://asya:PASSWORD@postgres.databases.svc.cluster.local:5432/analysis", url)
            cluster.run("bash", "-euc", mine.replace("$OPENAI_TOKEN", "a-key"))

    secret("rabbitmq", "password=guest")
    rabbitmq = "transports.rabbitmq.config"
    values = {"host": broker.host, "port": broker.port, "username": "guest", "managementURL": broker.base}
    sets = [f"--set={rabbitmq}.{name}={value}" for name, value in values.items()]
    install(cluster, "helm", *sets, f"--set={rabbitmq}.passwordSecretRef.name=rabbitmq", hooks=hooks)
    install(cluster, "helm", hooks=hooks, chart=CHART)
    # Every route ends there; without them nothing goes on.
    cluster.run("helm", "install", "asya-crew", str(CHARTS / "asya-crew"), "-n", SPACE)
    runtime = tmp_path / "asya_runtime.py"
    runtime.write_text("")
    mounts = {"ASYA_TRANSPORT_SECRETS_DIR": str(tmp_path / "transports"), "ASYA_RUNTIME_SCRIPT_PATH": str(runtime)}
    operators = [
        Operator(cluster, tmp_path / "operator", **mounts),
        Operator(cluster, tmp_path / "analysis", CHART),
    ]
    kubelet = Kubelet(cluster, SPACE, tmp_path, path=crew.parent, none="none")
    try:
        yield Analysis(cluster, world, secret, page)
    finally:
        # Shown where a test failed.
        for kind in ("k8sgpts", "pods"):
            print(cluster.run("kubectl", "get", kind, "-n", SPACE, "-o", "wide", check=False).stdout)
        for it in (cluster.get("k8sgpts", "-n", SPACE) or {"items": []})["items"]:
            print(json.dumps(it.get("status", {}), indent=1))
        for part in PARTS:
            log = ("logs", "-n", SPACE, "-l", f"asya.sh/asya={SAMPLE}-{part}", "--tail=15")
            print(part, cluster.run("kubectl", *log, check=False).stdout)
        for name in ("operator/operator.log", "analysis/operator.log", "kubelet.log"):
            print(name, (tmp_path / name).read_text()[-3000:])
        cluster.run("kubectl", "delete", "k8sgpts", "--all", "-A", f"--timeout={LIMIT}s", check=False)
        actors = ("asyncactors", "--all", "-n", SPACE, f"--timeout={LIMIT}s")
        cluster.run("kubectl", "delete", *actors, check=False)
        pods = ("pods", "--all", "-n", SPACE, "--force", "--grace-period=0")
        cluster.run("kubectl", "delete", *pods, check=False)
        kubelet.stop()
        for operator in operators:
            operator.stop()
        cluster.kubectl("delete", "namespace", SPACE, SHOP, f"--timeout={LIMIT}s")
        cluster.run("kubectl", "delete", "clusterrolebinding", "-l", "analysis.asya.sh/k8sgpt", check=False)
        cluster.kubectl("delete", "crd", *CRDS, "--ignore-not-found", f"--timeout={GONE}s")
        queues = (broker.call("GET", "queues/%2F") or []) if broker else []
        broker.remove(*(it["name"] for it in queues if it["name"].startswith(f"asya-{SPACE}-")))


def test_what_breaks_is_shown_explained_and_told_until_it_is_mended(analysis: Analysis) -> None:
    cluster, world = analysis.cluster, analysis.world
    analysis.page("3. The database")
    analysis.page("4. The model")
    analysis.sample()
    # What its actors send before all queues are made comes later.
    await_("Ready", lambda: analysis.says("Ready", "Watching"))
    analysis.breaks("web")
    await_("a Result", lambda: analysis.result("web"))
    found = analysis.result("web")["spec"]
    assert (found["kind"], found["error"][0]["code"]) == ("Service", "ServiceWithoutEndpoints")
    assert {it["id"] for it in found["evidence"]} >= set(found["error"][0]["evidence"]) > set()
    await_("its explanation", lambda: ANSWER in (analysis.result("web")["spec"].get("details") or ""))
    shown = cluster.kubectl("get", "results", "-n", SPACE, "-o", "wide")
    assert f"{SHOP}/web" in shown and "no pod has the labels app=web" in shown, shown
    # Once for what breaks, once for what is mended.
    broke, mended = f"[error] Service {SHOP}/web ", f"[resolved] Service {SHOP}/web "
    await_("a message", lambda: world.count(broke))
    await_("ModelReady", lambda: analysis.says("ModelReady", "Answers"))
    assert analysis.says("ConfigurationWarning", "ImageIgnored")
    cluster.kubectl("delete", "service", "web", "-n", SHOP)
    await_("no Result", lambda: analysis.result("web") is None)
    await_("a message that it is mended", lambda: world.count(mended))
    assert (world.count(broke), world.count(mended)) == (1, 1), world.told


def kubeconfig(cluster: Cluster) -> str:
    """Of an account with the rights of a watcher, as the page makes it."""
    cluster.kubectl("create", "serviceaccount", "far", "-n", SHOP)
    binding = ("rolebinding", "far", "--clusterrole=asya-analysis-watch", f"--serviceaccount={SHOP}:far")
    cluster.kubectl("create", *binding, "-n", SHOP)
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    for user in config["users"]:
        user["user"] = {"token": cluster.kubectl("create", "token", "far", "-n", SHOP).strip()}
    return str(yaml.safe_dump(config))


def test_each_step_that_was_left_out_is_told_with_what_to_do(analysis: Analysis, tmp_path: Path) -> None:
    """The sample of a second cluster, whose Secrets come one after the other, called as the Cluster API calls them."""
    cluster, name = analysis.cluster, "capi-quickstart"
    ai = {"enabled": True, "backend": "openai", "model": "m", "baseUrl": f"{analysis.world.address}/v1"}
    spec = {
        "ai": {**ai, "secret": {"name": "my-openai-secret", "key": "api_key"}},
        "kubeconfig": {"name": f"{name}-kubeconfig", "key": "value"},
        "targetNamespaces": {"include": [SHOP]},
        "analysis": {"grace": "0s"},
    }
    head = {"apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "K8sGPT"}
    cluster.apply({**head, "metadata": {"name": name, "namespace": SPACE}, "spec": spec})

    def said(condition: str, reason: str) -> str:
        await_(f"{condition}: {reason}", lambda: analysis.says(condition, reason, name))
        return analysis.says(condition, reason, name) or ""

    assert "kubectl create secret generic asya-analysis-database" in said("Ready", "NoDatabase")
    assert f"{name}-kubeconfig" in said("ClusterReachable", "KubeconfigMissing")
    analysis.page("3. The database")
    assert "my-openai-secret" in said("ModelReady", "ActorNotReady")
    analysis.secret("my-openai-secret", "api_key=a-key")
    (tmp_path / "value").write_text(kubeconfig(cluster))
    secret = ("create", "secret", "generic", f"{name}-kubeconfig", "-n", SPACE, f"--from-file={tmp_path / 'value'}")
    cluster.kubectl(*secret)
    analysis.breaks("web")
    await_("a Result", lambda: analysis.result("web", name))
    await_("its explanation", lambda: ANSWER in (analysis.result("web", name)["spec"].get("details") or ""))
    assert not cluster.get("clusterrolebindings", "-l", "analysis.asya.sh/k8sgpt")["items"], "no rights here"
    cluster.kubectl("delete", "k8sgpt", name, "-n", SPACE, f"--timeout={LIMIT}s")
    await_("no Result", lambda: not analysis.cluster.get("results", "-n", SPACE)["items"])
    assert cluster.get("secret", f"{name}-kubeconfig", "-n", SPACE), "what the user made stays"
