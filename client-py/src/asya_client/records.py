"""What a gateway tells of envelopes and tools. Fields that this version does not know are in `raw`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FINAL = frozenset({"succeeded", "failed"})


def _time(text: str | None) -> datetime | None:
    # Python 3.10 reads neither "Z" nor more than six digits of a second.
    if text is None:
        return None
    day, _, rest = text.replace("Z", "+00:00").partition(".")
    if not rest:
        return datetime.fromisoformat(day)
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return datetime.fromisoformat(f"{day}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}")


@dataclass(frozen=True)
class Update:
    """One thing that happened to envelope `id`. `seq` goes up; what is not known is None."""

    seq: int
    id: str
    status: str
    at: datetime | None
    actor: str | None
    step: str | None
    percent: float | None
    message: str | None
    error: str | None
    raw: dict[str, Any] = field(repr=False)

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self.status in FINAL

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Update:
        """Reads an entry of a stream."""
        names = ("actor", "step", "percent", "message", "error")
        return cls(
            seq=raw["seq"],
            id=raw["id"],
            status=raw["status"],
            at=_time(raw.get("at")),
            raw=raw,
            **{name: raw.get(name) for name in names},
        )


@dataclass(frozen=True)
class Envelope:
    """The record of an envelope. `status` is pending, running, succeeded, failed or unknown; `percent` is 0 to 100.
    `payload`, `result` and `headers` are shown to the role `payload` only: `contents` says whether they are."""

    id: str
    status: str
    route: tuple[str, ...]
    actor: str | None
    percent: float
    created: datetime | None
    ended: datetime | None
    deadline: datetime | None
    tool: str | None
    message: str | None
    code: str | None
    error: str | None
    contents: bool
    payload: Any = field(repr=False)
    result: Any = field(repr=False)
    headers: dict[str, Any] | None = field(repr=False)
    raw: dict[str, Any] = field(repr=False)

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Envelope:
        """Reads an answer of `/envelopes/{id}`."""
        names = ("actor", "tool", "message", "code", "error", "payload", "result", "headers")
        return cls(
            id=raw["id"],
            status=raw["status"],
            route=tuple(raw["actors"]),
            percent=raw["percent"],
            created=_time(raw.get("created")),
            ended=_time(raw.get("ended")),
            deadline=_time(raw.get("deadline")),
            contents=raw.get("contents", False),
            raw=raw,
            **{name: raw.get(name) for name in names},
        )


@dataclass(frozen=True)
class Tool:
    """Something that can be called. `input_schema` is the JSON Schema of its arguments."""

    name: str
    description: str
    route: tuple[str, ...]
    input_schema: dict[str, Any]
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Tool:
        """Reads an entry of `/tools`."""
        return cls(raw["name"], raw["description"], tuple(raw["route"]), raw["input_schema"], raw)
