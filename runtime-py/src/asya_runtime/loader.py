"""Finds the handler that ASYA_HANDLER names, and what kind of function it is."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import typed
from .errors import LoadError

_NAME = re.compile(r"^[a-zA-Z_]\w*(\.[a-zA-Z_]\w*)+$")
# What stands in for a module `handlers` that nobody has.
_FALLBACK = "asya_runtime.handlers"


@dataclass(frozen=True)
class Loaded:
    """A handler, ready to be called with one argument."""

    name: str
    call: Callable[[Any], Any]
    # `async def`, with or without yield: many calls run at the same time.
    is_async: bool
    # Builds the argument from the payload; None where the handler declares no class.
    build: typed.Build | None = None


def load(name: str, *, batch: bool = False) -> Loaded:
    """Imports the handler. Raises LoadError, worded for the person who wrote the name."""
    if not _NAME.match(name):
        raise LoadError(f"ASYA_HANDLER={name!r} is not of the form module.function or module.Class.method")
    parts = name.split(".")
    module, rest = _import(parts)
    if len(rest) > 2:
        raise LoadError(
            f"ASYA_HANDLER={name!r}: module {module.__name__} is found, but {'.'.join(rest)} is neither a "
            "function nor Class.method in it"
        )
    target = _attribute(module, rest[0], name, f"module {module.__name__}")
    if len(rest) == 2:
        target = _attribute(_construct(target, name), rest[1], name, f"class {rest[0]}")
    elif inspect.isclass(target):
        raise LoadError(f"ASYA_HANDLER={name!r} is a class: name its method too, for example {name}.process")
    if not callable(target):
        raise LoadError(f"ASYA_HANDLER={name!r} is a {type(target).__name__}, not a function")
    prepare = getattr(target, "__asya_prepare__", None)
    if prepare is not None:
        try:
            prepare()
        except Exception as error:
            raise LoadError(f"ASYA_HANDLER={name!r} cannot work: {error}") from error
    return wrap(target, name, batch=batch)


def wrap(target: Callable[..., Any], name: str = "", *, batch: bool = False) -> Loaded:
    """A callable as a handler."""
    return Loaded(name or getattr(target, "__qualname__", "handler"), target, _is_async(target), _build(target, batch))


def _is_async(target: Any) -> bool:
    while hasattr(target, "func") and not inspect.isroutine(target):
        target = target.func
    called = target if inspect.isroutine(target) else type(target).__call__
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in (target, called))


def _import(parts: list[str]) -> tuple[Any, list[str]]:
    """The module of the longest prefix that is one, and the rest of the name."""
    for length in range(len(parts) - 1, 0, -1):
        path = ".".join(parts[:length])
        try:
            return importlib.import_module(path), parts[length:]
        except ModuleNotFoundError as error:
            # Missing is only what the name itself says; a module that it imports is its own problem.
            missing = error.name or ""
            if not (path == missing or path.startswith(missing + ".")):
                raise LoadError(_broken(path)) from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise LoadError(_broken(path)) from error
    if parts[0] == "handlers" and len(parts) == 2:
        fallback = importlib.import_module(_FALLBACK)
        if hasattr(fallback, parts[1]):
            return fallback, parts[1:]
    searched = "\n  ".join(path or "." for path in sys.path)
    raise LoadError(f"no module {parts[0]!r} (ASYA_HANDLER={'.'.join(parts)!r}); searched:\n  {searched}")


def _broken(path: str) -> str:
    return f"module {path!r} is found, but its import fails:\n{traceback.format_exc()}"


def _attribute(owner: Any, attribute: str, name: str, where: str) -> Any:
    try:
        return getattr(owner, attribute)
    except AttributeError:
        public = [each for each in dir(owner) if not each.startswith("_")]
        near = difflib.get_close_matches(attribute, public, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; it has: {', '.join(public[:20]) or 'nothing'}"
        source = getattr(owner, "__file__", None)
        at = f" ({source})" if source else ""
        raise LoadError(f"ASYA_HANDLER={name!r}: {where}{at} has no {attribute!r}{hint}") from None


def _construct(target: Any, name: str) -> Any:
    if not inspect.isclass(target):
        return target
    try:
        signature: inspect.Signature | None = inspect.signature(target)
    except (ValueError, TypeError):
        signature = None
    for parameter in signature.parameters.values() if signature else ():
        starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not starred:
            raise LoadError(
                f"ASYA_HANDLER={name!r}: {target.__name__}.__init__ needs a value for {parameter.name!r}; "
                "every parameter of it must have a default"
            )
    try:
        return target()
    except Exception as error:
        raise LoadError(f"ASYA_HANDLER={name!r}: {target.__name__}() fails:\n{traceback.format_exc()}") from error


def _build(target: Any, batch: bool) -> typed.Build | None:
    try:
        function = target if inspect.isroutine(target) else type(target).__call__
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(target).parameters.values())
    except Exception:
        # A hint that exists only for a type checker, or a function of C: then nothing is checked.
        return None
    if not parameters or parameters[0].name not in hints:
        return None
    declared = hints[parameters[0].name]
    if batch:
        arguments = typing.get_args(declared)
        if len(arguments) != 1:
            return None
        declared = arguments[0]
    return typed.builder(declared) if typed.wants_building(declared) else None
