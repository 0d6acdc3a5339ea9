"""Async handlers: many requests at a time on one event loop."""

from __future__ import annotations

import asyncio
import inspect
import socket
from contextlib import suppress
from typing import Any

from . import frames, jsons
from .config import Config
from .context import Context, enter
from .errors import InvalidResult, Unreadable, describe
from .frames import BODY_HEADER, HEADER_SIZE, Malformed, Reader
from .loader import Handler
from .oneshot import OneShot
from .results import Item, Results
from .worker import Line, Wear


class Peer(asyncio.Protocol):
    """One connection. Reading stops while the other end does not read what is written."""

    def __init__(self, worker: AsyncWorker) -> None:
        self.worker = worker
        self.reader = Reader(worker.config.max_frame)
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport: asyncio.Transport | None = None
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers where to write."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.worker.peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Starts a task for each request that has come."""
        try:
            for body in self.reader.feed(data):
                self.worker.start(self, body)
        except Malformed:
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """Nobody waits for the answers any more."""
        self.worker.peers.discard(self)
        self.writable.set()
        for task in self.tasks.values():
            task.cancel()

    def pause_writing(self) -> None:
        """The other end is slow."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """The other end has caught up."""
        self.writable.set()

    def write(self, data: bytes) -> None:
        """Writes without waiting."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Hangs up, after what is written."""
        if self.transport is not None:
            self.transport.close()


class AsyncWorker:
    """Runs requests as tasks, at most `concurrency` at a time."""

    def __init__(self, config: Config, handler: Handler, line: Line) -> None:
        self.config = config
        self.handler = handler
        self.line = line
        self.wear = Wear(config)
        self.decode, encode = jsons.dialect()
        self.results = Results(config, encode)
        self.oneshot = OneShot(config)
        self.envelope_mode = config.mode == "envelope"
        self.slots = asyncio.Semaphore(config.concurrency)
        self.peers: set[Peer] = set()
        self.timed_out: set[int] = set()
        self.retired = asyncio.Event()

    def start(self, peer: Peer, body: bytes) -> None:
        """One frame."""
        if len(body) < HEADER_SIZE:
            raise Malformed("a body without a header")
        kind, request = BODY_HEADER.unpack_from(body)
        if kind not in (frames.REQUEST, frames.ONESHOT) or self.retired.is_set():
            return
        run = self.request if kind == frames.REQUEST else self.one_shot
        task = asyncio.ensure_future(run(peer, request, body[HEADER_SIZE:]))
        peer.tasks[request] = task
        task.add_done_callback(lambda _: self.ended(peer, request))

    def ended(self, peer: Peer, request: int) -> None:
        """Tells the supervisor of a cancelled request, and retires when the worker has done its share."""
        peer.tasks.pop(request, None)
        if request in self.timed_out:
            self.timed_out.discard(request)
            self.line.say(cancelled=request)
        if self.wear.done():
            self.retired.set()

    async def request(self, peer: Peer, request: int, body: bytes) -> None:
        """Runs the handler and answers, whatever it does."""

        def report(fraction: float, message: str) -> None:
            if peer.writable.is_set():
                told = {"fraction": fraction, "message": message}
                peer.write(frames.json_frame(frames.PROGRESS, request, told))

        async def emit(item: Item) -> None:
            peer.write(frames.item(request, *item))
            await peer.writable.wait()

        try:
            async with self.slots:
                meta, payload = frames.split_request(body)
                items = await self.call(Context(meta, report), payload, emit)
            peer.write(frames.result(request, items))
        except asyncio.CancelledError:
            told = describe(TimeoutError("cancelled by the sidecar"), "timeout")
            peer.write(frames.json_frame(frames.ERROR, request, told))
        except Malformed:
            peer.close()
        except (SystemExit, Exception) as error:
            peer.write(frames.json_frame(frames.ERROR, request, describe(error)))

    async def one_shot(self, peer: Peer, request: int, body: bytes) -> None:
        """Answers a message of the one-shot protocol; generators are collected."""
        try:
            envelope, meta, payload = self.oneshot.read(body)
            collected: list[Item] = []

            async def collect(item: Item) -> None:
                collected.append(item)

            async with self.slots:
                items = await self.call(Context(meta), payload, collect)
            answer = self.oneshot.answer(envelope, collected + items)
        except (SystemExit, Exception) as error:
            answer = self.oneshot.failure(error)
        peer.write(frames.frame(frames.ONESHOT_ANSWER, request, answer))

    async def call(self, context: Context, payload: bytes, emit: Any) -> list[Item]:
        """Calls the handler; the items of a generator go to `emit`, those of a plain return come back."""
        try:
            value = self.decode(payload)
        except (ValueError, RecursionError) as error:
            raise Unreadable(str(error)) from error
        original = {"route": dict(value["route"])} if self.envelope_mode else None
        enter(context)  # the task's own: nothing to take back
        if self.handler.build is not None:
            value = self.handler.build(value)
        if self.handler.is_generator:
            async for part in self.handler.function(value):
                await emit(self.results.item(part, context, original))
            return []
        returned = await self.handler.function(value)
        if inspect.isasyncgen(returned):
            raise InvalidResult("the handler returned an async generator: declare it with `yield` itself")
        return self.results.items(returned, context, original)

    def listen(self) -> None:
        """Does what the supervisor says."""
        for word in self.line.words():
            if "cancel" in word:
                self.cancel(int(word["cancel"]))  # type: ignore[call-overload]
            if word.get("retire"):
                self.retired.set()

    def cancel(self, request: int) -> None:
        """Cancels a request, wherever it came from."""
        for peer in self.peers:
            if request in peer.tasks:
                self.timed_out.add(request)
                peer.tasks[request].cancel()
                return
        self.line.say(cancelled=request)

    async def drain(self) -> None:
        """Lets what runs come to its end."""
        while tasks := [task for peer in self.peers for task in peer.tasks.values()]:
            await asyncio.wait(tasks)
        for peer in list(self.peers):
            peer.close()
        await asyncio.sleep(0)


def serve(config: Config, handler: Handler, listener: socket.socket, line: Line) -> None:
    """Serves until retired; on uvloop where it is installed."""
    with suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_serve(config, handler, listener, line))


async def _serve(config: Config, handler: Handler, listener: socket.socket, line: Line) -> None:
    worker = AsyncWorker(config, handler, line)
    loop = asyncio.get_running_loop()
    loop.add_reader(line.socket.fileno(), worker.listen)
    server = await loop.create_unix_server(lambda: Peer(worker), sock=listener)
    await worker.retired.wait()
    server.close()
    await worker.drain()
    line.say(retired=True)
