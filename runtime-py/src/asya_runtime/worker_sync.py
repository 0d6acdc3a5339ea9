"""A worker for ordinary functions: one thread, one request after the other.

It reads all that is there, handles it, and writes the replies together, 1 to 20 ms after the first: a system call for
each reply costs more than a small handler. While a handler runs only the flusher works beside it, so that no reply
waits for the request behind it; the supervisor sees on the board what runs, and kills.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
import socket
import threading
from time import monotonic
from typing import Any

from . import board as boards
from . import channel as ch
from . import frames, oneshot
from .board import Board
from .call import Callee
from .channel import Channel
from .config import Config
from .connection import Connection
from .context import Context, current
from .errors import ProtocolError, TooLarge
from .flusher import Flusher
from .recycle import Recycling
from .results import TIMED_OUT, failure, is_stream

# Answers wait this long for others, so that many small ones leave in one write.
COALESCE = 0.001
# One that waits behind a slow request is sent on after this. More often, and the other thread would cost a quick
# handler a quarter of its requests a second.
LATE = 0.01
# Below this size no reply can be above a sidecar's limit; it saves the look at the board.
_SURELY_SMALL = 64 * 1024


class Stop(Exception):
    """The supervisor says: end now; what has not begun stays unanswered."""


class SyncWorker:
    """Serves one socket until it is stopped."""

    def __init__(self, config: Config, callee: Callee, channel: Channel, board: Board, listener: socket.socket) -> None:
        self.config = config
        self.callee = callee
        self.channel = channel
        self.board = board
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.connections: set[Connection] = set()
        self.cancelled: set[int] = set()
        self.recycling = Recycling(config, channel)
        self.thread = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.flusher = Flusher(LATE, self._flush_late)

    def run(self) -> None:
        """Serves; returns when the worker is to exit."""
        self.thread = threading.get_ident()
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.channel, selectors.EVENT_READ)
        self.channel.send(ch.READY)
        try:
            while True:
                for key, _ in self.selector.select(self.patience()):
                    if key.fileobj is self.listener:
                        self._accept()
                    elif key.fileobj is self.channel:
                        self.command()
                    else:
                        self._serve(key.data)
                self.work()
        except Stop:
            for connection in self.connections:
                self._try_flush(connection)

    def patience(self) -> float | None:
        """How long to wait for the next request."""
        return None

    def work(self) -> None:
        """What is to be done after reading; a batch worker calls its handler here."""

    def _accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(True)
        connection = Connection(sock)
        self.connections.add(connection)
        # Ids belong to a connection: what was cancelled on the one before means nothing here.
        self.cancelled.clear()
        self.selector.register(sock, selectors.EVENT_READ, connection)
        self.channel.send(ch.CONNECTIONS, len(self.connections))

    def close(self, connection: Connection) -> None:
        """Forgets a connection."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.selector.unregister(connection.sock)
            connection.sock.close()
            self.channel.send(ch.CONNECTIONS, len(self.connections))

    def _try_flush(self, connection: Connection) -> None:
        try:
            connection.flush()
        except OSError:
            self.close(connection)

    def _flush_late(self) -> bool:
        """In the flusher's thread: sends what has waited long enough; whether anything waits."""
        waits = False
        for connection in list(self.connections):
            if connection.out:
                waits = True
                if monotonic() - connection.since > COALESCE:
                    try:
                        connection.flush()
                    except OSError:
                        # The worker's next read or write of it notices its end.
                        pass
        return waits

    def command(self) -> None:
        """Does what the supervisor says."""
        message = self.channel.receive()
        if message is None:
            raise Stop
        kind, number, descriptor = message
        if kind == ch.CANCEL:
            self.cancelled.add(number)
            self.channel.send(ch.CANCELLED, number)
        elif kind == ch.STOP:
            raise Stop
        elif kind == ch.ONE_SHOT and descriptor is not None:
            oneshot.serve(socket.socket(fileno=descriptor), ch.peeked_bytes(number), self._one_shot)
            self.channel.send(ch.ONE_SHOT_DONE, ch.one_shot_key(number))
            self.recycling.count()

    def look(self) -> None:
        """The board says that there is news on the channel; it is read before the next request begins."""
        flags, self.board.flags = self.board.flags, 0
        if flags & boards.LOOK_STOP:
            raise Stop
        poll = selectors.DefaultSelector()
        try:
            poll.register(self.channel, selectors.EVENT_READ)
            while poll.select(0):
                self.command()
        finally:
            poll.close()

    def _serve(self, connection: Connection) -> None:
        try:
            data = connection.receive()
            if data is None:
                self.close(connection)
            elif data:
                self._frames(connection, data)
                if connection.out:
                    connection.flush()
        except (OSError, ProtocolError):
            self.close(connection)

    def _frames(self, connection: Connection, data: bytes) -> None:
        at, end, cap = 0, len(data), frames.MAX_FRAME
        memory, unpack, handle = self.board.memory, frames.request_head.unpack_from, self.handle
        flusher, size = self.flusher, 0
        while end - at >= 17:
            size, kind, request, meta_size = unpack(data, at)
            if size > cap or size < frames.HEADER:
                raise ProtocolError(f"frame of {size} bytes")
            if end - at - 4 < size:
                break
            after = at + 4 + size
            if kind == frames.REQUEST:
                payload = at + 17 + meta_size
                if size < 13 or payload > after:
                    raise ProtocolError("section is longer than its frame")
                memory[0:9] = data[at + 4 : at + 13]
                if memory[16]:
                    self.look()
                handle(connection, request, data[at + 17 : payload], data[payload:after])
                memory[0] = 0
                if connection.out:
                    if monotonic() - connection.since > COALESCE:
                        connection.flush()
                    elif flusher.asleep and after < end:
                        flusher.call()
            at = after
        rest = data[at:] if at else data
        if len(rest) >= 4:
            size = frames.length.unpack_from(rest)[0]
            if size > cap or size < frames.HEADER:
                raise ProtocolError(f"frame of {size} bytes")
            # A frame of 9 to 12 bytes is no request; it may end here and now.
            if len(rest) >= 4 + size:
                if rest[4] == frames.REQUEST:
                    raise ProtocolError("request without a section")
                rest = rest[4 + size :]
                size = 0
        connection.keep(rest, size + 4 if len(rest) >= 4 else 0)

    def answer(self, connection: Connection, frame: bytes) -> None:
        """Puts a reply to those that wait. Raises TooLarge."""
        if len(frame) > _SURELY_SMALL and len(frame) - 4 > self.board.max_reply:
            raise TooLarge(f"reply of {len(frame) - 4} bytes; the sidecar reads {self.board.max_reply}")
        if not connection.out:
            connection.since = monotonic()
        connection.out.append(frame)

    def handle(self, connection: Connection, request: int, meta: bytes, payload: bytes) -> None:
        """Runs one request and puts its reply to the others."""
        if self.cancelled and request in self.cancelled:
            self.cancelled.discard(request)
            self.answer(connection, frames.document(frames.ERROR, request, TIMED_OUT.body))
            return
        callee = self.callee
        context = Context(meta, functools.partial(self._progress, connection, request))
        current.set(context)
        try:
            argument = callee.argument(payload)
            before = callee.before(argument) if callee.is_envelope else None
            value = callee.call(argument)
            if type(value) is dict and before is None:
                # Nearly every result: no need to look what it is.
                changes = callee.meta(context)
                if changes:
                    reply = frames.result(request, [(changes, callee.payload(value))])
                else:
                    reply = frames.one_result(request, callee.payload(value))
            else:
                if inspect.iscoroutine(value):
                    value = self._await(value)
                if is_stream(value):
                    self._stream(connection, request, value, context, before)
                    value = None
                reply = frames.result(request, callee.items(value, context, before))
            self.answer(connection, reply)
        except BaseException as error:
            self._fail(connection, request, error)
        finally:
            current.set(None)
            self.recycling.count()

    def _fail(self, connection: Connection, request: int, error: BaseException) -> None:
        self.answer(connection, frames.document(frames.ERROR, request, failure(error).body))

    def _stream(
        self,
        connection: Connection,
        request: int,
        stream: Any,
        context: Context,
        before: dict[str, Any] | None,
    ) -> None:
        """Sends each yield on at once."""
        if inspect.isasyncgen(stream):
            stream = self._drain(stream)
        try:
            for value in stream:
                payload = self.callee.payload(value, before)
                self.answer(connection, frames.item(request, self.callee.meta(context), payload))
                connection.flush()
        finally:
            stream.close()

    def _drain(self, stream: Any) -> Any:
        try:
            while True:
                try:
                    value = self._await(stream.__anext__())
                except StopAsyncIteration:
                    return
                yield value
        finally:
            self._await(stream.aclose())

    def _await(self, awaitable: Any) -> Any:
        """For a function that is not `async def` but returns something to await."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
        return self.loop.run_until_complete(awaitable)

    def _progress(self, connection: Connection, request: int, fraction: float, message: str) -> None:
        # A thread of the handler's may be late: the sidecar knows no request that has been answered.
        if not self.board.runs(request):
            return
        body = frames.document(frames.PROGRESS, request, {"fraction": fraction, "message": message})
        try:
            if threading.get_ident() == self.thread:
                connection.out.append(body)
                connection.flush()
            else:
                connection.send_while(body, lambda: self.board.runs(request))
        except OSError:
            # The connection's end is noticed by the next read; a report is no reason to fail.
            pass

    def _one_shot(self, body: bytes) -> bytes:
        """One message of an older sidecar."""
        callee = self.callee
        try:
            shot = callee.read_one_shot(body)
            current.set(shot.context)
            before = callee.before(shot.argument)
            value = callee.call(shot.argument)
            if inspect.iscoroutine(value):
                value = self._await(value)
            if is_stream(value):
                values = list(self._drain(value) if inspect.isasyncgen(value) else value)
            else:
                values = list(oneshot.values(value, callee.single))
            return callee.one_shot_reply(values, shot, before)
        except BaseException as error:
            return oneshot.error(error)
        finally:
            current.set(None)
