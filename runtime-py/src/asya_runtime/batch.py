"""A worker for batch handlers: a list of payloads in, a list of results of the same length out."""

from __future__ import annotations

import functools
import inspect
from time import monotonic
from typing import Any

from . import frames, oneshot
from .connection import Connection
from .context import Context, current
from .errors import BadResult
from .results import TIMED_OUT
from .worker_sync import Stop, SyncWorker


class Item:
    """One request of a batch."""

    __slots__ = ("argument", "connection", "context", "request")

    def __init__(self, connection: Connection, request: int, context: Context, argument: Any) -> None:
        self.connection = connection
        self.request = request
        self.context = context
        self.argument = argument


class BatchWorker(SyncWorker):
    """Collects requests until the batch is full, or the first of it has waited long enough."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.waiting: list[tuple[Connection, int, bytes, bytes]] = []
        self.since = 0.0

    def patience(self) -> float | None:
        if not self.waiting:
            return None
        return max(0.0, self.since + self.config.batch_wait - monotonic())

    def handle(self, connection: Connection, request: int, meta: bytes, payload: bytes) -> None:
        # Nothing has begun yet: the batch says so itself when it does.
        self.board.memory[0] = 0
        if not self.waiting:
            self.since = monotonic()
        self.waiting.append((connection, request, meta, payload))

    def work(self) -> None:
        limit = self.config.batch_max
        while len(self.waiting) >= limit or (self.waiting and self.patience() == 0.0):
            batch, self.waiting = self.waiting[:limit], self.waiting[limit:]
            self.board.begin_batch([request for _, request, _, _ in batch])
            try:
                if self.board.flags:
                    self.look()
                items = [item for each in batch if (item := self._read(*each)) is not None]
                if items:
                    self._run(items)
                self.recycling.count(len(batch))
            finally:
                self.board.end_batch()
            for connection in {each[0] for each in batch}:
                self._try_flush(connection)

    def _read(self, connection: Connection, request: int, meta: bytes, payload: bytes) -> Item | None:
        if request in self.cancelled:
            self.cancelled.discard(request)
            self.answer(connection, frames.document(frames.ERROR, request, TIMED_OUT.body))
            return None
        context = Context(meta, functools.partial(self._progress, connection, request))
        try:
            return Item(connection, request, context, self.callee.argument(payload))
        except Exception as error:
            self._fail(connection, request, error)
            return None

    def _call(self, items: list[Item]) -> list[Any]:
        """Runs the handler over these items. Raises what it raises, or BadResult for another length."""
        current.set(tuple(item.context for item in items))
        try:
            values = self.callee.call([item.argument for item in items])
            if inspect.iscoroutine(values):
                values = self._await(values)
        finally:
            current.set(None)
        if not isinstance(values, list | tuple) or len(values) != len(items):
            found = f"{len(values)} results" if isinstance(values, list | tuple) else type(values).__name__
            raise BadResult(f"a batch handler must return a list as long as its input: {len(items)}, not {found}")
        return list(values)

    def _run(self, items: list[Item]) -> None:
        befores = [self.callee.before(item.argument) for item in items]
        try:
            values = self._call(items)
        except Stop:
            raise
        except BaseException as error:
            if len(items) == 1:
                self._fail(items[0].connection, items[0].request, error)
                return
            # One of them spoils the call and nobody knows which: each gets a call of its own, once.
            for item in items:
                self._run([item])
                # The next of them may hang, and what has been answered must not be lost with it.
                self._try_flush(item.connection)
            return
        for item, value, before in zip(items, values, befores, strict=True):
            try:
                if isinstance(value, BaseException):
                    raise value
                # A list in the place of one result is one payload.
                reply = frames.result(item.request, self.callee.items(value, item.context, before, single=True))
                self.answer(item.connection, reply)
            except BaseException as error:
                self._fail(item.connection, item.request, error)

    def _one_shot(self, body: bytes) -> bytes:
        try:
            shot = self.callee.read_one_shot(body)
            before = self.callee.before(shot.argument)
            value = self._call([Item(None, 0, shot.context, shot.argument)])[0]  # type: ignore[arg-type]
            if isinstance(value, BaseException):
                raise value
            return self.callee.one_shot_reply(list(oneshot.values(value, single=True)), shot, before)
        except BaseException as error:
            return oneshot.error(error)
