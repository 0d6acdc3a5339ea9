"""A sidecar's connection to a sync worker: bytes in, frames out."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable

# One read takes many small frames; a frame that is larger gets a buffer of its own.
RECEIVE = 256 * 1024


class Connection:
    """A sidecar's connection: what has been read in part, and replies that wait to be written."""

    __slots__ = ("big", "filled", "lock", "out", "rest", "since", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""
        self.big: bytearray | None = None
        self.filled = 0
        # A deque: the worker appends while another thread takes out, and nothing is lost between the two.
        self.out: deque[bytes] = deque()
        self.since = 0.0
        self.lock = threading.Lock()

    def flush(self) -> None:
        """Writes what waits. Blocks while the sidecar does not read: that is the back-pressure."""
        with self.lock:
            waiting = self.out
            if len(waiting) == 1:
                self.sock.sendall(waiting.popleft())
            elif waiting:
                self.sock.sendall(b"".join([waiting.popleft() for _ in range(len(waiting))]))

    def send_while(self, frame: bytes, holds: Callable[[], bool]) -> None:
        """Writes a frame of another thread, unless the request that it is about ends before it is its turn."""
        with self.lock:
            if holds():
                self.sock.sendall(frame)

    def receive(self) -> bytes | None:
        """Complete frames and the beginning of one; empty: not yet; None: closed."""
        if self.big is not None:
            count = self.sock.recv_into(memoryview(self.big)[self.filled :])
            if count == 0:
                return None
            self.filled += count
            if self.filled < len(self.big):
                return b""
            whole, self.big = bytes(self.big), None
            return whole
        data = self.sock.recv(RECEIVE)
        if not data:
            return None
        return self.rest + data if self.rest else data

    def keep(self, rest: bytes, size: int) -> None:
        """Keeps the beginning of a frame; a large one gets a buffer of its size, so that it is copied once."""
        self.rest = rest
        if size > RECEIVE:
            self.big = bytearray(size)
            self.big[: len(rest)] = rest
            self.filled = len(rest)
            self.rest = b""
