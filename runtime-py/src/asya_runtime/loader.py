"""From the name of a handler to something that can be called."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .config import Config
from .typed import Builder, builder_for

# The sample manifest of the platform names `handlers.echo` on an image that has no such module.
BUILT_IN = {"handlers.echo": "asya_runtime.builtin.echo"}


class HandlerError(Exception):
    """The handler cannot be loaded; the text says what to do."""


@dataclass(frozen=True)
class Handler:
    """A handler and how it wants to be called."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    is_generator: bool
    batch: bool
    build: Builder | None


def load(config: Config) -> Handler:
    """Imports the handler; a class is constructed once."""
    name = config.handler
    try:
        function = resolve(name)
    except HandlerError:
        if name not in BUILT_IN or importlib.util.find_spec(name.split(".")[0]) is not None:
            raise
        function = resolve(BUILT_IN[name])
    batch = config.batch_max > 1
    is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if batch and is_generator:
        raise HandlerError(f"{name} is a generator; a batch handler (ASYA_BATCH_MAX) must return a list")
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if batch and is_async:
        raise HandlerError(f"{name} is async; ASYA_BATCH_MAX is for sync handlers, async ones have ASYA_CONCURRENCY")
    return Handler(
        name=name,
        function=function,
        is_async=is_async,
        is_generator=is_generator,
        batch=batch,
        build=None if config.mode == "envelope" else builder_for(function, batch=batch),
    )


def resolve(name: str) -> Callable[..., Any]:
    """The longest importable prefix is the module; what is left is a function, or a class and a method."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:length])
        if not _exists(module_name):
            continue
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise HandlerError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
        return _member(module, parts[length:], name)
    where = ", ".join(path or "." for path in sys.path)
    raise HandlerError(f"no module {parts[0]!r} for ASYA_HANDLER={name}; searched {where}: set PYTHONPATH")


def _exists(module_name: str) -> bool:
    try:
        return importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError:
        return False
    except Exception as error:
        raise HandlerError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error


def _member(module: Any, rest: list[str], name: str) -> Callable[..., Any]:
    if len(rest) > 2:
        raise HandlerError(f"ASYA_HANDLER={name}: after module {module.__name__} one function or Class.method may follow")
    target = _attribute(module, rest[0], module.__name__)
    if len(rest) == 2:
        if not inspect.isclass(target):
            raise HandlerError(f"{module.__name__}.{rest[0]} is not a class, so it has no method {rest[1]!r}")
        target = _attribute(_construct(target), rest[1], f"{module.__name__}.{rest[0]}")
    if not callable(target) or inspect.isclass(target):
        raise HandlerError(f"ASYA_HANDLER={name} is a {type(target).__name__}, not a function or method")
    return target  # type: ignore[no-any-return]


def _attribute(owner: Any, attribute: str, owner_name: str) -> Any:
    try:
        return getattr(owner, attribute)
    except AttributeError:
        public = [known for known in dir(owner) if not known.startswith("_")]
        close = difflib.get_close_matches(attribute, public, n=3) or public[:8]
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise HandlerError(f"{owner_name} has no {attribute!r}{hint}") from None


def _construct(cls: type) -> Any:
    required = [
        p.name
        for p in inspect.signature(cls).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if required:
        raise HandlerError(
            f"{cls.__name__}.__init__ needs {', '.join(required)}: a handler class is made without arguments, so "
            f"each parameter needs a default"
        )
    try:
        return cls()
    except Exception as error:
        raise HandlerError(f"constructing {cls.__name__} failed: {type(error).__name__}: {error}") from error
