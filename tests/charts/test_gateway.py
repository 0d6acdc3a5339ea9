"""The gateway's chart on the test cluster, with a real database and a real broker: its pods run as processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from live import CRD, LIMIT, OPERATOR, Cluster, Kubelet, await_
from rendering import CHARTS, ROOT
from test_pages import Broker, broker  # noqa: F401 (a fixture)

pytestmark = pytest.mark.cluster
NAMESPACE = "asya-gateway-test"
QUEUE = f"asya-{NAMESPACE}-echo"
PERSON, SIDECAR = "a person's token", "the sidecars' secret"
DATABASE = "asya_gateway_chart"
ACCOUNT = "gateway"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[urllib.parse.SplitResult]:
    """A database of its own on the test server."""
    url = os.environ.get("ASYA_TEST_POSTGRES_URL")
    if not url:
        pytest.skip("run by tests/servers/all.sh run")
    psql = ("psql", "--quiet", "--set=ON_ERROR_STOP=1", url)
    subprocess.run([*psql, "-c", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"], check=True, timeout=LIMIT)
    subprocess.run([*psql, "-c", f"CREATE DATABASE {DATABASE}"], check=True, timeout=LIMIT)
    yield urllib.parse.urlsplit(url)
    subprocess.run([*psql, "-c", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"], check=True, timeout=LIMIT)


@pytest.fixture
def namespace(cluster: Cluster, broker: Broker) -> Iterator[None]:  # noqa: F811
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", NAMESPACE)
    cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds/asya.sh_asyncactors.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", f"--timeout={LIMIT}s")
    broker.call("PUT", "exchanges/%2F/asya", {"type": "topic", "durable": True})
    broker.call("PUT", f"queues/%2F/{QUEUE}", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    for key in (QUEUE, QUEUE.removeprefix("asya-")):
        broker.call("POST", f"bindings/%2F/e/asya/q/{QUEUE}", {"routing_key": key})
    yield
    cluster.run("kubectl", "delete", "pods", "--all", "-n", NAMESPACE, "--force", "--grace-period=0", check=False)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={LIMIT}s")
    cluster.kubectl("delete", "crd", CRD, "--ignore-not-found")
    broker.remove(QUEUE)


def kubeconfig(cluster: Cluster, folder: Path) -> Path:
    """The rights of the pods' account, which a kubelet would mount."""
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    token = cluster.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE).strip()
    for user in config["users"]:
        user["user"] = {"token": token}
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    return folder / "kubeconfig"


