"""What a handler can ask about the envelope it is working on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any, cast

from . import jsons

_current: ContextVar[Context] = ContextVar("asya_context")


class Route:
    """Where the envelope goes after this actor."""

    def __init__(self, route: dict[str, Any]) -> None:
        self._route = route
        self.changed = False

    @property
    def actors(self) -> list[str]:
        """All actors of the route, as a copy."""
        return list(self._route["actors"])

    @property
    def current(self) -> int:
        """The index of this actor."""
        return cast(int, self._route.get("current", 0))

    @property
    def metadata(self) -> dict[str, Any]:
        """What the client put beside the actors."""
        return dict(self._route.get("metadata") or {})

    def insert_next(self, *actors: str) -> None:
        """Lets these actors handle the result first, in this order, before the rest of the route."""
        at = self.current + 1
        self._route["actors"] = [*self._route["actors"][:at], *actors, *self._route["actors"][at:]]
        self.changed = True

    def advanced(self) -> dict[str, Any]:
        """The route as the next actor sees it."""
        return {**self._route, "current": self.current + 1}


class Context:
    """The envelope that is being handled. The metadata is decoded when it is first asked for."""

    def __init__(self, meta: bytes, report: Callable[[float, str], None] | None = None) -> None:
        self._meta = meta
        self._report = report
        self._decoded: dict[str, Any] | None = None
        self._route: Route | None = None
        self._headers_changed = False
        self._started = time.monotonic()

    def _data(self) -> dict[str, Any]:
        if self._decoded is None:
            self._decoded = cast("dict[str, Any]", jsons.decode(self._meta)) if self._meta else {}
            self._decoded["headers"] = dict(self._decoded.get("headers") or {})
        return self._decoded

    @property
    def id(self) -> str:
        """The envelope's id."""
        return cast(str, self._data().get("id", ""))

    @property
    def parent_id(self) -> str | None:
        """The id that this envelope was made from by a fan-out."""
        return self._data().get("parent_id")

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, as a copy."""
        return dict(self._data()["headers"])

    @property
    def route(self) -> Route:
        """Where the envelope goes."""
        if self._route is None:
            self._route = Route(dict(self._data().get("route") or {"actors": [], "current": 0}))
        return self._route

    @property
    def actor(self) -> str:
        """The name of this actor."""
        return cast(str, self._data().get("actor", ""))

    @property
    def attempt(self) -> int:
        """Which run of the handler on this envelope this is, from 1."""
        return cast(int, self._data().get("attempt", 1))

    @property
    def deadline(self) -> datetime | None:
        """When the envelope is no longer worth handling."""
        text = self._data().get("deadline")
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None

    def remaining(self) -> float | None:
        """Seconds until this run times out; None when the sidecar did not say."""
        timeout = self._data().get("timeout_ms")
        return None if timeout is None else max(0.0, timeout / 1000 - (time.monotonic() - self._started))

    def set_header(self, name: str, value: Any) -> None:
        """Sets a header of the results. Names that begin with `x-asya-` are the platform's and are refused."""
        if name.lower().startswith("x-asya-") or name in ("traceparent", "tracestate"):
            raise ValueError(f"header {name!r} belongs to the platform")
        self._data()["headers"][name] = value
        self._headers_changed = True

    def progress(self, fraction: float, message: str = "") -> None:
        """Tells how far the handler is, 0.0 to 1.0. Never waits; may be lost."""
        if self._report is not None:
            self._report(min(1.0, max(0.0, float(fraction))), str(message))

    def item_meta(self) -> bytes:
        """What the handler changed, for an item; empty when nothing."""
        if not self._headers_changed and (self._route is None or not self._route.changed):
            return b""
        meta: dict[str, Any] = {}
        if self._route is not None and self._route.changed:
            meta["route"] = self._route.advanced()
        if self._headers_changed:
            meta["headers"] = self._data()["headers"]
        return jsons.encode(meta)


def context() -> Context:
    """The envelope that the running handler was called for."""
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("context() is only there while a handler runs; in tests use asya_runtime.testing") from None


enter = _current.set
leave = _current.reset
