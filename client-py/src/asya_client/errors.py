"""What goes wrong, as types: refusals of the other side, envelopes that failed, and what is not known."""

from __future__ import annotations

from typing import Any, NamedTuple


class AsyaError(Exception):
    """Everything that this package raises, apart from `TypeError` and `ValueError` for wrong use."""


class FieldError(NamedTuple):
    """One field that is wrong."""

    field: str
    reason: str


class Refused(AsyaError):
    """The other side did not do it. `code` is for programs; `status` is that of HTTP, 0 where there is none."""

    def __init__(self, code: str, detail: str, status: int = 0, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.errors = errors
        # How often it was asked; after the first, an earlier one may have been done.
        self.tries = 1


class Invalid(Refused):
    """The request is wrong; `errors` names the fields."""


class Unauthenticated(Refused):
    """There is no token, or it is not good."""


class Denied(Refused):
    """The token's roles do not allow it."""


class NotFound(Refused):
    """There is no such envelope, tool, or actor's queue."""


class Conflict(Refused):
    """The envelope has ended before, or its id is taken by another one."""


class TooLarge(Refused):
    """The envelope is larger than the other side takes."""


class Unavailable(Refused):
    """Nobody answers, or has time, and trying again did not help. A request that sent something may be sent again
    with the same id."""


class Unconfirmed(AsyaError):
    """The broker went away before it said whether it has envelope `id`. Sent again under the same id it may come twice,
    as with every repeated delivery."""

    def __init__(self, id: str, detail: str) -> None:
        super().__init__(f"envelope {id} may have been queued or not: {detail}")
        self.id = id


class Unsupported(AsyaError):
    """A broker takes envelopes and tells nothing back: this needs a gateway."""


class StillRunning(AsyaError, TimeoutError):
    """Envelope `id` has not ended in the time that was given. It goes on; `wait(id)` waits again."""

    def __init__(self, id: str) -> None:
        super().__init__(f"envelope {id} has not ended yet")
        self.id = id


class Failed(AsyaError):
    """Envelope `id` ended badly: at `actor`, if that is known, with `code`; `error` is for a person."""

    def __init__(self, id: str, code: str | None, error: str | None, actor: str | None) -> None:
        place = f" at {actor}" if actor else ""
        super().__init__(f"envelope {id} failed{place}: {code or 'unknown'}: {error or 'no reason was given'}")
        self.id = id
        self.code = code
        self.error = error
        self.actor = actor


class Cancelled(Failed):
    """Somebody cancelled it."""


_BY_STATUS: dict[int, type[Refused]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, reason: str, problem: Any) -> Refused:
    """The error for an answer of HTTP. `problem` is its body, problem+json if a gateway said it and not a proxy."""
    kind = _BY_STATUS.get(status, Refused)
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return kind("http", f"{status} {reason}", status)
    errors = tuple(
        FieldError(str(it.get("field", "")), str(it.get("reason", "")))
        for it in problem.get("errors") or ()
        if isinstance(it, dict)
    )
    return kind(problem["code"], str(problem.get("detail", reason)), status, errors)


def failure(id: str, code: str | None, error: str | None, actor: str | None) -> Failed:
    """The error for an envelope that ended badly."""
    return (Cancelled if code == "cancelled" else Failed)(id, code, error, actor)
