"""The gateway as the official Python client of the Model Context Protocol sees it, in every version that it speaks.

The test plays the sidecars: it reports what actors would. It starts a gateway of its own, or takes the one at
ASYA_TEST_GATEWAY_URL, whose tools must be those of TOOLS. ASYA_TEST_BIN says where the binaries are.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import mcp.client.session
import mcp_types.version
import pytest
from mcp import Client, MCPError, StdioServerParameters

BIN = pathlib.Path(os.environ.get("ASYA_TEST_BIN", pathlib.Path(__file__).parents[2] / "target" / "debug"))
LIMIT = 30.0  # seconds for anything that is waited for
MODERN = "2026-07-28"
VERSIONS = ["2025-03-26", "2025-06-18", "2025-11-25", MODERN]
TOOLS = """
tools:
  - name: ocr
    description: Reads a page
    route: [split, read]
    parameters:
      page: {type: integer, required: true, description: Number of the page}
      quality: {type: string, options: [low, high], default: low}
  - {name: wait, route: [read], wait: true}
  - {name: brief, route: [read], wait: true, wait_limit: 0.5}
"""


class Gateway:
    """Its address, and what sidecars tell it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, body: object = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.load(answer)

    def progress(self, envelope: str, actor: str, index: int, status: str) -> None:
        report = {
            "current_actor_idx": index,
            "current_actor_name": actor,
            "status": status,
            "actors": ["split", "read"],
        }
        self.ask(f"/envelopes/{envelope}/progress", report)

    def succeed(self, envelope: str, result: object) -> None:
        self.ask(f"/envelopes/{envelope}/final", {"status": "succeeded", "result": result})

    def fail(self, envelope: str, error: str) -> None:
        details = {"code": "processing_error"}
        self.ask(f"/envelopes/{envelope}/final", {"status": "failed", "error": error, "error_details": details})

    def ended(self, envelope: str) -> dict:
        """The record, as soon as the envelope has ended."""
        until = time.monotonic() + LIMIT
        while True:
            record = self.ask(f"/envelopes/{envelope}")
            if record["status"] in ("succeeded", "failed"):
                return record
            assert time.monotonic() < until, record
            time.sleep(0.02)


