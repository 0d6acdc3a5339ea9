"""A worker as the supervisor sees it: its process, its line, its page, and the socket it serves."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import socket
import struct
import sys
import tempfile
from contextlib import suppress
from typing import Any

from . import frames
from .batch import BATCH
from .config import Config
from .frames import BODY_HEADER, HEADER_SIZE
from .worker import RUNNING, WORDS

# How long an async handler has to end after it was cancelled.
CANCEL_GRACE = 1.0
BACKLOG = 128


class WorkerGone(Exception):
    """The worker ended before it answered."""


class Worker:
    """One worker process, from its start to its end. Never started again: its successor has another id."""

    def __init__(self, number: int, config: Config) -> None:
        self.number = number
        self.config = config
        self.path = config.socket_dir / f"asya-w{number}.sock"
        self.kind = "sync"
        self.ready = False
        self.killed = False
        self.retired = False
        self.failure: str | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.cancelled: dict[int, asyncio.Event] = {}
        self.answers: dict[int, asyncio.Future[bytes]] = {}
        self.words: asyncio.StreamReader | None = None
        self.line: socket.socket | None = None
        self.line_writer: asyncio.StreamWriter | None = None
        self.page: mmap.mmap | None = None
        self.one_shot_writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Starts the process; it says on its line when it is ready."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.path))
        if self.config.socket_chmod is not None:
            self.path.chmod(self.config.socket_chmod)
        listener.listen(BACKLOG)
        self.line, theirs = socket.socketpair()
        self.line.setblocking(False)
        page = _page()
        self.page = mmap.mmap(page, mmap.PAGESIZE)
        inherited = (theirs.fileno(), page, listener.fileno())
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *own_arguments(),
            "--worker",
            *(str(descriptor) for descriptor in inherited),
            str(os.getpid()),
            pass_fds=inherited,
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
        )
        theirs.close()
        listener.close()
        os.close(page)

    def info(self) -> dict[str, Any]:
        """What the sidecar is told."""
        return {"id": self.number, "pid": self.pid, "socket": self.path.name}

    def running(self) -> int:
        """The request that it works on; 0 for none; always 0 for async workers."""
        assert self.page is not None
        return int(struct.unpack_from("<Q", self.page, RUNNING)[0])

    def say(self, **word: object) -> None:
        """Sends a word down the line."""
        assert self.line is not None and self.page is not None
        with suppress(OSError):
            self.line.send(json.dumps(word).encode() + b"\n")
            (count,) = struct.unpack_from("<Q", self.page, WORDS)
            struct.pack_into("<Q", self.page, WORDS, count + 1)

    async def hear(self) -> dict[str, Any] | None:
        """The next word from the worker; None when there will be no more."""
        if self.words is None:
            # The writer is kept because dropping it would close the line; words to the worker go around it, unbuffered.
            self.words, self.line_writer = await asyncio.open_unix_connection(sock=self.line)
        with suppress(ConnectionError):
            text = await self.words.readline()
            if text.endswith(b"\n"):
                return dict(json.loads(text))
        return None

    def kill(self) -> None:
        """Kills the worker and whatever it has started."""
        self.killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def cancel(self, request: int) -> None:
        """Makes a request end: asks, and kills when asking does not help or cannot."""
        if self.kind == "sync" and self.running() in (request, BATCH):
            self.kill()
            return
        done = self.cancelled.setdefault(request, asyncio.Event())
        self.say(cancel=request)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(done.wait(), CANCEL_GRACE)
        self.cancelled.pop(request, None)
        begun = self.running() in (request, BATCH)
        if begun if self.kind == "sync" else not done.is_set():
            self.kill()

    async def ask(self, request: int, message: bytes) -> bytes:
        """One message of the one-shot protocol through this worker; raises WorkerGone."""
        if self.one_shot_writer is None:
            reader, self.one_shot_writer = await asyncio.open_unix_connection(str(self.path))
            asyncio.ensure_future(self._answers(reader))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.answers[request] = answer
        self.one_shot_writer.write(frames.frame(frames.ONESHOT, request, message))
        try:
            return await answer
        finally:
            self.answers.pop(request, None)

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = frames.LENGTH.unpack(await reader.readexactly(4))
                body = await reader.readexactly(length)
                _, request = BODY_HEADER.unpack_from(body)
                if request in self.answers and not self.answers[request].done():
                    self.answers[request].set_result(body[HEADER_SIZE:])
        self.gone()

    def gone(self) -> None:
        """Fails what still waits for an answer."""
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(WorkerGone(f"worker {self.number} ended before it answered"))

    def clean(self) -> None:
        """Removes what the process leaves behind."""
        self.gone()
        with suppress(FileNotFoundError):
            self.path.unlink()
        if self.one_shot_writer is not None:
            self.one_shot_writer.close()
        if self.line_writer is not None:
            self.line_writer.close()
        elif self.line is not None:
            self.line.close()

    def end(self) -> tuple[str, str]:
        """How it ended, for the sidecar: reason and detail."""
        assert self.process is not None
        code = self.process.returncode
        detail = "not ended" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        if self.killed:
            return "killed", detail
        return ("retired", detail) if self.retired else ("died", detail)


def own_arguments() -> list[str]:
    """How this program was started: as a module, or as a file (the zip)."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.parent:
        return ["-m", spec.parent]
    return [sys.argv[0]]


def _page() -> int:
    """A descriptor of one page of memory to share."""
    if hasattr(os, "memfd_create"):
        page = os.memfd_create("asya-worker")
    else:
        with tempfile.TemporaryFile() as file:
            page = os.dup(file.fileno())
    os.ftruncate(page, mmap.PAGESIZE)
    return page
