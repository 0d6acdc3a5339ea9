"""Builds the dataclass or pydantic model that a handler declares from the payload, or says where it does not fit."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

from .errors import PayloadError

Build = Callable[[Any, str], Any]

# Built from their text form, each raising ValueError (or a subclass) for what is not one.
_FROM_TEXT: dict[Any, Callable[[str], Any]] = {
    datetime.datetime: lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")),
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    uuid.UUID: uuid.UUID,
    decimal.Decimal: decimal.Decimal,
    pathlib.Path: pathlib.Path,
}
_JSON_NAMES: dict[Any, str] = {
    str: "text",
    int: "an integer",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def is_model(declared: Any) -> bool:
    """Whether this is a pydantic model; pydantic is never imported for the question."""
    return isinstance(declared, type) and hasattr(declared, "model_validate") and hasattr(declared, "model_fields")


def wants_building(declared: Any) -> bool:
    """Whether a dataclass or model is in the type. Other annotations are notes to readers, never checked."""
    if is_model(declared) or (isinstance(declared, type) and dataclasses.is_dataclass(declared)):
        return True
    return any(wants_building(argument) for argument in typing.get_args(declared))


def builder(declared: Any) -> Build:
    """The function that builds this type; what it does not know it passes through."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if declared is Any:
        return _pass
    if declared is None or declared is type(None):
        return _null
    if origin is typing.Annotated:
        return builder(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is typing.Literal:
        return _literal(arguments)
    if origin in (list, tuple, set, frozenset) or declared in (list, tuple):
        return _sequence(origin or declared, arguments)
    if origin is dict or declared is dict:
        return _mapping(arguments)
    if is_model(declared):
        return _model(declared)
    if isinstance(declared, type):
        if dataclasses.is_dataclass(declared):
            return _dataclass(declared)
        if typing.is_typeddict(declared):
            return _typed_dict(declared)
        if issubclass(declared, enum.Enum):
            return _enum(declared)
        if declared in _FROM_TEXT:
            return _from_text(declared)
        if declared in (str, int, float, bool):
            return _scalar(declared)
    return _pass


def _pass(value: Any, _path: str) -> Any:
    return value


def _null(value: Any, path: str) -> None:
    if value is not None:
        raise PayloadError(path, f"must be null, not {_kind(value)}")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _scalar(declared: type) -> Build:
    def build(value: Any, path: str) -> Any:
        if declared is float and type(value) in (int, float):
            return float(value)
        if type(value) is not declared:
            raise PayloadError(path, f"must be {_JSON_NAMES.get(declared, 'a number')}, not {_kind(value)}")
        return value

    return build


def _from_text(declared: Any) -> Build:
    parse = _FROM_TEXT[declared]

    def build(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise PayloadError(path, f"must be text ({declared.__name__}), not {_kind(value)}")
        try:
            return parse(value)
        except (ValueError, ArithmeticError) as error:
            raise PayloadError(path, f"is not a {declared.__name__}: {value!r}") from error

    return build


def _enum(declared: type[enum.Enum]) -> Build:
    def build(value: Any, path: str) -> Any:
        try:
            return declared(value)
        except ValueError as error:
            choices = ", ".join(repr(member.value) for member in declared)
            raise PayloadError(path, f"must be one of {choices}, not {value!r}") from error

    return build


def _literal(choices: tuple[Any, ...]) -> Build:
    def build(value: Any, path: str) -> Any:
        for choice in choices:
            if value == choice and type(value) is type(choice):
                return value
        raise PayloadError(path, f"must be one of {', '.join(map(repr, choices))}, not {value!r}")

    return build


def _union(arguments: tuple[Any, ...]) -> Build:
    nullable = type(None) in arguments
    builders = [builder(argument) for argument in arguments if argument is not type(None)]

    def build(value: Any, path: str) -> Any:
        if value is None and nullable:
            return None
        first: PayloadError | None = None
        for one in builders:
            try:
                return one(value, path)
            except PayloadError as error:
                first = first or error
        if len(builders) == 1 and first is not None:
            raise first
        raise PayloadError(path, f"fits none of the declared types ({first})")

    return build


def _sequence(kind: Any, arguments: tuple[Any, ...]) -> Build:
    fixed = kind is tuple and bool(arguments) and arguments[-1] is not Ellipsis
    builders = [builder(argument) for argument in arguments if argument is not Ellipsis] or [_pass]

    def build(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise PayloadError(path, f"must be a list, not {_kind(value)}")
        if fixed and len(value) != len(builders):
            raise PayloadError(path, f"must have {len(builders)} elements, not {len(value)}")
        each = (builders[i if fixed else 0](part, f"{path}[{i}]") for i, part in enumerate(value))
        return kind(each)

    return build


def _mapping(arguments: tuple[Any, ...]) -> Build:
    inner = builder(arguments[1]) if len(arguments) == 2 else _pass

    def build(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise PayloadError(path, f"must be an object, not {_kind(value)}")
        return {key: inner(part, f"{path}.{key}") for key, part in value.items()}

    return build


def _dataclass(declared: type) -> Build:
    # Hints are resolved when first needed, so that a class can hold itself.
    plan: list[tuple[str, Build, bool]] = []

    def build(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise PayloadError(path, f"must be an object ({declared.__name__}), not {_kind(value)}")
        if not plan:
            hints = typing.get_type_hints(declared, include_extras=True)
            for field in dataclasses.fields(declared):
                if field.init:
                    missing = dataclasses.MISSING
                    required = field.default is missing and field.default_factory is missing
                    plan.append((field.name, builder(hints[field.name]), required))
        arguments = {}
        for name, one, required in plan:
            if name in value:
                arguments[name] = one(value[name], f"{path}.{name}")
            elif required:
                raise PayloadError(f"{path}.{name}", "is missing")
        try:
            return declared(**arguments)
        except (ValueError, TypeError) as error:
            # A check in __post_init__ is part of the type.
            raise PayloadError(path, str(error)) from error

    return build


def required_keys(declared: Any) -> frozenset[str]:
    """The keys that a TypedDict cannot be without, also where its annotations are kept as text."""
    marks = {getattr(typing, "Required", None): True, getattr(typing, "NotRequired", None): False}
    found = set(declared.__required_keys__)
    for name, hint in typing.get_type_hints(declared, include_extras=True).items():
        mark = marks.get(typing.get_origin(hint)) if typing.get_origin(hint) is not None else None
        if mark is not None:
            (found.add if mark else found.discard)(name)
    return frozenset(found)


def member_type(hint: Any) -> Any:
    """The type of a TypedDict's member, without the mark that says whether it is required."""
    marks = (getattr(typing, "Required", None), getattr(typing, "NotRequired", None))
    origin = typing.get_origin(hint)
    return typing.get_args(hint)[0] if origin is not None and origin in marks else hint


def _typed_dict(declared: Any) -> Build:
    plan: dict[str, Build] = {}
    required = required_keys(declared)

    def build(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise PayloadError(path, f"must be an object ({declared.__name__}), not {_kind(value)}")
        if not plan:
            hints = typing.get_type_hints(declared, include_extras=True)
            plan.update((name, builder(member_type(hint))) for name, hint in hints.items())
        for name in plan:
            if name not in value and name in required:
                raise PayloadError(f"{path}.{name}", "is missing")
        return {key: plan.get(key, _pass)(part, f"{path}.{key}") for key, part in value.items()}

    return build


def _model(declared: Any) -> Build:
    def build(value: Any, path: str) -> Any:
        try:
            return declared.model_validate(value)
        except ValueError as error:
            found = getattr(error, "errors", None)
            if found is None:
                raise PayloadError(path, str(error)) from error
            lines = [
                (path + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in one["loc"]), one["msg"])
                for one in found(include_url=False, include_input=False, include_context=False)
            ]
            more = "".join(f"; {where}: {what}" for where, what in lines[1:5])
            raise PayloadError(lines[0][0], lines[0][1] + more) from error

    return build
