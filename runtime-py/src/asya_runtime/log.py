"""Log lines of the supervisor and of handlers. Never blocks: what cannot be written is dropped and counted."""

from __future__ import annotations

import json
import os
import select
import stat
import sys
import time
from collections import deque

from .output import END, TAG

# Lines that wait for a slow reader; above it they are dropped.
MAX_WAITING = 4 * 1024 * 1024
# A pipe that select calls writable takes this much without blocking.
_PIECE = 4096
# A longer line of a handler is cut: many collectors of logs take no more than 16 KiB, JSON's escapes included.
MAX_LINE = 8 * 1024
# What a line may have before its text: the id of its message.
MAX_TAG = 1024 + 2
_TAG, _END = TAG.encode(), END.encode()
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes lines to standard error, as text or JSON."""

    def __init__(self, form: str = "text", level: str = "info", descriptor: int = 2) -> None:
        self._json = form == "json"
        self._level = _LEVELS[level]
        self._fd = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        try:
            mode = os.fstat(descriptor).st_mode
            self._never_blocks = stat.S_ISREG(mode)
        except OSError:
            self._never_blocks = False

    def say(self, level: str, message: str, **fields: object) -> None:
        """A line of the supervisor's own."""
        if _LEVELS[level] < self._level:
            return
        if self._json:
            line = {"time": _now(), "level": level, "message": message, **fields}
            self._put(json.dumps(line, default=str).encode())
        else:
            extra = "".join(f" {key}={value}" for key, value in fields.items())
            self._put(f"{_now()} {level.upper():7} {message}{extra}".encode("utf-8", "backslashreplace"))

    def printed(self, worker: int, stream: str, line: bytes, cut: int = 0) -> None:
        """A line that a handler printed; `cut` bytes of its end are missing already."""
        envelope = ""
        if line.startswith(_TAG):
            tag, _, line = line[1:].partition(_END)
            envelope = tag.decode("utf-8", "replace")
        cut += max(0, len(line) - MAX_LINE)
        text = line[:MAX_LINE].decode("utf-8", "replace")
        if cut:
            text += f" … ({cut} bytes more)"
        if self._json:
            fields: dict[str, object] = {"time": _now(), "level": "info", "message": text, "stream": stream}
            fields["worker"] = worker
            if envelope:
                fields["id"] = envelope
            self._put(json.dumps(fields).encode())
        else:
            self._put(f"{_now()} w{worker}{' [' + envelope + ']' if envelope else ''} {text}".encode())

    def _put(self, line: bytes) -> None:
        if self._size > MAX_WAITING:
            self._dropped += 1
            return
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self.say("warning", f"{dropped} log lines were dropped: nobody read them in time")
        self._waiting.append(line + b"\n")
        self._size += len(line) + 1

    @property
    def waiting(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    def write(self, budget: float = 0.005) -> None:
        """Writes as much as goes without blocking, for at most `budget` seconds."""
        until = time.monotonic() + budget
        while self._waiting and time.monotonic() < until:
            try:
                if not self._never_blocks and not select.select([], [self._fd], [], 0)[1]:
                    return
                chunk = self._waiting.popleft()
                while self._waiting and len(chunk) + len(self._waiting[0]) <= _PIECE:
                    chunk += self._waiting.popleft()
                written = os.write(self._fd, chunk[:_PIECE])
                self._size -= written
                if written < len(chunk):
                    self._waiting.appendleft(chunk[written:])
            except (OSError, ValueError):
                # Nobody reads our standard error any more.
                self._waiting.clear()
                self._size = 0
                return

    def drain(self, seconds: float = 1.0) -> None:
        """Writes what is left before the process ends."""
        until = time.monotonic() + seconds
        while self._waiting and time.monotonic() < until:
            self.write(0.05)
            if self._waiting:
                time.sleep(0.005)
        sys.stderr.flush()


def _now() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
