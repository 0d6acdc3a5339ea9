"""The protocol of older sidecars: one connection, one envelope, one JSON array."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from typing import Any

from . import frames, results
from .errors import BadRequest

# An older sidecar writes its whole frame at once; one that does not must not hold the worker.
PATIENCE = 30.0


def error(raised: BaseException) -> bytes:
    """The answer to an exception, as the body of a frame."""
    return json.dumps(results.failure(raised).one_shot).encode()


def connection_error(message: str) -> bytes:
    """The answer to a request that did not arrive whole, as the body of a frame."""
    details = {"message": message, "type": "ConnectionError", "traceback": ""}
    return json.dumps([{"error": "connection_error", "details": details}]).encode()


def worker_died(detail: str) -> bytes:
    """The answer for a worker that died over the message, as the body of a frame."""
    message = f"the worker process ended while it handled this message: {detail}"
    details = {"message": message, "type": "WorkerDied", "traceback": "", "code": "worker_died"}
    return json.dumps([{"error": "processing_error", "details": details}]).encode()


def too_long(size: int) -> bytes:
    """The answer to a frame above the cap, as the body of a frame."""
    return error(BadRequest(f"frame of {size} bytes; at most {frames.MAX_FRAME} are read"))


def values(value: Any, single: bool) -> Sequence[Any]:
    """The items of a returned value."""
    return results.split(value, single)


def reply(connection: socket.socket, body: bytes) -> None:
    """Writes the answer and ends the connection for all who hold it."""
    try:
        connection.sendall(frames.length.pack(len(body)) + body)
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The sidecar has gone; it settles the message by its own timeout.
        pass
    finally:
        connection.close()


def serve(connection: socket.socket, peeked: bytes, run: Callable[[bytes], bytes]) -> None:
    """Reads one request, runs it, answers."""
    connection.settimeout(PATIENCE)
    try:
        header = peeked[:4] + _exactly(connection, 4 - len(peeked[:4]))
        size = frames.length.unpack(header)[0]
        if size > frames.MAX_FRAME:
            answer = too_long(size)
        else:
            answer = run(peeked[4:] + _exactly(connection, size - len(peeked[4:])))
    except OSError as failed:
        answer = connection_error(str(failed) or "the connection ended inside the request")
    reply(connection, answer)


def _exactly(connection: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise ConnectionError(f"the connection ended {len(view)} bytes before the end of the request")
        view = view[count:]
    return bytes(buffer)
