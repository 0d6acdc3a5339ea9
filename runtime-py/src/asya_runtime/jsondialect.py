"""JSON in and out. The standard library without NaN is the semantics; orjson only on request (ASYA_JSON)."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import json.encoder
import json.scanner
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Loads = Callable[[bytes], Any]
Dumps = Callable[[Any], bytes]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
_scan: Any = _decoder.scan_once  # type: ignore[attr-defined]


def loads(data: bytes) -> Any:
    """Reads one JSON value. Raises ValueError (JSONDecodeError, UnicodeDecodeError) or RecursionError."""
    text = data.decode()
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    # White space around the value is rare: only then the full decoder, which also words the errors.
    return value if end == len(text) else _decoder.decode(text)


def plain(value: Any) -> Any:
    """What the encoder asks for a value that is not JSON: dataclasses and pydantic models are encoded."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _leaf(getattr(value, f.name)) for f in dataclasses.fields(value)}
    dump = getattr(type(value), "model_dump", None)
    if dump is not None and hasattr(type(value), "model_fields"):
        return value.model_dump(mode="json")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _leaf(value: Any) -> Any:
    """A field of a dataclass: the types that a typed handler can declare go out as they come in."""
    if isinstance(value, enum.Enum):
        return _leaf(value.value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID | Decimal):
        return str(value)
    if isinstance(value, list | tuple):
        return [_leaf(v) for v in value]
    if isinstance(value, dict):
        return {_leaf(k): _leaf(v) for k, v in value.items()}
    return value


_slow = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=plain)
_make: Any = getattr(json.encoder, "c_make_encoder", None)
_fast: Any = None
if _make is not None:
    # Made once: JSONEncoder.encode makes one for each call, which costs more than a small message.
    _fast = _make(None, plain, json.encoder.encode_basestring, None, ":", ",", False, False, False)


def dumps(value: Any) -> bytes:
    """Encodes one value. Raises TypeError, ValueError (NaN) or RecursionError (also for a cycle)."""
    if _fast is None:
        return _slow.encode(value).encode()
    text = "".join(_fast(value, 0))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8; its escape is valid JSON.
        return _slow.encode(value).encode()


def dialect(name: str) -> tuple[Loads, Dumps]:
    """The two functions of `stdlib` or `orjson`. Raises ImportError."""
    if name != "orjson":
        return loads, dumps
    import orjson

    def orjson_dumps(value: Any) -> bytes:
        return bytes(orjson.dumps(value, default=plain))

    return orjson.loads, orjson_dumps


def offender(value: Any) -> str | None:
    """Path and type of the first part that is not JSON, e.g. `$.rows[3].at (datetime)`."""
    try:
        return _offender(value, "$", 0)
    except Exception:
        return None


def _offender(value: Any, path: str, depth: int) -> str | None:
    if value is None or isinstance(value, str | bool | int):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path} ({value})"
    if depth > 100:
        return f"{path} (nested too deep, or a cycle)"
    if isinstance(value, dict):
        for key, part in value.items():
            if not (key is None or isinstance(key, str | int | float | bool)):
                return f"{path} (key of type {type(key).__name__})"
            if found := _offender(part, f"{path}.{key}", depth + 1):
                return found
        return None
    if isinstance(value, list | tuple):
        for index, part in enumerate(value):
            if found := _offender(part, f"{path}[{index}]", depth + 1):
                return found
        return None
    try:
        inner = plain(value)
    except TypeError:
        return f"{path} ({type(value).__name__})"
    return _offender(inner, path, depth + 1)
