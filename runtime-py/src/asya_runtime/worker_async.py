"""A worker for `async def` handlers: one event loop, many requests at the same time."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import socket
import threading
from collections import deque
from typing import Any

from . import channel as ch
from . import frames, oneshot
from .board import Board
from .call import Callee
from .channel import Channel
from .config import Config
from .context import Context, current
from .line import Line
from .recycle import Recycling
from .results import TIMED_OUT, failure, is_stream

# A request as this process knows it: the connection that it came on, and its id there.
Running = tuple[Line, int]
# Cancellations of requests that were answered just before are among them, so they are bounded.
_MAX_EARLY = 1024


class AsyncWorker:
    """Serves one socket until it is stopped."""

    def __init__(self, config: Config, callee: Callee, channel: Channel, board: Board, listener: socket.socket) -> None:
        self.config = config
        self.callee = callee
        self.channel = channel
        self.board = board
        self.listener = listener
        self.loop = _new_loop(config.uvloop)
        self.lines: set[Line] = set()
        self.waiting: deque[tuple[Line, int, bytes, bytes]] = deque()
        # By connection too: a sidecar that comes back counts its requests from the beginning.
        self.running: dict[Running, asyncio.Task[None]] = {}
        self.cancelled: set[Running] = set()
        # Cancelled before they came: the word comes by another socket than the request.
        self.early: set[int] = set()
        self.stopping: asyncio.Event = asyncio.Event()
        self.thread = threading.get_ident()
        self.one_shots: dict[int, asyncio.Task[None]] = {}
        self.recycling = Recycling(config, channel)

    def run(self) -> None:
        """Serves; returns when the worker is to exit."""
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._run())

    async def _run(self) -> None:
        self.listener.setblocking(False)
        server = await self.loop.create_unix_server(lambda: Line(self), sock=self.listener)
        self.loop.add_reader(self.channel.fileno(), self.command)
        self.channel.send(ch.READY, 1)
        await self.stopping.wait()
        server.close()
        # What has begun is finished; what has not stays unanswered, and runs elsewhere.
        self.waiting.clear()
        while self.running or self.one_shots:
            await asyncio.wait([*self.running.values(), *self.one_shots.values()])
        for line in self.lines:
            line.flush()
            if line.transport is not None:
                line.transport.close()
        while self.lines:
            await asyncio.sleep(0.005)

    def opened(self, line: Line) -> None:
        """A sidecar has connected."""
        self.lines.add(line)
        # Ids belong to a connection: what was cancelled on the one before means nothing here.
        self.early.clear()
        self.channel.send(ch.CONNECTIONS, len(self.lines))

    def closed(self, line: Line) -> None:
        """A sidecar has gone; what runs for it runs on, as nobody knows what it has done already."""
        self.lines.discard(line)
        self.waiting = deque(each for each in self.waiting if each[0] is not line)
        self.channel.send(ch.CONNECTIONS, len(self.lines))

    def command(self) -> None:
        """Does what the supervisor says."""
        message = self.channel.receive()
        if message is None:
            # Without a supervisor nobody would end this process.
            os._exit(0)
        kind, number, descriptor = message
        if kind == ch.CANCEL:
            self._cancel(number)
        elif kind == ch.STOP:
            self.stopping.set()
        elif kind == ch.ONE_SHOT and descriptor is not None:
            key = ch.one_shot_key(number)
            connection = socket.socket(fileno=descriptor)
            task = self.loop.create_task(self._one_shot(connection, ch.peeked_bytes(number)))
            self.one_shots[key] = task
            task.add_done_callback(lambda _: self._end_one_shot(key, connection))
        elif kind == ch.HUNG_UP and number in self.one_shots:
            self.one_shots[number].cancel()

    def take(self, line: Line, request: int, meta: bytes, payload: bytes) -> None:
        """Begins a request, or lets it wait for a free place."""
        if self.early and request in self.early:
            self.early.discard(request)
            line.send(_timed_out(request))
        elif len(self.running) < self.config.concurrency and not self.stopping.is_set():
            self._begin(line, request, meta, payload)
        else:
            self.waiting.append((line, request, meta, payload))

    def _begin(self, line: Line, request: int, meta: bytes, payload: bytes) -> None:
        task = self.loop.create_task(self._handle(line, request, meta, payload))
        self.running[line, request] = task

    def _next(self) -> None:
        while self.waiting and len(self.running) < self.config.concurrency and not self.stopping.is_set():
            self._begin(*self.waiting.popleft())

    def _cancel(self, request: int) -> None:
        # Only a sidecar that is still connected can mean its request.
        key = next((key for key in self.running if key[1] == request and key[0] in self.lines), None)
        if key is not None:
            self.cancelled.add(key)
            task = self.running[key]
            task.cancel()
            task.add_done_callback(lambda _: self.channel.send(ch.CANCELLED, request))
            return
        for each in self.waiting:
            if each[1] == request:
                self.waiting.remove(each)
                each[0].send(_timed_out(request))
                break
        else:
            if len(self.early) >= _MAX_EARLY:
                self.early.clear()
            self.early.add(request)
        self.channel.send(ch.CANCELLED, request)

    async def _handle(self, line: Line, request: int, meta: bytes, payload: bytes) -> None:
        callee = self.callee
        context = Context(meta, functools.partial(self._progress, line, request))
        current.set(context)
        reply: bytes
        try:
            argument = callee.argument(payload)
            before = callee.before(argument)
            value = callee.call(argument)
            if inspect.isawaitable(value):
                value = await value
            if is_stream(value):
                await self._stream(line, request, value, context, before)
                value = None
            items = callee.items(value, context, before)
            plain = len(items) == 1 and not items[0][0]
            reply = frames.one_result(request, items[0][1]) if plain else frames.result(request, items)
            self._answer(line, request, reply)
        except BaseException as error:
            self._answer(line, request, _error(request, error))
        finally:
            self.running.pop((line, request), None)
            self.cancelled.discard((line, request))
            self.recycling.count()
            self._next()

    def _answer(self, line: Line, request: int, reply: bytes) -> None:
        # However it ended: the sidecar has settled the message as timed out.
        if self.cancelled and (line, request) in self.cancelled:
            reply = _timed_out(request)
        line.send(reply)

    async def _stream(
        self, line: Line, request: int, stream: Any, context: Context, before: dict[str, Any] | None
    ) -> None:
        """Sends each yield on at once, and asks for the next when the sidecar keeps up."""

        async def send(value: Any) -> None:
            payload = self.callee.payload(value, before)
            line.send(frames.item(request, self.callee.meta(context), payload))
            line.flush()
            # A stream that waits for nothing would keep the loop, and with it its own cancellation, for itself.
            await asyncio.sleep(0)
            await line.writable.wait()

        if inspect.isasyncgen(stream):
            try:
                async for value in stream:
                    await send(value)
            finally:
                await stream.aclose()
        else:
            try:
                for value in stream:
                    await send(value)
            finally:
                stream.close()

    def _progress(self, line: Line, request: int, fraction: float, message: str) -> None:
        frame = frames.document(frames.PROGRESS, request, {"fraction": fraction, "message": message})
        if threading.get_ident() == self.thread:
            self._report(line, request, frame)
        else:
            self.loop.call_soon_threadsafe(self._report, line, request, frame)

    def _report(self, line: Line, request: int, frame: bytes) -> None:
        # A thread of the handler's may be late: the sidecar knows no request that has been answered.
        if (line, request) in self.running:
            line.send(frame)

    def _end_one_shot(self, key: int, connection: socket.socket) -> None:
        # Here and not in the task, which may be cancelled before it has begun.
        connection.close()
        del self.one_shots[key]
        self.channel.send(ch.ONE_SHOT_DONE, key)
        self.recycling.count()

    async def _one_shot(self, connection: socket.socket, peeked: bytes) -> None:
        connection.setblocking(False)
        try:
            answer = await self._one_shot_answer(connection, peeked)
        except (OSError, asyncio.TimeoutError) as failed:
            answer = oneshot.connection_error(str(failed) or "the request did not arrive")
        try:
            await self.loop.sock_sendall(connection, frames.length.pack(len(answer)) + answer)
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The sidecar has gone; it settles the message by its own timeout.
            pass

    async def _one_shot_answer(self, connection: socket.socket, peeked: bytes) -> bytes:
        async def exactly(data: bytes, size: int) -> bytes:
            buffer = bytearray(data)
            while len(buffer) < size:
                more = await asyncio.wait_for(self.loop.sock_recv(connection, 1 << 16), oneshot.PATIENCE)
                if not more:
                    raise ConnectionError("the connection ended inside the request")
                buffer += more
            return bytes(buffer)

        header = await exactly(peeked[:4], 4)
        size = frames.length.unpack_from(header)[0]
        if size > frames.MAX_FRAME:
            return oneshot.too_long(size)
        body = await exactly(header[4:] + peeked[4:], size)
        callee = self.callee
        try:
            shot = callee.read_one_shot(body)
            current.set(shot.context)
            before = callee.before(shot.argument)
            value = callee.call(shot.argument)
            if inspect.isawaitable(value):
                value = await value
            if inspect.isasyncgen(value):
                values = [each async for each in value]
            else:
                values = list(value if is_stream(value) else oneshot.values(value, callee.single))
            return callee.one_shot_reply(values, shot, before)
        except BaseException as error:
            return oneshot.error(error)


def _error(request: int, error: BaseException) -> bytes:
    return frames.document(frames.ERROR, request, failure(error).body)


def _timed_out(request: int) -> bytes:
    return frames.document(frames.ERROR, request, TIMED_OUT.body)


def _new_loop(use_uvloop: bool) -> asyncio.AbstractEventLoop:
    if use_uvloop:
        try:
            import uvloop

            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
        except ImportError:
            pass
    return asyncio.new_event_loop()
