"""A runtime that speaks the one-shot protocol only, as existing ones do: one connection and one message at a time."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

from handlers import echo


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the sidecar hung up")
        data += part
    return data


def answer(message: bytes) -> bytes:
    """The array that goes back."""
    try:
        envelope = json.loads(message)
        route = {**envelope["route"], "current": envelope["route"]["current"] + 1}
        return json.dumps([{"payload": echo(envelope["payload"]), "route": route}]).encode()
    except ValueError as error:
        details = {"message": str(error), "type": type(error).__name__, "traceback": ""}
        return json.dumps([{"error": "msg_parsing_error", "details": details}]).encode()


def main() -> None:
    """Serves until killed."""
    directory = Path(os.environ["ASYA_SOCKET_DIR"])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(directory / "asya-runtime.sock"))
    listener.listen(5)
    (directory / "runtime-ready").write_text("ready")
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                (length,) = struct.unpack(">I", receive(connection, 4))
                reply = answer(receive(connection, length))
                connection.sendall(struct.pack(">I", len(reply)) + reply)
            except ConnectionError:
                continue


if __name__ == "__main__":
    main()
