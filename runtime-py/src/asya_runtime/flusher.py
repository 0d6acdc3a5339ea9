"""Sends small replies on while a slow request runs that came right behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep

# So many looks without anything to do before it sleeps until it is called again.
_QUIET_LOOKS = 20


class Flusher:
    """A thread that exists only where requests come faster than they are answered, and sleeps otherwise.

    `look` is called about once in `interval` seconds; it says whether there is something that waits.
    """

    def __init__(self, interval: float, look: Callable[[], bool]) -> None:
        self.asleep = True
        self._interval = interval
        self._look = look
        self._called = threading.Event()
        self._thread: threading.Thread | None = None

    def call(self) -> None:
        """Something waits. To be called when `asleep`; else it is seen at the next look."""
        self.asleep = False
        self._called.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="asya-flusher", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._called.wait()
            self._called.clear()
            quiet = 0
            while quiet < _QUIET_LOOKS:
                sleep(self._interval)
                quiet = 0 if self._look() else quiet + 1
            self.asleep = True
            # What came between the last look and the line above has called nobody.
            if self._look():
                self.asleep = False
                self._called.set()
