"""Frames of the socket protocol: see docs/protocol.md."""

from __future__ import annotations

import struct
from typing import Any

from . import jsons

MAGIC = b"\0asya/2 "
REQUEST, CANCEL, KILL = 0x01, 0x02, 0x03
ITEM, RESULT, ERROR, PROGRESS = 0x11, 0x12, 0x13, 0x14
WORKER_READY, WORKER_EXITED = 0x21, 0x22
# Between supervisor and worker only: one message of the one-shot protocol, and its answer.
ONESHOT, ONESHOT_ANSWER = 0x7E, 0x7F

LENGTH = struct.Struct(">I")
HEADER = struct.Struct(">IBQ")  # length, type, request id
BODY_HEADER = struct.Struct(">BQ")
ONE_ITEM = struct.Struct(">IBQII")  # header, empty meta, length of the payload
HEADER_SIZE = 9


class Malformed(Exception):
    """The other end does not keep to the protocol; the connection is of no use any more."""


def frame(kind: int, request: int, body: bytes) -> bytes:
    """A whole frame."""
    return HEADER.pack(HEADER_SIZE + len(body), kind, request) + body


def json_frame(kind: int, request: int, value: dict[str, Any]) -> bytes:
    """A frame whose body is JSON of ours."""
    return frame(kind, request, jsons.encode(value))


def plain(body: bytes) -> bytes:
    """A frame without a header: hello, and the one-shot protocol."""
    return LENGTH.pack(len(body)) + body


def section(data: bytes) -> bytes:
    """A length and that many bytes."""
    return LENGTH.pack(len(data)) + data


def item(request: int, meta: bytes, payload: bytes) -> bytes:
    """One yield of a generator."""
    return frame(ITEM, request, section(meta) + payload)


def result(request: int, items: list[tuple[bytes, bytes]]) -> bytes:
    """The end of a request that succeeded."""
    if len(items) == 1 and not items[0][0]:
        payload = items[0][1]
        return ONE_ITEM.pack(HEADER_SIZE + 8 + len(payload), RESULT, request, 0, len(payload)) + payload
    return frame(RESULT, request, b"".join(section(meta) + section(payload) for meta, payload in items))


def split_request(body: bytes) -> tuple[bytes, bytes]:
    """Metadata and payload of a REQUEST, after its header."""
    if len(body) < 4:
        raise Malformed("a request without a section for its metadata")
    end = 4 + LENGTH.unpack_from(body)[0]
    if end > len(body):
        raise Malformed(f"a section of {end - 4} bytes in {len(body) - 4} bytes")
    return body[4:end], body[end:]


class Reader:
    """Cuts a stream of bytes into frames. Never keeps more than one frame beyond what has arrived."""

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now."""
        buffer = self.buffer
        buffer += data
        bodies = []
        position, size = 0, len(buffer)
        while size - position >= 4:
            (length,) = LENGTH.unpack_from(buffer, position)
            if length > self.max_frame:
                raise Malformed(f"a frame of {length} bytes is over the limit of {self.max_frame}")
            end = position + 4 + length
            if end > size:
                break
            bodies.append(bytes(buffer[position + 4 : end]))
            position = end
        if position:
            del buffer[:position]
        return bodies
