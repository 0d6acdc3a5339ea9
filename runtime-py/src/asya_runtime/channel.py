"""The channel between the supervisor and one worker: messages of nine bytes over a socket pair."""

from __future__ import annotations

import array
import socket
import struct

_message = struct.Struct(">cQ")

# From the worker.
READY, RETIRE, CANCELLED, ONE_SHOT_DONE, CONNECTIONS = b"R", b"r", b"D", b"o", b"c"
# From the supervisor; ONE_SHOT brings a connection along, and the bytes that were read from it.
CANCEL, STOP, ONE_SHOT, HUNG_UP = b"X", b"S", b"O", b"H"
# A one-shot connection is told from a handshake by the length of its first frame and one byte.
PEEKED = 5
# A message's number has eight bytes; six say what was read of a one-shot connection, two are its key.
_KEY_SHIFT = 8 * (PEEKED + 1)
KEYS = 1 << 16


class Channel:
    """One end. Reading is done when the selector says so; writing never waits long, the messages are tiny."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._partial = b""

    def fileno(self) -> int:
        """For a selector."""
        return self.sock.fileno()

    def send(self, kind: bytes, number: int = 0) -> bool:
        """Sends one message; False if the other end is gone."""
        try:
            self.sock.sendall(_message.pack(kind, number))
        except OSError:
            return False
        return True

    def send_connection(self, connection: socket.socket, peeked: bytes, key: int) -> bool:
        """Hands over a connection with what was read from it already."""
        number = key << _KEY_SHIFT | int.from_bytes(bytes([len(peeked)]) + peeked.ljust(PEEKED, b"\0"), "big")
        rights = array.array("i", [connection.fileno()])
        try:
            self.sock.sendmsg([_message.pack(ONE_SHOT, number)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError:
            return False
        return True

    def receive(self) -> tuple[bytes, int, int | None] | None:
        """One message: kind, number, and a file descriptor that came along. None when the other end is gone."""
        descriptor: int | None = None
        data = self._partial
        while len(data) < _message.size:
            try:
                more, ancillary, _, _ = self.sock.recvmsg(
                    _message.size - len(data), socket.CMSG_SPACE(array.array("i", [0]).itemsize)
                )
            except OSError:
                return None
            if not more:
                return None
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    found = array.array("i")
                    found.frombytes(content[: len(content) - len(content) % found.itemsize])
                    descriptor = found[0]
            data += more
        kind, number = _message.unpack(data)
        return kind, number, descriptor


def peeked_bytes(number: int) -> bytes:
    """The bytes that `send_connection` sent along."""
    raw = (number % (1 << _KEY_SHIFT)).to_bytes(PEEKED + 1, "big")
    return raw[1 : 1 + raw[0]]


def one_shot_key(number: int) -> int:
    """The key that `send_connection` sent along."""
    return number >> _KEY_SHIFT
