"""Payloads as declared types: dataclasses by the standard library, pydantic models if pydantic is there."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from .errors import ValidationError

Builder = Callable[[Any], Any]


def builder_for(function: Callable[..., Any], *, batch: bool) -> Builder | None:
    """What makes the handler's argument from the payload; None when it takes plain JSON."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    if not parameters:
        return None
    try:
        hints = typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError):
        # Annotations that only a type checker can resolve say nothing at run time.
        return None
    hint = hints.get(parameters[0].name)
    if batch:
        arguments = typing.get_args(hint)
        hint = arguments[0] if arguments else None
    if _is_model(hint):
        return _model_builder(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return lambda payload: _build(hint, payload, "payload")
    return None


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and callable(getattr(hint, "model_validate", None))


def _model_builder(model: Any) -> Builder:
    def build(payload: Any) -> Any:
        try:
            return model.model_validate(payload)
        except ValueError as error:
            raise ValidationError(f"the payload is not a {model.__name__}: {error}") from error

    return build


def _build(hint: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any or hint is inspect.Parameter.empty:
        return value
    if hint is None or hint is type(None):
        return _expect(value is None, value, path, "null")
    if origin in (typing.Union, types.UnionType):
        return _union(hint, value, path)
    if origin is typing.Literal:
        return _expect(value in typing.get_args(hint), value, path, f"one of {typing.get_args(hint)}")
    if origin in (list, Sequence, set, frozenset, tuple):
        return _collection(hint, origin, value, path)
    if origin in (dict, Mapping):
        _expect(isinstance(value, dict), value, path, "an object")
        part = typing.get_args(hint)[1]
        return {key: _build(part, item, f"{path}.{key}") for key, item in value.items()}
    if not isinstance(hint, type):
        return value
    return _plain(hint, value, path)


def _union(hint: Any, value: Any, path: str) -> Any:
    reasons = []
    for option in typing.get_args(hint):
        try:
            return _build(option, value, path)
        except ValidationError as error:
            reasons.append(str(error))
    raise ValidationError("; ".join(reasons))


def _collection(hint: Any, origin: Any, value: Any, path: str) -> Any:
    _expect(isinstance(value, list), value, path, "a list")
    arguments = typing.get_args(hint)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        _expect(len(value) == len(arguments), value, path, f"a list of {len(arguments)}")
        return tuple(
            _build(p, item, f"{path}[{i}]") for i, (p, item) in enumerate(zip(arguments, value, strict=True))
        )
    built = [_build(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value)]
    return built if origin in (list, Sequence) else origin(built)


def _plain(hint: type, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, path)
    if _is_model(hint):
        return _model_builder(hint)(value)
    if issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            raise ValidationError(f"{path}: {value!r} is none of {[member.value for member in hint]}") from None
    if hint in (datetime, date):
        _expect(isinstance(value, str), value, path, "an ISO 8601 text")
        try:
            return hint.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            raise ValidationError(f"{path}: {error}") from None
    if hint is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), value, path, "a number")
        return float(value)
    if hint is int:
        return _expect(isinstance(value, int) and not isinstance(value, bool), value, path, "an integer")
    names = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
    return _expect(isinstance(value, hint), value, path, names.get(hint, f"a {hint.__name__}"))


def _dataclass(hint: Any, value: Any, path: str) -> Any:
    _expect(isinstance(value, dict), value, path, f"an object ({hint.__name__})")
    hints = typing.get_type_hints(hint)
    arguments = {}
    for field in dataclasses.fields(hint):
        if not field.init:
            continue
        if field.name in value:
            arguments[field.name] = _build(hints[field.name], value[field.name], f"{path}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValidationError(f"{path}.{field.name} is missing")
    try:
        return hint(**arguments)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"{path}: {error}") from error


def _expect(fits: bool, value: Any, path: str, wanted: str) -> Any:
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise ValidationError(f"{path}: expected {wanted}, got {shown}")
    return value
