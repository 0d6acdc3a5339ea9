"""When a worker is to be replaced by a fresh one: after so many requests, or above so much memory."""

from __future__ import annotations

import os
import resource
import sys
from time import monotonic

from . import channel as ch
from .channel import Channel
from .config import Config

# Memory is looked at no more often than this; it is a guard against slow leaks, not a limit.
LOOK = 1.0


class Recycling:
    """Counts requests and asks the supervisor, once, to be retired."""

    def __init__(self, config: Config, channel: Channel) -> None:
        self._channel = channel
        self._left = config.max_requests
        self._max_rss = config.max_rss
        self._on = bool(config.max_requests or config.max_rss)
        self._next_look = 0.0

    def count(self, requests: int = 1) -> None:
        """So many requests have been answered."""
        if not self._on:
            return
        if self._left:
            self._left -= requests
            if self._left <= 0:
                self._retire()
                return
        if self._max_rss and monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK
            if resident() > self._max_rss:
                self._retire()

    def _retire(self) -> None:
        self._on = False
        self._channel.send(ch.RETIRE)


def resident() -> int:
    """Bytes of memory that this process holds now (its maximum so far where /proc is missing)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
