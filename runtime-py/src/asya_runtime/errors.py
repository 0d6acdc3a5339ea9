"""What a handler raises to say what is to become of the message, and what goes wrong around it."""

from __future__ import annotations

from datetime import timedelta


class Retry(Exception):
    """Run this message again: after `after` seconds, or as the actor's retry policy says."""

    def __init__(self, message: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after.total_seconds() if isinstance(after, timedelta) else after
        if self.after is not None and not 0 <= self.after < float("inf"):
            raise ValueError(f"after must be a number of seconds from 0, not {after!r}")


class Drop(Exception):
    """End this message here: acknowledged, counted, sent nowhere."""


class Reject(Exception):
    """Send this message to the error path without another attempt."""


class PayloadError(ValueError):
    """The payload does not fit the type that the handler declares. `path` says where."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class BadRequest(Exception):
    """The input cannot be read. The cause is the exception that says why."""


class BadResult(Exception):
    """The result cannot be sent. The cause is the exception that says why."""


class TooLarge(Exception):
    """The reply is larger than the sidecar reads."""


class ProtocolError(Exception):
    """The peer breaks the socket protocol: its connection is closed."""


class LoadError(Exception):
    """The handler cannot be loaded; the message is for a person."""
