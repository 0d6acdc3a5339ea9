"""The runtime inside the sidecar's own process: the same workers without supervisor, processes and sockets.

Called by `asya-sidecar-py` only, on the interpreter's main thread. `inlet` is where requests come from, a `call` is one
of them; both are made in Rust. The worker classes write their frames to an object in memory instead of a connection.
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import functools
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol, cast

from . import config as configs
from . import frames, output
from .batch import BatchWorker
from .board import Board
from .call import Callee
from .channel import Channel
from .config import Config
from .connection import Connection
from .errors import TooLarge
from .line import Line
from .loader import Loaded, load
from .log import Log
from .worker_async import AsyncWorker
from .worker_sync import SyncWorker

# What the sidecar may have in these variables without it meaning anything here.
_SHARED = {"ASYA_LOG_LEVEL": ("debug", "info", "warning", "error"), "ASYA_LOG_FORMAT": ("json", "text")}


class Call(Protocol):
    """One request."""

    id: int

    def body(self) -> bytes:
        """The body of a REQUEST."""

    def send(self, frame: bytes) -> bool:
        """Takes a frame, waiting for room; False: nobody waits for this request any more."""

    def write(self, frame: bytes) -> bool:
        """Takes a frame without waiting; False: pause until there is room."""

    def done(self) -> None:
        """An async call is over."""


class Inlet(Protocol):
    """Where requests come from."""

    def fileno(self) -> int:
        """Readable when `take` has something."""

    def take(self) -> list[tuple[str, Call | None]]:
        """What an event loop is told; never waits."""

    def next(self) -> Call | None:
        """Waits for the next request; those before it are over."""

    def more(self, seconds: float) -> Call | None:
        """One more for a batch, if it comes in time."""


class Abandoned(ConnectionError):
    """Nobody waits for this request any more. Like a lost connection: reports of progress do not fail by it."""


class _NoChannel:
    """There is no supervisor: the sidecar sees everything itself."""

    def send(self, kind: bytes, number: int = 0) -> bool:
        return True


class _Listener:
    """No listener either."""


class Seat:
    """Stands where a sync worker has its connection."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.out: deque[bytes] = deque()
        self.since = 0.0
        self.lock = threading.Lock()

    def flush(self) -> None:
        """Passes on what waits. Blocks while the sidecar does not take it: that is the back-pressure."""
        with self.lock:
            while self.out:
                if not self.call.send(self.out.popleft()):
                    raise Abandoned("nobody waits for this request any more")

    def send_while(self, frame: bytes, holds: Callable[[], bool]) -> None:
        """Passes on a frame of another thread, unless the request that it is about is over."""
        with self.lock:
            if holds():
                self.call.send(frame)


class Desk:
    """Stands where an async worker has its connection."""

    def __init__(self, call: Call, limit: int) -> None:
        self.call = call
        self.limit = limit
        self.writable = asyncio.Event()
        self.writable.set()

    def send(self, frame: bytes) -> None:
        """Passes a frame on. Raises TooLarge."""
        if len(frame) - 4 > self.limit:
            raise TooLarge(f"reply of {len(frame) - 4} bytes; the sidecar reads {self.limit}")
        if not self.call.write(frame):
            self.writable.clear()

    def flush(self) -> None:
        """Nothing is kept back."""


class Printed(output.Tagged):
    """Writes what handlers print as log lines: there is no supervisor to do it."""

    def __init__(self, descriptor: int, log: Log) -> None:
        super().__init__(descriptor)
        self._log = log

    def _emit(self, text: str) -> None:
        name = "stdout" if self._descriptor == 1 else "stderr"
        for line in text.split("\n")[:-1]:
            self._log.printed(0, name, line.encode("utf-8", "backslashreplace"))
        self._log.write()


