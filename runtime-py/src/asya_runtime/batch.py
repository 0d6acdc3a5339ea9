"""Batch handlers: several requests in one call, for models that do better with many at a time."""

from __future__ import annotations

import select
import time
from typing import Any

from . import frames
from .config import Config
from .context import Context, enter, leave
from .errors import InvalidResult, Unreadable, describe
from .frames import BODY_HEADER, HEADER_SIZE
from .loader import Handler
from .results import Item
from .worker import Line
from .worker_sync import READ, Peer, Retired, SyncWorker

# Shown as the running request while a batch runs: whichever of its requests is cancelled, the worker has begun it.
BATCH = 2**64 - 1

Part = tuple[int, bytes, bytes]


class BatchWorker(SyncWorker):
    """Collects up to `batch_max` requests, or as many as come within the wait, and calls the handler with the list."""

    def __init__(self, config: Config, handler: Handler, line: Line) -> None:
        super().__init__(config, handler, line)
        self.max = config.batch_max
        self.wait = config.batch_wait

    def run_all(self, peer: Peer, bodies: list[bytes]) -> None:
        """Batches of what has come; what is not a request is handled as ever."""
        until = time.monotonic() + self.wait
        parts: list[Part] = []
        waiting = list(bodies)
        while True:
            for body in waiting:
                kind, request = BODY_HEADER.unpack_from(body)
                if kind != frames.REQUEST:
                    self.run(peer, body)
                    continue
                parts.append((request, *frames.split_request(body[HEADER_SIZE:])))
                if len(parts) == self.max:
                    self.batch(peer, parts)
                    parts = []
            left = until - time.monotonic()
            if not parts or left <= 0 or not select.select([peer.connection], [], [], left)[0]:
                break
            data = peer.connection.recv(READ)
            if not data:
                break
            waiting = peer.reader.feed(data)
        if parts:
            self.batch(peer, parts)

    def batch(self, peer: Peer, parts: list[Part]) -> None:
        """One call; an exception of the whole call reruns its requests one by one, once."""
        if self.retiring:
            raise Retired
        if self.line.news():
            self.listen()
        self.line.running(BATCH)
        try:
            answers = self.answers(parts)
        except Exception as error:
            if len(parts) == 1:
                answers = [frames.json_frame(frames.ERROR, parts[0][0], describe(error))]
            else:
                answers = [self.single(part) for part in parts]
        finally:
            self.line.running(0)
        for answer in answers:
            peer.send(answer)
        peer.flush()
        self.retiring = self.wear.done(len(parts)) or self.retiring

    def single(self, part: Part) -> bytes:
        """A batch of one, with its answer whatever happens."""
        try:
            return self.answers([part])[0]
        except Exception as error:
            return frames.json_frame(frames.ERROR, part[0], describe(error))

    def answers(self, parts: list[Part]) -> list[bytes]:
        """The answers in order. A payload that cannot be read fails alone and is not in the list."""
        answers: dict[int, bytes] = {}
        arguments: list[Any] = []
        called: list[tuple[int, Context, Any]] = []
        for request, meta, payload in parts:
            try:
                value = self.value(payload)
                original = {"route": dict(value["route"])} if self.envelope_mode else None
                arguments.append(value if self.handler.build is None else self.handler.build(value))
                called.append((request, Context(meta), original))
            except Exception as error:
                answers[request] = frames.json_frame(frames.ERROR, request, describe(error))
        returned = self.call_batch(arguments, called[0][1]) if called else []
        for (request, context, original), value in zip(called, returned, strict=True):
            answers[request] = self.answer(request, context, original, value)
        return [answers[request] for request, _, _ in parts]

    def call_batch(self, arguments: list[Any], context: Context) -> list[Any]:
        """Calls the handler; its answer must be a list of the same length."""
        token = enter(context)
        try:
            returned = self.handler.function(arguments)
        finally:
            leave(token)
        if not isinstance(returned, list | tuple) or len(returned) != len(arguments):
            got = f"{len(returned)}" if isinstance(returned, list | tuple) else type(returned).__name__
            raise InvalidResult(f"a batch handler returns a list as long as its input: {len(arguments)}, not {got}")
        return list(returned)

    def answer(self, request: int, context: Context, original: Any, value: Any) -> bytes:
        """The answer to one request: an exception in its place fails it alone; a list is one payload here."""
        try:
            if isinstance(value, BaseException):
                raise value
            items: list[Item] = [] if value is None else [self.results.item(value, context, original)]
            return frames.result(request, items)
        except Exception as error:
            return frames.json_frame(frames.ERROR, request, describe(error))

    def value(self, payload: bytes) -> Any:
        """The decoded payload."""
        try:
            return self.decode(payload)
        except (ValueError, RecursionError) as error:
            raise Unreadable(str(error)) from error

    def call(self, context: Context, payload: bytes, emit: Any) -> list[Item]:
        """A message of the one-shot protocol is a batch of one."""
        value = self.value(payload)
        original = {"route": dict(value["route"])} if self.envelope_mode else None
        argument = value if self.handler.build is None else self.handler.build(value)
        (returned,) = self.call_batch([argument], context)
        if isinstance(returned, BaseException):
            raise returned
        return [] if returned is None else [self.results.item(returned, context, original)]


