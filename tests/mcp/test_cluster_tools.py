"""The gateway's tools for a cluster, by the official Python client, with a real API server.

The API server is that of tests/servers (ASYA_TEST_KUBECONFIG); without one these tests are skipped.
"""

import base64
import json
import os
import pathlib
import ssl
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator

import pytest
import yaml
from mcp import Client
from test_mcp import LIMIT, MODERN, Gateway, connected, run, running

SECRET = "hunter2-hunter2"
OWN = {
    "analyze",
    "list-findings",
    "list-resources",
    "get-resource",
    "list-events",
    "get-logs",
    "cluster-info",
    "list-namespaces",
    "list-filters",
}


class Server:
    """The API server, asked as its administrator."""

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = cluster["server"]
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for name in ("client-certificate", "client-key"):
                path = user.get(name)
                if path is None:
                    path = pathlib.Path(folder) / name
                    path.write_bytes(base64.b64decode(user[f"{name}-data"]))
                files.append(str(path))
            self.tls.load_cert_chain(*files)

    def ask(self, method: str, path: str, body: object = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=LIMIT, context=self.tls) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def kubeconfig() -> pathlib.Path:
    path = os.environ.get("ASYA_TEST_KUBECONFIG")
    if not path:
        pytest.skip("run by tests/servers/all.sh run")
    return pathlib.Path(path)


@pytest.fixture(scope="module")
def namespace(kubeconfig: pathlib.Path) -> Iterator[str]:
    """A namespace with a Deployment, a Secret, a ConfigMap and events."""
    server, name = Server(kubeconfig), f"look-{uuid.uuid4().hex[:8]}"
    server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    core, about = f"/api/v1/namespaces/{name}", {"kind": "Pod", "name": "web", "namespace": name}
    kept = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": {"a": SECRET}})}
    secret = {"metadata": {"name": "db", "annotations": kept}, "stringData": {"a": SECRET}}
    server.ask("POST", f"{core}/secrets", secret)
    data = {"app.ini": f"level=debug\npassword={SECRET}\n", "empty": ""}
    server.ask("POST", f"{core}/configmaps", {"metadata": {"name": "settings"}, "data": data})
    container = {"name": "web", "image": "web:1", "env": [{"name": "DB_PASSWORD", "value": SECRET}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    server.ask("POST", f"/apis/apps/v1/namespaces/{name}/deployments", {"metadata": {"name": "web"}, "spec": spec})
    server.ask(
        "POST",
        f"{core}/services",
        {"metadata": {"name": "web"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}},
    )
    for number, other in [(1, "web"), (2, "other"), (3, "web"), (4, "other")]:
        event = {
            "metadata": {"name": f"e{number}"},
            "involvedObject": {**about, "name": other},
            "reason": "R",
            "type": "Warning",
            "message": f"failed with token={SECRET}",
            # Later than any event that a controller writes about these objects meanwhile.
            "lastTimestamp": f"2126-01-01T00:00:0{number}Z",
        }
        server.ask("POST", f"{core}/events", event)
    yield name
    server.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def looking(kubeconfig: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("looking")
    with running(folder, ASYA_GATEWAY_CLUSTER_TOOLS="true", KUBECONFIG=str(kubeconfig)) as gateway:
        yield gateway


async def answered(client: Client, tool: str, **arguments: object) -> dict:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content[0].text
    assert SECRET not in answer.content[0].text
    return answer.structured_content


def test_the_tools_are_there_and_only_read(looking: Gateway) -> None:
    async def test() -> None:
        async with connected(looking, "http", MODERN) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools.keys() >= OWN | {"ocr"}
            assert all(tools[name].annotations.read_only_hint for name in OWN)
            prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
            assert prompts >= {"troubleshoot-pod", "troubleshoot-deployment", "troubleshoot-cluster"}
            prompt = await client.get_prompt("troubleshoot-pod", {"podName": "web", "namespace": "shop"})
            assert "pod web in namespace shop" in prompt.messages[0].content.text

    run(test())


def test_what_there_is_comes_without_secrets(looking: Gateway, namespace: str) -> None:
    async def test() -> None:
        async with connected(looking, "http", MODERN) as client:
            listed = await answered(client, "list-resources", resourceType="deploy", namespace=namespace)
            assert [item["name"] for item in listed["items"]] == ["web"]
            assert listed["items"][0]["columns"]["Images"] == "web:1"
            for kind, name in [("secret", "db"), ("cm", "settings"), ("deployments.apps", "web")]:
                found = await answered(client, "get-resource", resourceType=kind, name=name, namespace=namespace)
                assert found["object"]["metadata"]["name"] == name
            assert namespace in [item["name"] for item in (await answered(client, "list-namespaces"))["items"]]
            assert (await answered(client, "cluster-info"))["version"].startswith("v1.")
            assert "Pod" in (await answered(client, "list-filters"))["active"]

    run(test())


def test_events_are_chosen_before_they_are_counted(looking: Gateway, namespace: str) -> None:
    async def test() -> None:
        async with connected(looking, "http", MODERN) as client:
            wanted = {"namespace": namespace, "involvedObjectKind": "pod", "involvedObjectName": "web", "limit": 2}
            events = await answered(client, "list-events", **wanted)
            assert [event["name"] for event in events["items"]] == ["e1", "e3"]
            newest = await answered(client, "list-events", namespace=namespace, limit=1)
            assert [event["name"] for event in newest["items"]] == ["e4"]

    run(test())


def test_an_analysis_finds_what_is_broken(looking: Gateway, namespace: str) -> None:
    async def test() -> None:
        async with connected(looking, "http", MODERN) as client:
            found = await answered(client, "analyze", namespace=namespace, filters=["Service"], explain=True)
            assert found["status"] == "ProblemDetected"
            assert f"{namespace}/web" in [result["name"] for result in found["results"]]
            assert "list-findings" in json.dumps(found["notes"])

    run(test())


def test_what_cannot_be_done_is_an_answer_with_a_next_step(looking: Gateway, namespace: str) -> None:
    async def test() -> None:
        async with connected(looking, "http", MODERN) as client:
            for tool, arguments, told in [
                ("get-resource", {"resourceType": "pod", "name": "../../secrets/db", "namespace": namespace}, "name"),
                ("get-resource", {"resourceType": "pod", "name": "gone", "namespace": namespace}, "list-resources"),
                ("list-resources", {"resourceType": "unicorns"}, "the cluster serves no"),
                ("list-resources", {"resourceType": "pod", "labelSelector": "==,("}, "labelSelector"),
                ("list-resources", {"resourceType": "pod", "limit": -5}, "limit"),
                ("get-logs", {"podName": "gone", "namespace": namespace}, "list-resources"),
                ("analyze", {"filters": ["Unicorn"]}, "list-filters"),
                ("analyze", {"namespace": "there-is-none"}, "list-namespaces"),
                ("list-findings", {"severity": "bad"}, "severity"),
            ]:
                answer = await client.call_tool(tool, arguments)
                assert answer.is_error and told in answer.content[0].text, (tool, arguments, answer)

    run(test())
