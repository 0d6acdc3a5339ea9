"""Stands in for a module `handlers` that the image does not have, so that `ASYA_HANDLER=handlers.echo` works."""

from __future__ import annotations

from typing import Any


def echo(payload: Any) -> Any:
    """Gives back what it gets; in envelope mode with the route advanced."""
    if isinstance(payload, dict) and isinstance(payload.get("route"), dict) and "payload" in payload:
        route = payload["route"]
        return {**payload, "route": {**route, "current": route.get("current", 0) + 1}}
    return payload