@contextlib.contextmanager
def running(folder: pathlib.Path, **more: str) -> Iterator[Gateway]:
    """A gateway of its own in a folder, with more variables."""
    (folder / "tools.yaml").write_text(TOOLS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "ASYA_GATEWAY_BIND": "127.0.0.1",
        "ASYA_GATEWAY_PORT": str(port),
        "ASYA_GATEWAY_CALLBACK_AUTH": "legacy",
        "ASYA_CONFIG_PATH": str(folder / "tools.yaml"),
        "ASYA_DATABASE_URL": str(folder / "gateway.db"),
        "ASYA_TRANSPORT": "local",
        "ASYA_LOCAL_PATH": str(folder / "queue.db"),
        **more,
    }
    log = folder / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen([BIN / "asya-gateway"], env=environment, stdout=output, stderr=output)
    found = Gateway(f"http://127.0.0.1:{port}")
    try:
        until = time.monotonic() + LIMIT
        while True:
            try:
                urllib.request.urlopen(found.url + "/health", timeout=LIMIT).close()
                break
            except urllib.error.URLError:
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if url := os.environ.get("ASYA_TEST_GATEWAY_URL"):
        yield Gateway(url.rstrip("/"))
        return
    with running(tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version to be spoken. The client begins with the newest that it knows: older ones are put in its place."""
    if request.param != MODERN:
        monkeypatch.setattr(mcp.client.session, "LATEST_HANDSHAKE_VERSION", request.param)
    return request.param


@pytest.fixture(params=["http", "stdio"])
def way(request: pytest.FixtureRequest) -> str:
    if request.param == "stdio" and not (BIN / "asya").exists():
        pytest.fail(f"{BIN}/asya is not there: cargo build -p asya-cli")
    return request.param


@contextlib.asynccontextmanager
async def connected(gateway: Gateway, way: str, version: str) -> AsyncIterator[Client]:
    url = gateway.url + "/mcp"
    server = url
    if way == "stdio":
        server = StdioServerParameters(command=str(BIN / "asya"), args=["mcp", "--url", url])
    mode = version if version == MODERN else "legacy"
    async with Client(server, mode=mode, read_timeout_seconds=LIMIT) as client:
        assert client.session.protocol_version == version
        yield client


async def begun(gateway: Gateway, client: Client) -> str:
    """The id of the envelope that is not in the list before: the newest."""
    until = time.monotonic() + LIMIT
    while True:
        listed = await client.list_resources(cache_mode="bypass")
        for resource in listed.resources:
            if resource.uri.startswith("asya://envelopes/") and not resource.description.endswith(("ed", "led")):
                return resource.uri.removeprefix("asya://envelopes/")
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


def run(test: object) -> None:
    asyncio.run(asyncio.wait_for(test, 4 * LIMIT))


def test_tools_are_listed_with_their_schemas(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"ocr", "wait", "brief"}
            assert tools["ocr"].description == "Reads a page"
            schema = tools["ocr"].input_schema
            assert schema["required"] == ["page"]
            assert schema["properties"]["quality"] == {"type": "string", "enum": ["low", "high"], "default": "low"}
            if version != MODERN:
                assert client.session.server_info.name == "asya-gateway"

    run(test())


def test_a_call_answers_at_once_with_the_envelope(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            answer = await client.call_tool("ocr", {"page": 1})
            assert not answer.is_error
            handle = answer.structured_content
            assert json.loads(answer.content[0].text) == handle
            record = gateway.ask(handle["status_url"])
            assert record["id"] == handle["envelope_id"]
            assert record["payload"] == {"page": 1, "quality": "low"}
            gateway.succeed(record["id"], {"text": "hello"})
            read = await client.read_resource(f"asya://envelopes/{record['id']}")
            assert json.loads(read.contents[0].text)["result"] == {"text": "hello"}

    run(test())


def test_progress_is_told_and_the_result_ends_the_call(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            told: asyncio.Queue[float] = asyncio.Queue()

            async def progress(now: float, total: float | None, message: str | None) -> None:
                assert total == 100
                told.put_nowait(now)

            call = asyncio.create_task(client.call_tool("ocr", {"page": 1}, progress_callback=progress))
            envelope = await begun(gateway, client)
            assert await told.get() == 0
            await asyncio.to_thread(gateway.progress, envelope, "split", 0, "completed")
            assert await told.get() == 50
            await asyncio.to_thread(gateway.progress, envelope, "read", 1, "processing")
            assert await told.get() == 75
            await asyncio.to_thread(gateway.succeed, envelope, {"text": "hello"})
            answer = await call
            assert answer.structured_content == {"text": "hello"}
            assert await told.get() == 100

    run(test())


def test_a_failure_is_an_error_and_can_be_diagnosed(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            call = asyncio.create_task(client.call_tool("wait", {}))
            envelope = await begun(gateway, client)
            await asyncio.to_thread(gateway.fail, envelope, "no page 7")
            answer = await call
            assert answer.is_error and "no page 7" in answer.content[0].text
            assert answer.structured_content["code"] == "processing_error"
            prompt = await client.get_prompt("diagnose_failure", {"envelope_id": envelope})
            assert "no page 7" in prompt.messages[0].content.text

    run(test())


def test_a_long_call_ends_with_the_handle(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            handle = (await client.call_tool("brief", {})).structured_content
            assert handle["status"] in ("pending", "running")
            gateway.succeed(handle["envelope_id"], None)

    run(test())


def test_cancelling_a_call_cancels_the_envelope(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            call = asyncio.create_task(client.call_tool("wait", {}))
            envelope = await begun(gateway, client)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            record = await asyncio.to_thread(gateway.ended, envelope)
            assert (record["status"], record["code"]) == ("failed", "cancelled")
            # The connection is as good as before.
            assert (await client.list_tools(cache_mode="bypass")).tools

    run(test())


def test_wrong_calls_are_answered_with_what_is_wrong(gateway: Gateway, way: str, version: str) -> None:
    async def test() -> None:
        async with connected(gateway, way, version) as client:
            for arguments, sentence in [
                ({}, "missing required parameter: page"),
                ({"page": "one"}, "parameter page"),
                ({"page": 1, "quality": "best"}, "parameter quality"),
            ]:
                answer = await client.call_tool("ocr", arguments)
                assert answer.is_error and sentence in answer.content[0].text
                assert answer.structured_content["errors"][0]["field"] in sentence
            with pytest.raises(MCPError, match="nothing"):
                await client.call_tool("nothing", {})
            with pytest.raises(MCPError, match="not found"):
                await client.read_resource("asya://envelopes/nothing")
            with pytest.raises(MCPError, match="envelope_id"):
                await client.get_prompt("diagnose_failure", {})

    run(test())


def test_a_client_of_today_finds_the_newest_version_itself(gateway: Gateway, way: str) -> None:
    async def test() -> None:
        url = gateway.url + "/mcp"
        arguments = StdioServerParameters(command=str(BIN / "asya"), args=["mcp", "--url", url])
        async with Client(url if way == "http" else arguments) as client:
            assert client.session.protocol_version == mcp_types.version.LATEST_MODERN_VERSION

    run(test())
