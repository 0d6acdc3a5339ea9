"""The updates of one envelope, through lost connections."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Iterator

from . import sse
from .errors import StillRunning, Unavailable
from .http import BROKEN, Answering, Backoff, Http
from .records import FINAL, Update

SILENCE = 45.0  # seconds; the gateway says something every 15
# A connection that lived this long, in seconds, was a good one: what breaks after it is a new trouble.
GOOD = 10.0


class Stream:
    """Iterates over the updates of envelope `id`: history, then what happens, up to its end, none twice and none left
    out. A lost connection is made again where it was. Use it in a `with`, or close it; `close` may be called from
    another thread and ends the iteration.

    Raises `StillRunning` after `timeout` seconds, `Unavailable` when the gateway stays away.
    """

    def __init__(self, http: Http, id: str, after: int | None = None, timeout: float | None = None) -> None:
        self.id = id
        self.after = after
        self._http = http
        self._path = f"/envelopes/{urllib.parse.quote(id, safe='')}"
        self._until = None if timeout is None else time.monotonic() + timeout
        self._answering: Answering | None = None
        self._events: Iterator[sse.Event] = iter(())
        self._since = 0.0
        self._backoff: Backoff | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._over = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Update:
        with self._reading:
            try:
                return self._next()
            finally:
                if self._over:
                    self._leave()

    def close(self) -> None:
        """Ends the iteration."""
        self._over = True
        with self._lock:
            if self._answering is not None:
                self._answering.wake()
        # A thread that reads closes what it reads itself: under its hands it must not go.
        if self._reading.acquire(blocking=False):
            try:
                self._leave()
            finally:
                self._reading.release()

    def _next(self) -> Update:
        while not self._over:
            left = self._left()
            if left is not None and left <= 0:
                self._leave()
                raise StillRunning(self.id)
            try:
                event = next(self._opened(left), None)
            except (*BROKEN, Unavailable) as error:
                self._leave()
                if self._until is not None and isinstance(error, TimeoutError) and time.monotonic() >= self._until:
                    raise StillRunning(self.id) from None
                if not self._over and not self._again():
                    raise Unavailable("unreachable", f"the stream of {self.id} broke off: {error}") from error
                continue
            if event is not None and event.name == "update":
                self._backoff = None
                update = Update.of(json.loads(event.data))
                self.after = update.seq
                self._over = update.final
                return update
            if event is None or event.name == "slow":
                self._leave()
                self._ended()
        raise StopIteration

    def _left(self) -> float | None:
        return None if self._until is None else self._until - time.monotonic()

    def _opened(self, left: float | None) -> Iterator[sse.Event]:
        answering = self._answering
        if answering is None:
            headers = {"Accept": "text/event-stream"}
            if self.after is not None:
                headers["Last-Event-ID"] = str(self.after)
            answering = self._http.open(f"{self._path}/events", headers)
            with self._lock:
                self._answering = answering
            if self._over:  # closed meanwhile, by a thread that had nothing to wake
                answering.wake()
            self._since = time.monotonic()
            self._events = sse.events(answering.answer)
        answering.patience(SILENCE if left is None else min(SILENCE, left))
        return self._events

    def _leave(self) -> None:
        with self._lock:
            answering, self._answering = self._answering, None
        if answering is not None:
            answering.close()

    def _again(self) -> bool:
        now = time.monotonic()
        if self._backoff is None or (self._since and now - self._since > GOOD):
            left = self._left()
            self._backoff = Backoff(self._http.retry_for if left is None else min(left, self._http.retry_for))
        self._since = 0.0
        return self._backoff.again()

    def _ended(self) -> None:
        """The gateway closed the stream, and the last update was not the end: there is none left, or it comes."""
        _, record = self._http.ask("GET", self._path)
        if record["status"] in FINAL and not self._behind():
            self._over = True
        elif not self._over and not self._again():
            raise Unavailable("unreachable", f"the stream of {self.id} breaks off again and again")

    def _behind(self) -> bool:
        """Whether there are updates that were not told."""
        after = "" if self.after is None else f"&after={self.after}"
        _, answer = self._http.ask("GET", f"{self._path}/updates?limit=1{after}")
        return bool(answer["updates"])
