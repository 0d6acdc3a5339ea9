"""A gateway as a process, what actors would tell it, and a wire that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

BIN = Path(os.environ.get("ASYA_TEST_BIN", Path(__file__).parents[2] / "target" / "debug"))
LIMIT = 30.0  # seconds for anything that is waited for
TOOLS = """
tools:
  - name: ocr
    description: Reads a page
    route: [split, read]
    parameters:
      page: {type: integer, required: true}
      timeout: {type: string, default: none}
  - {name: anything, description: Takes no arguments, route: [read]}
  - {name: greet, description: Greets somebody, route: [greet], parameters: {name: {type: string}}}
"""


def eventually(condition: Callable[[], Any]) -> Any:
    """Waits for a condition with a limit."""
    until = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < until, "the condition never came true"
        time.sleep(0.01)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """`asya-gateway` on a queue file. The tests report what sidecars would."""

    def __init__(self, folder: Path, **env: str) -> None:
        (folder / "tools.yaml").write_text(TOOLS)
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "PATH": os.environ["PATH"],
            "ASYA_GATEWAY_BIND": "127.0.0.1",
            "ASYA_GATEWAY_PORT": str(self.port),
            "ASYA_GATEWAY_CALLBACK_AUTH": "legacy",
            "ASYA_CONFIG_PATH": str(folder / "tools.yaml"),
            "ASYA_DATABASE_URL": str(folder / "gateway.db"),
            "ASYA_TRANSPORT": "local",
            "ASYA_LOCAL_PATH": str(folder / "queue.db"),
            **env,
        }
        self.start()

    def start(self) -> None:
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen([BIN / "asya-gateway"], env=self.env, stdout=log, stderr=log)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "gateway.log").read_text()
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(self.url + "/health", timeout=LIMIT).close()
            return True
        return False

    def kill(self) -> None:
        """As if the power went: nothing is left to be sent at the end."""
        self.process.kill()
        self.process.wait(LIMIT)

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.load(answer)

    def progress(self, id: str, actor: str, index: int, status: str) -> None:
        report = {
            "current_actor_idx": index,
            "current_actor_name": actor,
            "status": status,
            "actors": ["split", "read"],
        }
        self.ask(f"/envelopes/{id}/progress", report)

    def succeed(self, id: str, result: Any) -> None:
        self.ask(f"/envelopes/{id}/final", {"status": "succeeded", "result": result})

    def fail(self, id: str, error: str) -> None:
        details = {"code": "processing_error"}
        self.ask(f"/envelopes/{id}/final", {"status": "failed", "error": error, "error_details": details})

    def ids(self) -> list[str]:
        return [it["id"] for it in self.ask("/api/v1/envelopes")["envelopes"]]


class Wire:
    """Hands on what goes to `port`. `lose_answers` cuts that many connections when the other side answers, `cut` all
    that there are."""

    def __init__(self, port: int) -> None:
        self.to, self.lose_answers, self.connections = port, 0, 0
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            try:
                there = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                here.close()
                continue
            self._open += [here, there]
            threading.Thread(target=self._hand_on, args=(here, there, False), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(there, here, True), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.lose_answers > 0:
                    self.lose_answers -= 1
                    break
                target.sendall(data)
        self._shut(source, target)

    @staticmethod
    def _shut(*ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        cut, self._open = self._open, []
        self._shut(*cut)

    def close(self) -> None:
        self._shut(self._server)
        self._server.close()
        self.cut()
