"""What a model is told of arguments: JSON Schema from annotations, in the plain form that every server takes."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

from .. import typed
from ..errors import PayloadError

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    type(None): {"type": "null"},
    Any: {},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"type": "string"},
    pathlib.Path: {"type": "string"},
}
_NAMES: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def of(declared: Any, holders: tuple[Any, ...] = ()) -> Schema:
    """The schema of a type. Raises TypeError for one that JSON does not have; `holders` are the classes around it."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if declared is None:
        declared = type(None)
    if origin is typing.Annotated:
        notes = [note for note in arguments[1:] if isinstance(note, str)]
        described = {"description": " ".join(notes)} if notes else {}
        return {**of(arguments[0], holders), **described}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [of(each, holders) for each in arguments]}
    if origin is typing.Literal:
        return _choices(list(arguments))
    if origin in (list, set, frozenset):
        return {"type": "array", "items": of(arguments[0], holders)}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": of(arguments[0], holders)}
        parts = [of(each, holders) for each in arguments]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": of(arguments[1], holders)}
    if isinstance(declared, type):
        if issubclass(declared, enum.Enum):
            return _choices([member.value for member in declared])
        if dataclasses.is_dataclass(declared) or typing.is_typeddict(declared):
            if declared in holders:
                raise TypeError(f"{declared.__name__} holds itself, which a tool's schema cannot say")
            return fields(members(declared), (*holders, declared))
    try:
        return dict(_PLAIN[declared])
    except (KeyError, TypeError):
        raise TypeError(f"{declared!r} is not a type that JSON has") from None


def _choices(values: list[Any]) -> Schema:
    kinds = {type(value) for value in values}
    schema: Schema = {"enum": values}
    if len(kinds) == 1 and (kind := kinds.pop()) in _NAMES:
        schema["type"] = _NAMES[kind]
    return schema


# A member's type, and its default; `inspect.Parameter.empty` where it is required.
Members = dict[str, tuple[Any, Any]]


def members(declared: type) -> Members:
    """The members of a dataclass or TypedDict."""
    hints = typing.get_type_hints(declared, include_extras=True)
    found: Members = {}
    if typing.is_typeddict(declared):
        needed = typed.required_keys(declared)
        for name, hint in hints.items():
            found[name] = (typed.member_type(hint), inspect.Parameter.empty if name in needed else None)
        return found
    for field in dataclasses.fields(declared):
        if not field.init:
            continue
        default = field.default
        if default is dataclasses.MISSING:
            required = field.default_factory is dataclasses.MISSING
            default = inspect.Parameter.empty if required else None
        found[field.name] = (hints[field.name], default)
    return found


def parameters(function: Callable[..., Any]) -> Members:
    """The parameters of a function. Raises TypeError for one that no model could fill in."""
    name = getattr(function, "__name__", "function")
    hints = typing.get_type_hints(function, include_extras=True)
    found: Members = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"tool {name}: parameter {parameter.name!r} must be one that can be given by name")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: parameter {parameter.name!r} needs a type, which the model is told")
        found[parameter.name] = (hints[parameter.name], parameter.default)
    return found


def fields(found: Members, holders: tuple[Any, ...] = ()) -> Schema:
    """The schema of an object with these members."""
    properties: Schema = {}
    for name, (hint, default) in found.items():
        try:
            schema = of(hint if default is inspect.Parameter.empty else _without_null(hint), holders)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        if type(default) in _NAMES:
            schema["default"] = default
        properties[name] = schema
    required = [name for name, (_, default) in found.items() if default is inspect.Parameter.empty]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _without_null(hint: Any) -> Any:
    """What may be left out need not be null as well: many servers do not know `anyOf`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [each for each in typing.get_args(hint) if each is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


Fill = Callable[[Any], dict[str, Any]]


def filler(found: Members) -> Fill:
    """Builds the members from what a model wrote, or raises PayloadError with a sentence for the model."""
    builders = {name: typed.builder(hint) for name, (hint, _) in found.items()}
    required = [name for name, (_, default) in found.items() if default is inspect.Parameter.empty]

    def fill(arguments: Any) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            raise PayloadError("arguments", "must be a JSON object")
        for name in arguments:
            if name not in builders:
                raise PayloadError(name, f"is not a parameter; there are {', '.join(builders) or 'none'}")
        for name in required:
            if name not in arguments:
                raise PayloadError(name, "is missing")
        return {name: builders[name](value, name) for name, value in arguments.items()}

    return fill
