"""The checks that envelopes pass where whole envelopes are seen: one-shot, and envelope mode."""

from __future__ import annotations

from typing import Any

# What survives validation; everything else at top level is dropped.
KEPT = ("payload", "route", "id", "parent_id", "headers")


def check(envelope: Any) -> dict[str, Any]:
    """A valid envelope with `route.current` filled in and unknown keys dropped. Raises ValueError."""
    if not isinstance(envelope, dict):
        raise ValueError(f"envelope must be an object, not {type(envelope).__name__}")
    for key in ("payload", "route"):
        if key not in envelope:
            raise ValueError(f"envelope has no {key!r}")
    route = envelope["route"]
    if not isinstance(route, dict):
        raise ValueError("route must be an object")
    actors = route.get("actors")
    if not isinstance(actors, list) or not actors:
        raise ValueError("route.actors must be a list with at least one actor")
    current = route.get("current", 0)
    if not isinstance(current, int) or isinstance(current, bool):
        raise ValueError("route.current must be an integer")
    if not 0 <= current <= len(actors):
        raise ValueError(f"route.current {current} is outside of 0..{len(actors)}")
    if "headers" in envelope and not isinstance(envelope["headers"], dict):
        raise ValueError("headers must be an object")
    if "id" in envelope and not isinstance(envelope["id"], str):
        raise ValueError("id must be a string")
    kept = {key: envelope[key] for key in KEPT if key in envelope}
    kept["route"] = {**route, "current": current}
    return kept


def check_output(envelope: Any, before: dict[str, Any]) -> dict[str, Any]:
    """A valid output for that input: what has been processed stays. Raises ValueError, IndexError at the end."""
    found = check(envelope)
    actors, position = before["actors"], before["current"]
    at = actors[position]
    new = found["route"]["actors"]
    if new[: position + 1] != actors[: position + 1]:
        raise ValueError(
            f"already-processed actors cannot be erased: route starts with {new[: position + 1]}, "
            f"not {actors[: position + 1]} (this actor is {at!r})"
        )
    return found
