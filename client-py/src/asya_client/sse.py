"""Server-sent events: lines in, events out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Event(NamedTuple):
    """One event; `id` is empty where it has none."""

    name: str
    id: str
    data: str


class Lines(Protocol):
    """Where lines come from; an empty one is the end."""

    def readline(self, limit: int = -1, /) -> bytes: ...


def events(lines: Lines) -> Iterator[Event]:
    """The events, up to the end of `lines`. One that was cut off by the end is not told."""
    name, id = "", ""
    data: list[str] = []
    while line := lines.readline():
        if not line.endswith(b"\n"):
            return
        text = line.decode().rstrip("\r\n")
        if not text:
            if data:
                yield Event(name or "message", id, "\n".join(data))
            name, id, data = "", "", []
            continue
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            id = value
        elif field == "data":
            data.append(value)
