"""Handlers that come with the runtime, for samples and smoke tests."""

from __future__ import annotations

from typing import Any


def echo(payload: Any) -> Any:
    """What comes in goes out. Stands in for `handlers.echo` where no such module can be imported."""
    return payload
