"""Notices that an older sidecar has hung up: it has settled its message, and nobody wants the answer."""

from __future__ import annotations

import select
import socket
from typing import Any


class HangUps:
    """Watches sockets for the end of both directions; one that is closed for writing only still awaits its answer.

    `select.epoll` is Linux's; elsewhere nothing is noticed, and a message runs to its end.
    """

    def __init__(self) -> None:
        self._epoll: Any = select.epoll() if hasattr(select, "epoll") else None
        self._keys: dict[int, Any] = {}

    @property
    def watched(self) -> Any | None:
        """What a selector can wait for; None where nothing is noticed."""
        return self._epoll

    def watch(self, sock: socket.socket, key: Any) -> None:
        """From now on `news` tells this key once its peer has gone."""
        if self._epoll is not None:
            self._keys[sock.fileno()] = key
            # Without any event of its own: data is the worker's business.
            self._epoll.register(sock.fileno(), 0)

    def forget(self, sock: socket.socket) -> None:
        """To be called before it is closed: the worker holds the same socket, and it would be watched on."""
        if self._keys.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def news(self) -> list[Any]:
        """Keys of the sockets whose peers have gone; each is told once."""
        found = []
        for descriptor, _ in self._epoll.poll(0) if self._epoll is not None else ():
            found.append(self._keys.pop(descriptor))
            self._epoll.unregister(descriptor)
        return found

    def close(self) -> None:
        """Ends it, in this process only."""
        if self._epoll is not None:
            self._epoll.close()


def has_hung_up(sock: socket.socket) -> bool:
    """Whether the peer has gone altogether."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))
