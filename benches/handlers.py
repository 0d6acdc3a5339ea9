"""Handlers of the benchmarks."""

from __future__ import annotations

from typing import Any


def echo(payload: Any) -> Any:
    """What comes in goes out."""
    return payload
