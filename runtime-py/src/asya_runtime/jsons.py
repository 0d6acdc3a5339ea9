"""JSON as the standard library understands it, without NaN; orjson only when asked for.

orjson is another dialect: it refuses 1e400 and lone surrogates, turns long integers into floats and NaN into null, and
accepts dataclasses and datetimes. Which envelopes fail must not depend on which packages are installed.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

from .errors import InvalidResult

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]


def _default(value: Any) -> Any:
    """What declared types return: dataclasses and pydantic models."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_decoder = json.JSONDecoder()
_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_default)
_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_default)


def decode(data: bytes) -> Any:
    """One JSON value from UTF-8 bytes."""
    return _decoder.decode(data.decode("utf-8"))


def encode(value: Any) -> bytes:
    """The value as JSON; raises InvalidResult that says where in the value the trouble is."""
    try:
        return _encoder.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; escaped it passes through as it came.
        return _ascii.encode(value).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResult(f"the result cannot be sent as JSON: {error}{_where(value)}") from error


def _where(value: Any, path: str = "", depth: int = 0) -> str:
    """` (at .a[2].b)` for the first part that cannot be encoded; empty for the value itself or too deep a nesting."""
    if depth > 32:
        return ""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(f"{path}.{key}", part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    for name, part in parts:
        try:
            _ascii.encode(part)
        except (TypeError, ValueError, RecursionError):
            return _where(part, name, depth + 1)
    return f" (at {path})" if path else ""


def dialect() -> tuple[Decode, Encode]:
    """How payloads are read and results written: `ASYA_JSON=orjson` selects the other dialect."""
    wanted = os.environ.get("ASYA_JSON", "").strip().lower()
    if wanted in ("", "json"):
        return decode, encode
    if wanted != "orjson":
        raise SystemExit(f"ASYA_JSON={wanted!r}: must be json or orjson")
    try:
        import orjson
    except ImportError as error:
        raise SystemExit("ASYA_JSON=orjson, but the package orjson is not installed: pip install orjson") from error

    def orjson_encode(value: Any) -> bytes:
        try:
            return bytes(orjson.dumps(value, default=_default))
        except (TypeError, orjson.JSONEncodeError) as error:
            raise InvalidResult(f"the result cannot be sent as JSON: {error}{_where(value)}") from error

    return orjson.loads, orjson_encode
