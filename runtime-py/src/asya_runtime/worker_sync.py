"""Sync handlers: one thread, one request after the other, answers in order.

Read once, handle everything that came, write once (or after a millisecond): a thread or a task per message would cost
more than most handlers do.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Any

from . import frames, jsons
from .config import Config
from .context import Context, enter, leave
from .errors import Unreadable, describe
from .frames import BODY_HEADER, HEADER_SIZE, Malformed, Reader
from .loader import Handler
from .oneshot import OneShot
from .results import Item, Results
from .worker import Line, Wear

READ = 256 * 1024
# How long an answer may wait for the ones behind it.
COALESCE = 0.001


class Retired(Exception):
    """The worker has done its share; what it has not begun goes to another."""


class Peer:
    """One connection: the sidecar's, or the supervisor's for one-shot messages."""

    def __init__(self, connection: socket.socket, max_frame: int) -> None:
        self.connection = connection
        self.reader = Reader(max_frame)
        self.out: list[bytes] = []
        self.since = 0.0

    def send(self, data: bytes) -> None:
        """Keeps data for the next write, which is at most a millisecond away while the worker answers."""
        if not self.out:
            self.since = time.monotonic()
        self.out.append(data)
        if time.monotonic() - self.since > COALESCE:
            self.flush()

    def flush(self) -> None:
        """Writes what is kept. Waits for the sidecar when it does not read: this is the back-pressure."""
        if self.out:
            data, self.out = b"".join(self.out), []
            self.connection.sendall(data)


class SyncWorker:
    """Runs requests of all peers in the order in which they came."""

    def __init__(self, config: Config, handler: Handler, line: Line) -> None:
        self.handler = handler
        self.line = line
        self.wear = Wear(config)
        self.decode, encode = jsons.dialect()
        self.results = Results(config, encode)
        self.envelope_mode = config.mode == "envelope"
        self.oneshot = OneShot(config)
        self.cancelled: set[int] = set()
        self.retiring = False

    def run_all(self, peer: Peer, bodies: list[bytes]) -> None:
        """All frames that have come, in order."""
        for body in bodies:
            self.run(peer, body)

    def run(self, peer: Peer, body: bytes) -> None:
        """One frame."""
        if len(body) < HEADER_SIZE:
            raise Malformed("a body without a header")
        kind, request = BODY_HEADER.unpack_from(body)
        if self.line.news():
            self.listen()
        if kind == frames.REQUEST:
            if self.retiring:
                raise Retired
            meta, payload = frames.split_request(body[HEADER_SIZE:])
            self.line.running(request)
            self.request(peer, request, meta, payload)
            self.line.running(0)
        elif kind == frames.ONESHOT:
            self.line.running(request)
            peer.send(frames.frame(frames.ONESHOT_ANSWER, request, self.one_shot(body[HEADER_SIZE:])))
            self.line.running(0)
        else:
            return
        self.retiring = self.wear.done() or self.retiring

    def request(self, peer: Peer, request: int, meta: bytes, payload: bytes) -> None:
        """Runs the handler and answers, whatever it does."""
        if request in self.cancelled:
            self.cancelled.discard(request)
            peer.send(frames.json_frame(frames.ERROR, request, describe(TimeoutError("cancelled"), "timeout")))
            return

        def report(fraction: float, message: str) -> None:
            peer.send(frames.json_frame(frames.PROGRESS, request, {"fraction": fraction, "message": message}))
            peer.flush()

        def emit(item: Item) -> None:
            peer.send(frames.item(request, *item))
            peer.flush()

        try:
            items = self.call(Context(meta, report), payload, emit)
            peer.send(frames.result(request, items))
        except (SystemExit, Exception) as error:
            peer.send(frames.json_frame(frames.ERROR, request, describe(error)))

    def call(self, context: Context, payload: bytes, emit: Any) -> list[Item]:
        """Calls the handler; the items of a generator go to `emit`, those of a plain return come back."""
        try:
            value = self.decode(payload)
        except (ValueError, RecursionError) as error:
            raise Unreadable(str(error)) from error
        original = {"route": dict(value["route"])} if self.envelope_mode else None
        build = self.handler.build
        token = enter(context)
        try:
            argument = value if build is None else build(value)
            returned = self.handler.function(argument)
            if not self.handler.is_generator:
                return self.results.items(returned, context, original)
            for value in returned:
                emit(self.results.item(value, context, original))
            return []
        finally:
            leave(token)

    def one_shot(self, body: bytes) -> bytes:
        """The answer to a message of the one-shot protocol; generators are collected."""
        try:
            envelope, meta, payload = self.oneshot.read(body)
            collected: list[Item] = []
            items = self.call(Context(meta), payload, collected.append)
            return self.oneshot.answer(envelope, collected + items)
        except (SystemExit, Exception) as error:
            return self.oneshot.failure(error)

    def listen(self) -> None:
        """Does what the supervisor says."""
        for word in self.line.words():
            if "cancel" in word:
                self.cancelled.add(int(word["cancel"]))  # type: ignore[call-overload]
            if word.get("retire"):
                self.retiring = True


def serve(config: Config, handler: Handler, listener: socket.socket, line: Line) -> None:
    """Serves until retired."""
    if handler.batch:
        from .batch import BatchWorker

        worker: SyncWorker = BatchWorker(config, handler, line)
    else:
        worker = SyncWorker(config, handler, line)
    selector = selectors.DefaultSelector()
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    selector.register(line.socket, selectors.EVENT_READ)
    try:
        while not worker.retiring:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.setblocking(True)
                    peer = Peer(connection, config.max_frame)
                    selector.register(connection, selectors.EVENT_READ, peer)
                elif key.fileobj is line.socket:
                    worker.listen()
                elif not _serve_peer(worker, key.data):
                    selector.unregister(key.fileobj)
                    key.data.connection.close()
    except Retired:
        pass
    for key in list(selector.get_map().values()):
        if isinstance(key.data, Peer):
            key.data.flush()
    line.say(retired=True)


def _serve_peer(worker: SyncWorker, peer: Peer) -> bool:
    """Reads once and handles all of it; false when the connection is at its end."""
    try:
        data = peer.connection.recv(READ)
        if not data:
            return False
        bodies = peer.reader.feed(data)
        worker.run_all(peer, bodies)
        peer.flush()
    except (Malformed, OSError):
        return False
    return True