def values(broker: Broker, database: urllib.parse.SplitResult, account: Path) -> dict[str, Any]:  # noqa: F811
    own_address = {"name": "ASYA_GATEWAY_BIND", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {
        "replicaCount": 2,
        "config": {"rabbitmqURL": f"amqp://guest:guest@{broker.host}:{broker.port}/"},
        "externalDatabase": {
            "host": database.hostname,
            "port": database.port,
            "username": database.username,
            "password": urllib.parse.unquote(database.password or ""),
            "database": DATABASE,
        },
        "auth": {
            "mode": "on",
            "tokensSecretRef": {"name": "people"},
            "callbacks": {"mode": "secret", "secretRef": {"name": "sidecars"}},
        },
        # The pods share this machine's network, so each takes its own address only.
        "env": [own_address, {"name": "KUBECONFIG", "value": str(account)}],
        "serviceAccount": {"create": False, "name": ACCOUNT},
        "routes": {"tools": [{"name": "echo", "parameters": {"text": {"type": "string"}}, "route": ["echo"]}]},
    }


def ask(address: str, method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://{address}:8080{path}", method=method)
    if token:
        request.add_header("authorization", f"Bearer {token}")
    request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, json.dumps(body).encode() if body else None, LIMIT) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def ready(cluster: Cluster) -> dict[str, str]:
    """The gateway's pods that answer, with their addresses."""
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=asya-gateway")["items"]
    conditions = {it["metadata"]["name"]: it["status"].get("conditions", []) for it in pods}
    return {
        it["metadata"]["name"]: it["status"]["podIP"]
        for it in pods
        if "deletionTimestamp" not in it["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions[it["metadata"]["name"]])
    }


def test_two_replicas_on_a_database_keep_what_was_answered_when_one_is_killed(
    cluster: Cluster,
    broker: Broker,  # noqa: F811
    database: urllib.parse.SplitResult,
    namespace: None,
    tmp_path: Path,
) -> None:
    if not OPERATOR.with_name("asya-gateway").exists():
        pytest.fail("asya-gateway is not built: run 'cargo build --workspace'")
    people = [{"name": "ops", "roles": ["admin"], "sha256": hashlib.sha256(PERSON.encode()).hexdigest()}]
    for name, key, value in (("people", "tokens.yaml", json.dumps(people)), ("sidecars", "token", SIDECAR)):
        cluster.kubectl("create", "secret", "generic", name, "-n", NAMESPACE, f"--from-literal={key}={value}")
    (tmp_path / "values.yaml").write_text(json.dumps(values(broker, database, kubeconfig(cluster, tmp_path))))
    kubelet = Kubelet(cluster, NAMESPACE, tmp_path, gateway="asya-gateway", migrate="asya-gateway")
    try:
        cluster.run(
            *("helm", "install", "asya-gateway", str(CHARTS / "asya-gateway"), "-n", NAMESPACE),
            *("-f", str(tmp_path / "values.yaml"), "--wait", "--wait-for-jobs", f"--timeout={LIMIT}s"),
        )
        await_("two replicas", lambda: len(ready(cluster)) == 2)
        (first, one), (_, two) = sorted(ready(cluster).items())
        call = {"name": "echo", "arguments": {"text": "hello"}}
        assert ask(one, "POST", "/tools/call", None, call)[0] == 401, "nobody comes in without a token"
        assert ask(one, "POST", "/tools/call", SIDECAR, call)[0] in (401, 403), "a sidecar may report, and nothing else"
        status, answer = ask(one, "POST", "/tools/call", PERSON, call)
        assert status == 200, answer
        handle = json.loads(answer["content"][0]["text"])
        arrived: list[Any] = []
        await_("the message", lambda: arrived.extend(broker.take(QUEUE)) or arrived)
        assert (arrived[0]["id"], arrived[0]["payload"]) == (handle["envelope_id"], {"text": "hello"})
        # The pod that answered goes, at once. The other one knows, and takes the end.
        cluster.kubectl("delete", "pod", first, "-n", NAMESPACE, "--grace-period=0", "--force")
        path = f"/envelopes/{handle['envelope_id']}"
        status, record = ask(two, "GET", path, PERSON)
        assert (status, record["status"]) == (200, "running"), record
        end = {"id": handle["envelope_id"], "status": "succeeded", "result": {"text": "hello"}}
        assert ask(two, "POST", f"{path}/final", PERSON + "?", end)[0] == 401
        assert ask(two, "POST", f"{path}/final", SIDECAR, end)[0] == 200
        await_("another replica", lambda: len(ready(cluster)) == 2 and first not in ready(cluster))
        for address in ready(cluster).values():
            status, record = ask(address, "GET", path, PERSON)
            assert (status, record["status"], record["result"]) == (200, "succeeded", {"text": "hello"}), record
        # No tool names error-end: the chart's role lets every replica see it, and how it is.
        handler = {"name": "asya-runtime", "image": "i:1", "env": [{"name": "ASYA_HANDLER", "value": "m.f"}]}
        spec = {"transport": "rabbitmq", "workload": {"template": {"spec": {"containers": [handler]}}}}
        actor = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "spec": spec}
        cluster.apply(actor | {"metadata": {"name": "error-end", "namespace": NAMESPACE}})
        status = json.dumps({"status": {"status": "Running", "readyReplicas": 1, "desiredReplicas": 1}})
        cluster.kubectl(
            *("patch", "asyncactor", "error-end", "-n", NAMESPACE),
            *("--subresource=status", "--type=merge", "-p", status),
        )

        def seen(address: str) -> bool:
            told = ask(address, "GET", "/api/v1/actors", PERSON)[1]
            states = {it["name"]: (it.get("status"), it.get("ready")) for it in told["actors"]}
            return "warnings" not in told and states.get("error-end") == ("Running", 1) and "echo" in states

        await_("error-end at every replica", lambda: all(seen(it) for it in ready(cluster).values()))
        # A tool more: the pods read the ConfigMap again, without a restart.
        before = set(ready(cluster))
        tools = json.loads((tmp_path / "values.yaml").read_text())["routes"]["tools"]
        routes = json.dumps({"tools": [*tools, {"name": "shout", "route": ["echo"]}]})
        patch = json.dumps({"data": {"routes.yaml": routes}})
        cluster.kubectl("patch", "configmap", "gateway-routes", "-n", NAMESPACE, "--type=merge", "-p", patch)

        def everywhere() -> bool:
            listed = [ask(address, "GET", "/api/v1/tools", PERSON)[1] for address in ready(cluster).values()]
            return all("shout" in json.dumps(it) for it in listed)

        await_("the new tool", everywhere)
        assert set(ready(cluster)) == before
        cluster.run("helm", "uninstall", "asya-gateway", "-n", NAMESPACE, "--wait", f"--timeout={LIMIT}s")
        await_("no pods", lambda: not ready(cluster))
    except BaseException:
        for pod in cluster.get("pods", "-n", NAMESPACE)["items"]:
            name = pod["metadata"]["name"]
            print(name, cluster.run("kubectl", "logs", "-n", NAMESPACE, name, "--tail=20", check=False).stdout)
        print(kubelet.log.read_text()[-2000:])
        raise
    finally:
        kubelet.stop()
