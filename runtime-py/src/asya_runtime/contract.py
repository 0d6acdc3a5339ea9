"""Envelopes as handlers in envelope mode, and one-shot sidecars, see them."""

from __future__ import annotations

from typing import Any

KNOWN = ("payload", "route", "id", "parent_id", "headers")


def check(envelope: Any) -> dict[str, Any]:
    """The envelope with its known members only; raises ValueError that names what is wrong."""
    if not isinstance(envelope, dict):
        raise ValueError(f"Envelope must be an object, got {type(envelope).__name__}")
    for name in ("payload", "route"):
        if name not in envelope:
            raise ValueError(f"Missing required field '{name}' in envelope")
    route = envelope["route"]
    if not isinstance(route, dict):
        raise ValueError("Field 'route' must be an object")
    actors = route.get("actors")
    if not isinstance(actors, list) or not actors:
        raise ValueError("Field 'route.actors' must be a non-empty list")
    current = route.setdefault("current", 0)
    if not isinstance(current, int) or isinstance(current, bool):
        raise ValueError("Field 'route.current' must be an integer")
    if not 0 <= current <= len(actors):
        raise ValueError(f"Field 'route.current' is {current}, but the route has {len(actors)} actors")
    if "headers" in envelope and not isinstance(envelope["headers"], dict):
        raise ValueError("Field 'headers' must be an object")
    if "id" in envelope and not isinstance(envelope["id"], str):
        raise ValueError("Field 'id' must be a string")
    return {name: envelope[name] for name in KNOWN if name in envelope}


def check_output(output: Any, actors: list[Any], current: int) -> dict[str, Any]:
    """The same for what a handler returned; what the route has already done must still be there."""
    checked = check(output)
    done = checked["route"]["actors"][: current + 1]
    if done != actors[: current + 1]:
        raise ValueError(
            f"Route modification error: already-processed actors cannot be erased; "
            f"expected the route to begin with {actors[: current + 1]}, got {done}"
        )
    return checked