class Embedded:
    """The loaded handler, and the loop that serves it."""

    def __init__(self, config: Config, loaded: Loaded, log: Log) -> None:
        self.config = config
        self.callee = Callee(loaded, config)
        self.log = log
        self.envelope_mode = config.mode == "envelope"
        self.batch = config.batch_max > 1
        self.is_async = loaded.is_async and not self.batch
        self.running = config.batch_max if self.batch else config.concurrency if self.is_async else 1

    def serve(self, inlet: Inlet, max_frame: int) -> None:
        """Serves until there is nothing more to come."""
        board = Board(self.config.batch_max)
        board.max_reply = max_frame
        without = (cast(Channel, _NoChannel()), board, cast(socket.socket, _Listener()))
        if self.batch:
            self._serve_batches(inlet, BatchWorker(self.config, self.callee, *without))
        elif self.is_async:
            worker = AsyncWorker(self.config, self.callee, *without)
            asyncio.set_event_loop(worker.loop)
            worker.loop.run_until_complete(self._serve_async(inlet, worker))
        else:
            self._serve_sync(inlet, SyncWorker(self.config, self.callee, *without))
        if threading.current_thread() is threading.main_thread():
            # The process ends without the interpreter's own end; what handlers registered still runs.
            atexit._run_exitfuncs()
            output.finish()
            self.log.drain(0.2)

    def _serve_sync(self, inlet: Inlet, worker: SyncWorker) -> None:
        while (call := inlet.next()) is not None:
            seat = Seat(call)
            body = call.body()
            # The board says what runs; a progress that comes after it is late.
            worker.board.memory[0 : frames.HEADER] = body[: frames.HEADER]
            worker.handle(cast(Connection, seat), *frames.parse_request(body))
            worker.board.memory[0] = 0
            with suppress(Abandoned):
                seat.flush()

    def _serve_batches(self, inlet: Inlet, worker: BatchWorker) -> None:
        while (call := inlet.next()) is not None:
            until = monotonic() + self.config.batch_wait
            more: Call | None = call
            while more is not None:
                worker.handle(cast(Connection, Seat(more)), *frames.parse_request(more.body()))
                full = len(worker.waiting) == self.config.batch_max
                more = None if full else inlet.more(max(0.0, until - monotonic()))
            # What has come is the batch, full or not.
            worker.since = float("-inf")
            worker.work()

    async def _serve_async(self, inlet: Inlet, worker: AsyncWorker) -> None:
        desks: dict[int, Desk] = {}
        stopped = asyncio.Event()

        def ended(call: Call, _task: object) -> None:
            line = cast(Line, desks.pop(call.id))
            # One that was cancelled before its first step has not taken itself off the list.
            worker.running.pop((line, call.id), None)
            worker.lines.discard(line)
            call.done()

        def hear() -> None:
            for word, call in inlet.take():
                if call is None:
                    stopped.set()
                elif word == "start":
                    desk = desks[call.id] = Desk(call, worker.board.max_reply)
                    line = cast(Line, desk)
                    worker.lines.add(line)
                    worker.take(line, *frames.parse_request(call.body()))
                    worker.running[line, call.id].add_done_callback(functools.partial(ended, call))
                elif word == "cancel":
                    worker._cancel(call.id)
                elif call.id in desks:
                    desks[call.id].writable.set()

        worker.loop.add_reader(inlet.fileno(), hear)
        hear()
        await stopped.wait()
        worker.loop.remove_reader(inlet.fileno())


def prepare() -> Embedded:
    """Reads the environment and loads the handler. Raises ConfigError, LoadError."""
    usable = {name: text for name, text in os.environ.items() if text in _SHARED.get(name, (text,))}
    if os.environ.get("ASYA_LOG_FORMAT") == "human":
        usable["ASYA_LOG_FORMAT"] = "text"
    config = configs.read(usable)
    log = Log(config.log_format, config.log_level)
    if not isinstance(sys.stdout, output.Tagged):
        sys.stdout, sys.stderr = Printed(1, log), Printed(2, log)
    os.environ["ASYA_WORKER_ID"] = "0"
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    for name, wanted in (
        ("ASYA_WORKERS", config.workers > 1),
        ("ASYA_WORKER_MAX_REQUESTS", config.max_requests > 0),
        ("ASYA_WORKER_MAX_RSS_MB", config.max_rss > 0),
    ):
        if wanted:
            log.say("warning", f"{name} is not used: the handler runs inside the sidecar, as its only worker")
    log.write()
    config = dataclasses.replace(config, workers=1, max_requests=0, max_rss=0)
    return Embedded(config, load(config.handler, batch=config.batch_max > 1), log)
