"""Agents on the test cluster as the pages install them: what they are told by a model, what wakes and ends their pods,
and everything around them as processes that can be killed and started again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

import yaml
from live import LIMIT, OPERATOR, Cluster, Kubelet, Operator, await_
from test_gateway import DATABASE
from test_pages import Broker, Stranger

IN_POD = Path(__file__).with_name("in_pod.sh")
SPACE = "asya"
README = "../charts/asya-agents/README.md"
# Of the person that docs/gateway.md makes a token for.
TOKEN = "token-of-ops-0123456789abcdef"
# Seconds without work after which a pod ends.
NAP = 3.0


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


@dataclass
class Heard:
    """A question as the model was sent it."""

    asked: str
    # What tools returned since then.
    results: list[str]


# A text, or a call: name and arguments.
Words = str | tuple[str, dict[str, Any]]


class Model(ThreadingHTTPServer):
    """Speaks chat completions, by a script, to whoever has the key."""

    daemon_threads = True

    def __init__(self, play: Callable[[Heard], Words]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.play = play
        self.heard: list[Heard] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Answers(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if (self.path, self.headers["authorization"]) != ("/v1/chat/completions", "Bearer a-key"):
            self.send_error(401)
            return
        said = request["messages"]
        last = max(n for n, it in enumerate(said) if it["role"] == "user")
        heard = Heard(said[last]["content"], [it["content"] for it in said[last:] if it["role"] == "tool"])
        words = self.server.play(heard)
        self.server.heard.append(heard)
        message: dict[str, Any] = {"role": "assistant", "content": words}
        if not isinstance(words, str):
            call = {"name": words[0], "arguments": json.dumps(words[1])}
            calls = [{"index": 0, "id": f"call-{len(self.server.heard)}", "type": "function", "function": call}]
            message = {"role": "assistant", "content": "", "tool_calls": calls}
        reason = "stop" if isinstance(words, str) else "tool_calls"
        self.send_response(200)
        if not request.get("stream"):
            self.send_header("content-type", "application/json")
            self.end_headers()
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self.wfile.write(json.dumps({"choices": [choice]}).encode())
            return
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for delta, end in ((message, None), ({}, reason)):
            piece = {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
            self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        pass


class Scaler(threading.Thread):
    """Stands for KEDA where there is none but its CRDs: of each ScaledObject it asks the broker's management API for
    the messages of the trigger's queue, waiting and in work, as KEDA does, and scales the Deployment to one or to
    none."""

    def __init__(self, cluster: Cluster, broker: Broker) -> None:
        super().__init__(daemon=True)
        self.cluster, self.broker = cluster, broker
        self.stopped = threading.Event()
        # When there was work last.
        self.busy: dict[str, float] = {}

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            found = (self.cluster.get("scaledobjects,deployments", "-n", SPACE) or {"items": []})["items"]
            now = {it["metadata"]["name"]: it["spec"]["replicas"] for it in found if it["kind"] == "Deployment"}
            try:
                queues = {it["name"]: it for it in self.broker.call("GET", "queues/%2F")}
            except OSError:
                continue
            for it in found:
                name, spec = it["metadata"]["name"], it["spec"]
                if it["kind"] == "ScaledObject" and name in now:
                    # Without figures nothing is known: the queue, or the broker, is new.
                    queue = queues.get(spec["triggers"][0]["metadata"]["queueName"], {})
                    self.scale(name, now[name], spec.get("minReplicaCount", 0), queue.get("messages"))

    def scale(self, name: str, now: int, least: int, messages: int | None) -> None:
        if messages or messages is None:
            self.busy[name] = time.monotonic()
        wanted = max(least, 1) if messages else least
        rested = time.monotonic() - self.busy.setdefault(name, time.monotonic()) > NAP
        if messages is not None and (wanted > now or (wanted < now and rested)):
            self.cluster.run("kubectl", "scale", "deployment", name, f"--replicas={wanted}", "-n", SPACE, check=False)

    def stop(self) -> None:
        self.stopped.set()
        self.join()


@dataclass
class Place:
    """A cluster on which agents are installed by the pages, and this machine around it."""

    cluster: Cluster
    broker: Broker
    stranger: Stranger
    database: SplitResult
    model: Model
    folder: Path
    port: int = field(default_factory=free_port)
    running: list[Any] = field(default_factory=list)
    starts: int = 0

    def prepare(self) -> None:
        """Says what the pages' words are on this machine."""
        cluster, folder = self.cluster, self.folder
        for name in ("bin", "transports/rabbitmq"):
            (folder / name).mkdir(parents=True)
        (folder / "transports/rabbitmq/password").write_text("guest")
        (folder / "asya_runtime.py").write_text("")
        kubectl = Path(cluster.env["PATH"].split(":")[0]) / "kubectl"
        for program in ("asya-crew", "asya-gateway"):
            real = OPERATOR.with_name(program).absolute()
            own = folder / "bin" / program
            own.write_text(f'#!/bin/sh\nexec {IN_POD} {cluster.kubeconfig} {kubectl} {real} "$@"\n')
            own.chmod(0o755)
        (folder / "bin/asya").symlink_to(OPERATOR.with_name("asya").absolute())
        server = yaml.safe_load(Path(cluster.kubeconfig).read_text())["clusters"][0]["cluster"]["server"]
        database, password = self.database, unquote(self.database.password or "")
        keys = f"{server}/openid/v1/jwks"
        # No names of the cluster are known here, and pods share the machine's ports.
        machine = {
            "env": [{"name": "ASYA_GATEWAY_CALLBACK_JWKS_URL", "value": keys}],
            "config": {"port": str(self.port)},
            "service": {"targetPort": self.port},
            "externalDatabase": {"port": database.port, "username": database.username, "database": DATABASE},
        }
        (folder / "machine.yaml").write_text(json.dumps(machine))
        amqp = f"amqp://guest:guest@{self.broker.host}:{self.broker.port}/"
        self.stranger.words = {
            "amqp://asya:…@rabbitmq.messaging.svc.cluster.local:5672/": amqp,
            "gateway-db --from-literal=password='…'": f"gateway-db --from-literal=password='{password}'",
            "externalDatabase.host=db.example.com": f"externalDatabase.host={database.hostname}",
            "$(openssl rand -hex 32)": TOKEN,
            "tokens.yaml": str(folder / "tokens.yaml"),
            "charts/asya-gateway": f"charts/asya-gateway --values {folder / 'machine.yaml'}",
            "http://asya-gateway.asya.svc.cluster.local": f"http://127.0.0.1:{self.port}",
            "agent.enabled=true": f"agent.enabled=true --set agent.spec.model.baseUrl={self.model.url}",
            "changes.yaml": str(folder / "changes.yaml"),
        }
        self.stranger.exported = {
            "PATH": f"{folder / 'bin'}:{cluster.env['PATH']}",
            "HOME": str(folder),
            "OPENAI_API_KEY": "a-key",
            "TOKEN": TOKEN,
        }

    def install(self) -> None:
        """What the README says that agents need, by the pages that it names."""
        self.stranger.runs("install.md", "3. The broker's credentials")
        self.start_kubelet()
        self.stranger.runs("install.md", "4. The operator")
        self.stranger.runs("gateway.md", "In a cluster", 0)
        self.stranger.runs(README, "asya-agents", 0)
        self.start_operator()
        self.stranger.runs("install.md", "6. The end actors")
        self.start_scaler()
        await_("the gateway", self.answers)

    def start_kubelet(self) -> None:
        kubelet = Kubelet(
            *(self.cluster, SPACE, self.log()),
            path=self.folder / "bin",
            gateway=str(self.folder / "bin/asya-gateway"),
            migrate="asya-gateway",
        )
        self.running.append(kubelet)

    def start_operator(self) -> None:
        mounts = {
            "ASYA_TRANSPORT_SECRETS_DIR": str(self.folder / "transports"),
            "ASYA_RUNTIME_SCRIPT_PATH": str(self.folder / "asya_runtime.py"),
        }
        self.running.append(Operator(self.cluster, self.log(), **mounts))

    def start_scaler(self) -> None:
        if "ASYA_TEST_KEDA_CTL" not in os.environ:
            scaler = Scaler(self.cluster, self.broker)
            scaler.start()
            self.running.append(scaler)

    def log(self) -> Path:
        """A folder for one more process."""
        self.starts += 1
        folder = self.folder / f"{self.starts:02}"
        folder.mkdir()
        return folder

    def restart(self) -> None:
        """Everything dies at once, without warning, and comes back: what is here, and the servers."""
        for it in self.running:
            if isinstance(it, Scaler):
                it.stop()
            else:
                it.process.kill()
                it.process.wait(LIMIT)
        self.running.clear()
        servers = [os.environ[f"ASYA_TEST_{it}_CTL"] for it in ("KUBERNETES", "RABBITMQ", "POSTGRES")]
        servers += [it for it in [os.environ.get("ASYA_TEST_KEDA_CTL")] if it]
        for command in ("kill", "start"):
            # At the same time: KEDA's waits for its API server by itself.
            done = [subprocess.Popen([it, command], stdout=subprocess.DEVNULL) for it in servers]
            assert [it.wait(2 * LIMIT) for it in done] == [0] * len(servers)
        self.start_kubelet()
        self.start_operator()
        self.start_scaler()

    def stop(self) -> None:
        for it in self.running:
            it.stop()
        self.running.clear()

    def ask(self, path: str) -> Any:
        """What the gateway answers to the token of the page."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("authorization", f"Bearer {TOKEN}")
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.loads(answer.read())

    def answers(self) -> bool:
        try:
            return bool(self.ask("/api/v1/info"))
        except OSError:
            return False

    def pods(self, but: tuple[str, ...] = ()) -> list[str]:
        """Pods of actors, whatever they do, but of these actors."""
        labels = "asya.sh/asya" + (f",asya.sh/asya notin ({','.join(but)})" if but else "")
        found = self.cluster.get("pods", "-n", SPACE, "-l", labels)
        return [it["metadata"]["name"] for it in found["items"]]

    def told(self) -> str:
        """Ends of what was printed, and what there is."""
        said = []
        for kind in ("agents", "asyncactors", "pods"):
            said.append(self.cluster.run("kubectl", "get", kind, "-n", SPACE, "-o", "wide", check=False).stdout)
        for pod in (self.cluster.get("pods", "-n", SPACE) or {"items": []})["items"]:
            name = pod["metadata"]["name"]
            said.append(name + self.cluster.run("kubectl", "logs", "-n", SPACE, name, "--tail=15", check=False).stdout)
        said += [f"{it}\n{it.read_text()[-3000:]}" for it in sorted(self.folder.glob("*/*.log"))]
        return "\n".join(said)

    def queues(self) -> dict[str, tuple[int, int]]:
        """Messages that wait and that are in work, of each queue; dead letters too."""
        mine = [it for it in self.broker.call("GET", "queues/%2F") if it["name"].startswith(f"asya-{SPACE}-")]
        # Without figures yet, after a start of the broker: nobody knows.
        return {it["name"]: (it.get("messages_ready", -1), it.get("messages_unacknowledged", -1)) for it in mine}

    def quiet(self) -> bool:
        """Whether no message waits or is in work."""
        return set(self.queues().values()) == {(0, 0)}

    def connections(self) -> list[str]:
        """Programs of this machine that have a connection to the broker, each once."""
        peers = [it["peer_port"] for it in self.broker.call("GET", "connections")]
        return sorted({program(port) for port in peers})


def program(port: int) -> str:
    """The program that has a TCP connection from this port of this machine."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[1].rpartition(":")[2], 16) == port:
            socket_of = f"socket:[{words[9]}]"
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if any(os.readlink(it) == socket_of for it in (process / "fd").iterdir()):
                        return Path(os.readlink(process / "exe")).name
                except OSError:
                    continue
    return "nobody"
