"""A runtime that speaks the one-shot protocol only, as existing ones do: one connection and one message at a time.

Reading, validation and answer are those of asya_runtime (validation is on by default in the contract); only the
handshake and the workers are missing.
"""

from __future__ import annotations

import socket
import struct

from asya_runtime import config, loader, oneshot
from asya_runtime.call import Callee


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the sidecar hung up")
        data += part
    return data


def answer(callee: Callee, message: bytes) -> bytes:
    """The array that goes back."""
    try:
        shot = callee.read_one_shot(message)
        before = callee.before(shot.argument)
        values = list(oneshot.values(callee.call(shot.argument), callee.single))
        return callee.one_shot_reply(values, shot, before)
    except Exception as error:
        return oneshot.error(error)


def main() -> None:
    """Serves until killed."""
    settings = config.read()
    callee = Callee(loader.load(settings.handler), settings)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(settings.socket))
    listener.listen(5)
    settings.ready.write_text("ready")
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                (length,) = struct.unpack(">I", receive(connection, 4))
                reply = answer(callee, receive(connection, length))
                connection.sendall(struct.pack(">I", len(reply)) + reply)
            except ConnectionError:
                continue


if __name__ == "__main__":
    main()
