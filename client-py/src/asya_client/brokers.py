"""What RabbitMQ and SQS have in common: the envelope as a message, and the queue of its first actor."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from .client import Route, actors, new_id

# Added to each envelope by the platform.
ENDS = frozenset({"happy-end", "error-end"})
OURS = "x-asya-"


def envelope(
    route: Route, payload: Any, headers: Mapping[str, Any] | None, id: str | None, timeout: float | None
) -> tuple[str, str, bytes]:
    """Id, first actor and message. Raises ValueError for what no actor would take."""
    names = actors(route)
    if ends := ENDS.intersection(names):
        raise ValueError(f"{', '.join(sorted(ends))} comes at the end of every route by itself")
    if id is not None and not id:
        raise ValueError("an id is not empty")
    id = new_id() if id is None else id
    message: dict[str, Any] = {"id": id, "route": {"actors": names, "current": 0}, "payload": payload}
    if headers:
        if wrong := [it for it in headers if it.lower().startswith(OURS)]:
            raise ValueError(f"headers that begin with {OURS} are the platform's: {', '.join(sorted(wrong))}")
        message["headers"] = dict(headers)
    if timeout is not None:
        if timeout <= 0:
            raise ValueError("an envelope's timeout is more than 0 seconds")
        deadline = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=timeout)
        message["deadline"] = deadline.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return id, names[0], json.dumps(message, ensure_ascii=False, allow_nan=False).encode()


def queue(template: str, namespace: str | None, actor: str) -> str:
    """The name of an actor's queue. Raises ValueError for a template without `{actor}`, or one that needs a namespace
    where there is none."""
    if "{actor}" not in template:
        raise ValueError(f"the queue template {template!r} has no {{actor}}")
    if "{namespace}" in template and not namespace:
        raise ValueError(f"the queue template {template!r} needs a namespace")
    return template.replace("{namespace}", namespace or "").replace("{actor}", actor)
