"""A sidecar's connection to an async worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from . import frames
from .errors import ProtocolError, TooLarge
from .frames import Splitter

if TYPE_CHECKING:
    from .worker_async import AsyncWorker


class Line(asyncio.Protocol):
    """A sidecar's connection: its requests, and the replies that leave together once a turn of the loop."""

    def __init__(self, worker: AsyncWorker) -> None:
        self.worker = worker
        self.splitter = Splitter()
        self.transport: asyncio.Transport | None = None
        self.out: list[bytes] = []
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)
        self.worker.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self.worker.closed(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            for body in self.splitter.feed(data):
                if body[0] == frames.REQUEST:
                    self.worker.take(self, *frames.parse_request(body))
        except ProtocolError:
            if self.transport is not None:
                self.transport.abort()

    def send(self, frame: bytes) -> None:
        """Sends a frame. Raises TooLarge."""
        limit = self.worker.board.max_reply
        if len(frame) - 4 > limit:
            raise TooLarge(f"reply of {len(frame) - 4} bytes; the sidecar reads {limit}")
        if not self.out:
            self.worker.loop.call_soon(self.flush)
        self.out.append(frame)

    def flush(self) -> None:
        """Writes what waits."""
        out, self.out = self.out, []
        if out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(out))
