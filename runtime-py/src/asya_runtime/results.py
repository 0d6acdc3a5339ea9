"""What a handler returned or raised, as it is sent."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from .errors import BadRequest, BadResult, Drop, PayloadError, Reject, Retry, TooLarge

# A longer traceback loses its middle: both the call and the place of the error stay.
MAX_TRACEBACK = 8 * 1024
MAX_MESSAGE = 8 * 1024
# From this many numbers or words on, a list is more likely one value (an embedding) than that many messages.
SUSPICIOUS_FAN_OUT = 100

_warned = False


def split(value: Any, single: bool) -> Sequence[Any]:
    """The items of a returned value: none, one, or one for each element of a list."""
    if value is None:
        return ()
    if single or not isinstance(value, list | tuple):
        return (value,)
    if len(value) > SUSPICIOUS_FAN_OUT:
        _warn(value)
    return value


def _warn(value: Sequence[Any]) -> None:
    global _warned
    if not _warned and all(isinstance(each, int | float | str) for each in value):
        _warned = True
        print(
            f"a list of {len(value)} scalars becomes {len(value)} messages; if it is one value "
            "(an embedding?), set ASYA_RESULT=single, or return it inside an object",
            file=sys.stderr,
        )


def is_stream(value: Any) -> bool:
    """A generator's object, of either kind."""
    return inspect.isgenerator(value) or inspect.isasyncgen(value)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A failed request; `body` is the JSON of an ERROR frame."""

    body: dict[str, Any]

    @property
    def one_shot(self) -> list[dict[str, Any]]:
        """The same for an older sidecar, which knows three codes and no actions."""
        body = self.body
        if body.get("action") == "drop":
            return []
        details: dict[str, Any] = {key: body[key] for key in ("message", "type", "traceback", "mro") if key in body}
        if body["code"] == "msg_parsing_error":
            return [{"error": "msg_parsing_error", "details": details}]
        details["code"] = body["code"]
        for key in ("action", "delay_ms"):
            if key in body:
                details[key] = body[key]
        return [{"error": "processing_error", "details": details}]


def failure(error: BaseException) -> Failure:
    """What becomes of an exception, raised by the handler or around it."""
    code, action = "processing_error", None
    if isinstance(error, BadRequest | BadResult):
        code = "msg_parsing_error" if isinstance(error, BadRequest) else "invalid_result"
        said = str(error)
        cause = error.__cause__ or error
        body = describe(cause)
        if said:
            body["message"] = _cut(said, MAX_MESSAGE)
        return Failure({"code": code, **body})
    if isinstance(error, PayloadError):
        code, action = "validation_error", "reject"
    elif isinstance(error, TooLarge):
        code = "reply_too_large"
    elif isinstance(error, Retry):
        action = "retry"
    elif isinstance(error, Drop):
        action = "drop"
    elif isinstance(error, Reject):
        action = "reject"
    body = {"code": code, **describe(error)}
    if action:
        body["action"] = action
    if isinstance(error, Retry) and error.after is not None:
        body["delay_ms"] = round(error.after * 1000)
    return Failure(body)


TIMED_OUT = Failure({"code": "timeout", "message": "cancelled: the handler took longer than it may"})


def describe(error: BaseException) -> dict[str, Any]:
    """Message, type, classes and traceback of an exception; its own methods may fail."""
    kind = type(error)
    try:
        message = str(error)
    except Exception:
        message = f"<{kind.__name__} without a readable message>"
    try:
        lines = "".join(traceback.format_exception(kind, error, error.__traceback__))
    except Exception:
        lines = ""
    return {
        "message": _cut(message, MAX_MESSAGE),
        "type": kind.__name__,
        "mro": [f"{c.__module__}.{c.__qualname__}" for c in kind.__mro__ if c is not object],
        "traceback": _cut(lines, MAX_TRACEBACK),
    }


def _cut(text: str, limit: int) -> str:
    # Lone surrogates would make the frame unreadable for others than Python.
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
