"""What a handler can see of its message beyond the payload, and what it can say about it."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

ProgressSink = Callable[[float, str], None]

# A report is a sentence for a person.
_MAX_PROGRESS = 1024
# A deadline's fraction of a second may have nine digits; Python 3.10 reads three or six, and nobody more than six.
_FRACTION = re.compile(r"\.(\d+)")


class Route:
    """The envelope's route, this actor being at `current`."""

    __slots__ = ("_actors", "_current", "_rest", "changed")

    def __init__(self, raw: dict[str, Any]) -> None:
        self._actors = list(raw.get("actors", ()))
        self._current = int(raw.get("current", 0))
        self._rest = {k: v for k, v in raw.items() if k not in ("actors", "current")}
        self.changed = False

    @property
    def actors(self) -> tuple[str, ...]:
        """All actors, those that are done included."""
        return tuple(self._actors)

    @property
    def current(self) -> int:
        """Position of this actor."""
        return self._current

    @property
    def next(self) -> str | None:
        """The actor that comes after this one; None at the end."""
        rest = self._actors[self._current + 1 :]
        return rest[0] if rest else None

    @property
    def metadata(self) -> dict[str, Any]:
        """`route.metadata`, as it came."""
        metadata = self._rest.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def insert_next(self, *actors: str) -> None:
        """Puts actors right after this one; those that followed it come after them."""
        for actor in actors:
            if not isinstance(actor, str) or not actor:
                raise ValueError(f"an actor is a name, not {actor!r}")
        at = self._current + 1
        self._actors[at:at] = actors
        self.changed = True

    def set_rest(self, actors: Sequence[str]) -> None:
        """Replaces everything that comes after this actor; an empty sequence ends the route here."""
        del self._actors[self._current + 1 :]
        self.insert_next(*actors)

    def advanced(self) -> dict[str, Any]:
        """The route as it leaves: one actor further."""
        return {"actors": self._actors, "current": self._current + 1, **self._rest}


class Context:
    """One message. Everything is read from the request's metadata when it is first asked for."""

    __slots__ = ("_headers", "_headers_changed", "_meta", "_progress", "_raw", "_route")

    def __init__(self, raw: bytes | dict[str, Any], progress: ProgressSink | None = None) -> None:
        self._raw = raw
        self._progress = progress
        self._meta: dict[str, Any] | None = None
        self._route: Route | None = None
        self._headers: dict[str, Any] | None = None
        self._headers_changed = False

    def _get(self) -> dict[str, Any]:
        meta = self._meta
        if meta is None:
            raw = self._raw
            found = (json.loads(raw) if raw else {}) if isinstance(raw, bytes) else raw
            meta = self._meta = found if isinstance(found, dict) else {}
        return meta

    @property
    def id(self) -> str:
        """The envelope's id; empty where an older sidecar's message has none."""
        return str(self._get().get("id") or "")

    @property
    def parent_id(self) -> str | None:
        """Id of the envelope that this one was fanned out from."""
        parent = self._get().get("parent_id")
        return None if parent is None else str(parent)

    @property
    def actor(self) -> str:
        """Name of this actor."""
        meta = self._get()
        if "actor" in meta:
            return str(meta["actor"])
        route = self.route
        return route.actors[route.current] if 0 <= route.current < len(route.actors) else ""

    @property
    def attempt(self) -> int:
        """Which run of the handler this is, from 1."""
        return int(self._get().get("attempt", 1))

    @property
    def deadline(self) -> datetime.datetime | None:
        """When the answer is of no more use."""
        text = self._get().get("deadline")
        if not isinstance(text, str) or not text:
            return None
        text = _FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", text.replace("Z", "+00:00"))
        return datetime.datetime.fromisoformat(text)

    def remaining(self) -> float | None:
        """Seconds until the deadline, not below 0; None without a deadline."""
        deadline = self.deadline
        if deadline is None:
            return None
        if deadline.tzinfo is None:
            deadline = deadline.replace(tzinfo=datetime.timezone.utc)
        return max(0.0, (deadline - datetime.datetime.now(datetime.timezone.utc)).total_seconds())

    @property
    def route(self) -> Route:
        """The route; changes to it travel with every result of this message."""
        if self._route is None:
            raw = self._get().get("route")
            self._route = Route(raw if isinstance(raw, dict) else {})
        return self._route

    @property
    def headers(self) -> dict[str, Any]:
        """A copy of the headers; `set_header` changes them."""
        return dict(self._own_headers())

    def _own_headers(self) -> dict[str, Any]:
        if self._headers is None:
            raw = self._get().get("headers")
            self._headers = dict(raw) if isinstance(raw, dict) else {}
        return self._headers

    def set_header(self, name: str, value: Any) -> None:
        """Sets a header of what is sent on; None removes it. Names `x-asya-…` are the platform's."""
        if not isinstance(name, str) or not name:
            raise ValueError(f"a header's name is text, not {name!r}")
        if name.lower().startswith("x-asya-"):
            raise ValueError(f"header {name} belongs to the platform")
        json.dumps(value, allow_nan=False)
        headers = self._own_headers()
        if value is None:
            headers.pop(name, None)
        else:
            headers[name] = value
        self._headers_changed = True

    def progress(self, fraction: float, message: str = "") -> None:
        """Reports how far this message is, from 0 to 1. It may be dropped, and never fails the handler."""
        if self._progress is not None:
            # Lone surrogates would make the frame unreadable for the sidecar.
            text = str(message)[:_MAX_PROGRESS].encode("utf-8", "backslashreplace").decode()
            self._progress(min(1.0, max(0.0, float(fraction))), text)

    def changes(self) -> dict[str, Any] | None:
        """What the handler changed, as it leaves: `route` advanced, `headers` complete. None: nothing."""
        route = self._route
        if not self._headers_changed and (route is None or not route.changed):
            return None
        changed: dict[str, Any] = {}
        if route is not None and route.changed:
            changed["route"] = route.advanced()
        if self._headers_changed:
            changed["headers"] = self._own_headers()
        return changed


current: ContextVar[Context | tuple[Context, ...] | None] = ContextVar("asya_context", default=None)


def context() -> Context:
    """The message that this handler works on. Raises RuntimeError outside a handler, and in a batch."""
    found = current.get()
    if isinstance(found, Context):
        return found
    if found is None:
        raise RuntimeError("asya_runtime.context() is known only while a handler runs")
    if len(found) == 1:
        return found[0]
    raise RuntimeError("a batch has one context for each item: use asya_runtime.contexts()")


def contexts() -> tuple[Context, ...]:
    """The messages of a batch, in the order of its payloads; one message outside of a batch."""
    found = current.get()
    if found is None:
        raise RuntimeError("asya_runtime.contexts() is known only while a handler runs")
    return (found,) if isinstance(found, Context) else found
