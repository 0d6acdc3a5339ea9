"""Connections to the runtime's socket: told apart by their first bytes, then control or one-shot."""

from __future__ import annotations

import json
import socket
from typing import Any

from . import frames
from .channel import PEEKED
from .errors import ProtocolError
from .frames import Splitter

# A hello, a CANCEL and a KILL are all small.
MAX_CONTROL_FRAME = 64 * 1024
# A sidecar that does not read its news is cut off, and shakes hands again.
MAX_NEWS = 1024 * 1024


class Newcomer:
    """A connection that has not yet said what it is."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.head = b""
        self.hello = bytearray()
        self.size = 0

    def read(self) -> str | None:
        """`one-shot`, `hello`, `gone`, `short`, `long`, `garbage`; None while it is not known yet."""
        try:
            if len(self.head) < PEEKED:
                data = self.sock.recv(PEEKED - len(self.head))
                if not data:
                    return "short" if self.head else "gone"
                self.head += data
                if len(self.head) < 4:
                    return None
                self.size = frames.length.unpack_from(self.head)[0]
                if self.size > frames.MAX_FRAME:
                    return "long"
                if self.size == 0:
                    return "one-shot"
                if len(self.head) < PEEKED:
                    return None
                if self.head[4]:
                    return "one-shot"
                if self.size > MAX_CONTROL_FRAME:
                    return "garbage"
                self.hello += self.head[4:]
            if len(self.hello) < self.size:
                data = self.sock.recv(self.size - len(self.hello))
                if not data:
                    return "short"
                self.hello += data
            if len(self.hello) < self.size:
                return None
            return "hello" if self.hello.startswith(frames.MAGIC) else "garbage"
        except BlockingIOError:
            return None
        except OSError:
            return "gone"

    def greeting(self) -> dict[str, Any]:
        """What the hello says. Raises ProtocolError."""
        try:
            value = json.loads(bytes(self.hello[len(frames.MAGIC) :]))
        except ValueError as error:
            raise ProtocolError(f"hello is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ProtocolError("hello is not an object")
        return value


class Control:
    """The control connection of a sidecar."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._splitter = Splitter(MAX_CONTROL_FRAME)
        self._out = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether news wait to be written."""
        return bool(self._out)

    def read(self) -> list[bytes] | None:
        """Bodies of the frames that have come; None when the connection has ended or broken the protocol."""
        try:
            data = self.sock.recv(MAX_CONTROL_FRAME)
            return list(self._splitter.feed(data)) if data else None
        except BlockingIOError:
            return []
        except (OSError, ProtocolError):
            return None

    def send(self, frame: bytes) -> bool:
        """Sends, or keeps for later; False if the connection is of no use any more."""
        self._out += frame
        return self.flush()

    def flush(self) -> bool:
        """Writes what waits; False if the connection is of no use any more."""
        try:
            while self._out:
                del self._out[: self.sock.send(self._out)]
        except BlockingIOError:
            return len(self._out) <= MAX_NEWS
        except OSError:
            return False
        return True
