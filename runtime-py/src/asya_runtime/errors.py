"""Exceptions that a handler can raise, and how any exception is told to the sidecar."""

from __future__ import annotations

import traceback
from typing import Any


class Retry(Exception):
    """Call the handler again with this envelope, `after` seconds from now or as the actor's retry policy says."""

    def __init__(self, reason: str = "the handler asked for a retry", *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Drop(Exception):
    """End the envelope here: it is acknowledged and counted, and nothing is recorded or sent on."""


class Reject(Exception):
    """Send the envelope to the error path at once; no retry policy applies."""


class InvalidResult(Exception):
    """The handler returned something that cannot be sent on."""


class ValidationError(Exception):
    """The payload does not fit the handler's declared type. Trying again cannot help."""


class Unreadable(Exception):
    """What arrived is not an envelope or not JSON."""


CODES: list[tuple[type[BaseException], str]] = [
    (InvalidResult, "invalid_result"),
    (ValidationError, "validation_error"),
    (Unreadable, "msg_parsing_error"),
]


def describe(error: BaseException, code: str | None = None) -> dict[str, Any]:
    """The body of an ERROR frame."""
    if code is None:
        code = next((known for kind, known in CODES if isinstance(error, kind)), "processing_error")
    # A ValidationError or Unreadable that wraps the library's own exception shows the original class.
    shown = error.__cause__ if isinstance(error, Unreadable) and error.__cause__ is not None else error
    told: dict[str, Any] = {
        "code": code,
        "message": str(shown),
        "type": type(shown).__name__,
        "mro": [qualified(kind) for kind in type(shown).__mro__ if kind is not object],
        "traceback": "".join(traceback.format_exception(type(shown), shown, shown.__traceback__)),
    }
    if isinstance(error, Retry):
        told["action"] = "retry"
        if error.after is not None:
            told["delay_ms"] = max(0, int(error.after * 1000))
    elif isinstance(error, Drop):
        told["action"] = "drop"
    elif isinstance(error, Reject):
        told["action"] = "reject"
    return told


def qualified(kind: type) -> str:
    """`module.Class`, without the module for built-in classes."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
