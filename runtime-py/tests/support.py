"""A runtime as a process, and the sidecar's end of both protocols, for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[1] / "src"
HANDLERS = Path(__file__).resolve().parent / "handlers_dir"
MAGIC = b"\0asya/2 "
LIMIT = 15.0
ROUTE = {"actors": ["a", "b"], "current": 0}


def eventually(condition: Any, limit: float = LIMIT) -> Any:
    """Waits for a condition with a limit."""
    until = time.monotonic() + limit
    while True:
        if found := condition():
            return found
        assert time.monotonic() < until, "the condition never came true"
        time.sleep(0.01)


class Runtime:
    """`python3 -m asya_runtime`, or another command, in a short directory of its own."""

    def __init__(self, handler: str, command: list[str] | None = None, wait: bool = True, **env: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="asya"))
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ASYA_")}
        path = str(HANDLERS) if command else f"{SOURCES}:{HANDLERS}"
        variables = {"ASYA_HANDLER": handler, "ASYA_SOCKET_DIR": str(self.directory), "PYTHONPATH": path}
        self.log_path = self.directory / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "asya_runtime"],
                env={**clean, **variables, "ASYA_LOG_FORMAT": "json", **env},
                stderr=log,
            )
        if wait:
            eventually(lambda: (self.directory / "runtime-ready").exists() or self.process.poll() is not None)
            assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return self.log_path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def connect(self, name: str = "asya-runtime.sock") -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(LIMIT)
        sock.connect(str(self.directory / name))
        return sock

    def control(self, max_frame: int = 67174400) -> Control:
        return Control(self, max_frame)

    def one_shot(self, body: bytes | dict[str, Any]) -> Any:
        """One message of an older sidecar."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        with self.connect() as sock:
            sock.sendall(struct.pack(">I", len(body)) + body)
            reply = read_frame(sock)
            assert sock.recv(1) == b"", "both close after one answer"
        return json.loads(reply)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = sock.recv(min(size - len(data), 1 << 20))
        if not more:
            raise EOFError
        data += more
    return bytes(data)


def read_frame(sock: socket.socket) -> bytes:
    return exactly(sock, struct.unpack(">I", exactly(sock, 4))[0])


class Control:
    """A control connection, and connections to the workers that it names."""

    def __init__(self, runtime: Runtime, max_frame: int) -> None:
        self.runtime = runtime
        self.sock = runtime.connect()
        body = MAGIC + json.dumps({"max_frame": max_frame, "actor": "a"}).encode()
        self.sock.sendall(struct.pack(">I", len(body)) + body)
        answer = read_frame(self.sock)
        assert answer.startswith(MAGIC)
        self.hello = json.loads(answer[len(MAGIC) :])

    def worker(self, index: int = 0) -> Worker:
        return Worker(self.runtime, self.hello["workers"][index])

    def send(self, kind: int, request: int, worker: int) -> None:
        body = struct.pack(">BQ", kind, request) + json.dumps({"worker": worker}).encode()
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def news(self) -> tuple[int, dict[str, Any]]:
        body = read_frame(self.sock)
        return body[0], json.loads(body[9:])

    def replaced(self) -> tuple[dict[str, Any], Worker]:
        """The exit of a worker, and its replacement."""
        kind, exited = self.news()
        assert kind == 0x22, exited
        kind, ready = self.news()
        assert kind == 0x21, ready
        return exited, Worker(self.runtime, ready)


class Worker:
    """A connection to a worker."""

    def __init__(self, runtime: Runtime, info: dict[str, Any]) -> None:
        self.id: int = info["id"]
        self.pid: int = info["pid"]
        self.sock = runtime.connect(info["socket"])

    def frame(self, request: int, payload: Any, **meta: Any) -> bytes:
        text = json.dumps({"id": f"e-{request}", "route": ROUTE, "actor": "a", "attempt": 1, **meta}).encode()
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        body = struct.pack(">BQI", 1, request, len(text)) + text + raw
        return struct.pack(">I", len(body)) + body

    def send(self, request: int, payload: Any, **meta: Any) -> None:
        self.sock.sendall(self.frame(request, payload, **meta))

    def read(self) -> tuple[int, int, Any]:
        """Type, request id, and what is in it: items as (meta, payload), or a JSON value."""
        body = read_frame(self.sock)
        kind, request = struct.unpack_from(">BQ", body)
        rest = body[9:]
        if kind == 0x12:
            return kind, request, list(items(rest))
        if kind == 0x11:
            size = struct.unpack_from(">I", rest)[0]
            return kind, request, (rest[4 : 4 + size], json.loads(rest[4 + size :]))
        return kind, request, json.loads(rest)

    def ask(self, payload: Any, request: int = 1, **meta: Any) -> Any:
        """Payloads of the RESULT, or the ERROR."""
        self.send(request, payload, **meta)
        kind, answered, found = self.read()
        assert answered == request
        return [payload for _, payload in found] if kind == 0x12 else found


def items(rest: bytes) -> Any:
    while rest:
        size = struct.unpack_from(">I", rest)[0]
        meta, rest = rest[4 : 4 + size], rest[4 + size :]
        size = struct.unpack_from(">I", rest)[0]
        yield meta, json.loads(rest[4 : 4 + size])
        rest = rest[4 + size :]
