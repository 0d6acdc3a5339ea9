"""Frames of docs/protocol.md: a length of four bytes, then type, request id, and the rest."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import ProtocolError

MAGIC = b"\0asya/2 "
REQUEST, CANCEL, KILL, SHUTDOWN = 0x01, 0x02, 0x03, 0x04
ITEM, RESULT, ERROR, PROGRESS = 0x11, 0x12, 0x13, 0x14
WORKER_READY, WORKER_EXITED = 0x21, 0x22

# The largest payload that is sent as one message, and room for what surrounds it.
MAX_FRAME = 64 * 1024 * 1024 + 64 * 1024
HEADER = 9

length = struct.Struct(">I")
head = struct.Struct(">IBQ")
# Frame length, type, request id, meta length: the four fields before a request's meta.
request_head = struct.Struct(">IBQI")
# A reply of one item without meta, which is nearly every reply: length, type, id, two sections.
_single = struct.Struct(">IBQII")


def frame(kind: int, request: int, body: bytes) -> bytes:
    """A whole frame."""
    return head.pack(HEADER + len(body), kind, request) + body


def one_result(request: int, payload: bytes) -> bytes:
    """RESULT with one item and no meta."""
    size = len(payload)
    return _single.pack(HEADER + 8 + size, RESULT, request, 0, size) + payload


def result(request: int, items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """RESULT with any number of items, each (meta, payload)."""
    body = bytearray()
    for meta, payload in items:
        body += length.pack(len(meta)) + meta + length.pack(len(payload)) + payload
    return frame(RESULT, request, bytes(body))


def item(request: int, meta: bytes, payload: bytes) -> bytes:
    """ITEM: one yield of a generator."""
    return frame(ITEM, request, length.pack(len(meta)) + meta + payload)


def document(kind: int, request: int, value: Any) -> bytes:
    """A frame whose rest is one JSON value."""
    return frame(kind, request, json.dumps(value, separators=(",", ":")).encode())


def handshake(value: dict[str, Any]) -> bytes:
    """Hello, or the answer to it."""
    body = MAGIC + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return length.pack(len(body)) + body


def parse_document(body: bytes) -> dict[str, Any]:
    """The JSON object of a CANCEL or KILL; its header is not in `body`."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ProtocolError(f"frame is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("frame is not a JSON object")
    return value


def parse_request(body: bytes) -> tuple[int, bytes, bytes]:
    """Request id, meta and payload of a REQUEST's body (without the length)."""
    if len(body) < HEADER + 4:
        raise ProtocolError("request without a section")
    request = int.from_bytes(body[1:HEADER], "big")
    size = int.from_bytes(body[HEADER : HEADER + 4], "big")
    if HEADER + 4 + size > len(body):
        raise ProtocolError("section is longer than its frame")
    return request, body[HEADER + 4 : HEADER + 4 + size], body[HEADER + 4 + size :]


class Splitter:
    """Cuts a stream of bytes into frame bodies; never holds more than one frame and what came with it."""

    def __init__(self, cap: int = MAX_FRAME, least: int = HEADER) -> None:
        self.cap = cap
        self.least = least
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete now. Raises ProtocolError for a length out of bounds."""
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        try:
            while end - at >= 4:
                size = length.unpack_from(buffer, at)[0]
                if size > self.cap or size < self.least:
                    raise ProtocolError(f"frame of {size} bytes")
                if end - at - 4 < size:
                    break
                at += 4 + size
                yield bytes(buffer[at - size : at])
        finally:
            del buffer[:at]
