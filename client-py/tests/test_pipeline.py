"""From the client to a handler and back: `asya up` with its gateway, on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from asya_client import Client, Failed
from support import BIN, LIMIT, eventually, free_port

HANDLER = """
def handle(payload):
    return {"greeting": "Hello, " + payload["name"]}
"""
MANIFEST = """
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata: {name: greet}
spec:
  transport: rabbitmq
  workload:
    template: {spec: {containers: [{name: asya-runtime, env: [{name: ASYA_HANDLER, value: greet.handle}]}]}}
"""
TOOLS = "tools: [{name: greet, description: Greets, route: [greet], parameters: {name: {type: string}}}]"


def test_a_tool_is_called_and_its_handlers_failure_is_told(tmp_path: Path) -> None:
    if not (BIN / "asya").exists():
        pytest.fail(f"{BIN}/asya is not there: cargo build -p asya-cli")
    folder = tmp_path / "greet"
    folder.mkdir()
    for name, text in (("greet.py", HANDLER), ("greet.yaml", MANIFEST)):
        (folder / name).write_text(text)
    # Where the command is typed: found because there is none beside the manifest.
    (tmp_path / "tools.yaml").write_text(TOOLS)
    address = f"127.0.0.1:{free_port()}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("ASYA_")}
    with (tmp_path / "log").open("wb") as log:
        up = subprocess.Popen(
            [BIN / "asya", "up", "--plain", "--gateway", address, folder], cwd=tmp_path, env=env, stdout=log, stderr=log
        )

    def answers() -> bool:
        assert up.poll() is None, (tmp_path / "log").read_text()
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"http://{address}/health", timeout=LIMIT).close()
            return True
        return False

    try:
        eventually(answers)
        with Client.from_url(f"http://{address}") as client:
            assert client.tool("greet", timeout=LIMIT).call(name="Ada") == {"greeting": "Hello, Ada"}
            with pytest.raises(Failed, match="failed at greet: processing_error: KeyError: 'name'"):
                client.tool("greet", timeout=LIMIT).call()
            id = client.start("greet")
            with pytest.raises(Failed, match="KeyError: 'name'") as raised:
                client.wait(id, timeout=LIMIT)
            assert (raised.value.actor, raised.value.code) == ("greet", "processing_error")
            assert client.get(id).result["details"]["type"] == "KeyError"
    finally:
        up.terminate()
        try:
            up.wait(LIMIT)
        except subprocess.TimeoutExpired:
            up.kill()
            raise
