"""What a model may call: functions of this process, other actors, and many runs of one actor at once."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, cast, overload

from .. import jsondialect
from ..errors import Drop, PayloadError, Reject, Retry
from ..typed import builder
from . import schema

# What every provider takes.
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
# A failure is a sentence for a model; a longer one is a dump.
MAX_FAILURE = 2048

_current_call: ContextVar[str | None] = ContextVar("asya_agent_call", default=None)


def call_id() -> str:
    """The id of the call that this function answers: the same in every repeat of it. Raises RuntimeError outside."""
    found = _current_call.get()
    if found is None:
        raise RuntimeError("call_id() is known only while a tool runs")
    return found


class Tool:
    """A function that a model may call, in the agent's own process. It stays a function for everybody else."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"tool {function.__name__} must be a plain function, which returns its answer")
        self.function = function
        self.name = _checked(name or function.__name__)
        self.description = inspect.getdoc(function) or ""
        if not self.description:
            raise TypeError(f"tool {self.name} needs a docstring, which the model is told")
        found = schema.parameters(function)
        self.parameters = schema.fields(found)
        self._fill = schema.filler(found)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def run(self, arguments: Any, call: str) -> tuple[str, bool]:
        """The answer as text, and whether it is a failure. Raises only what says what is to become of the envelope."""
        token = _current_call.set(call)
        try:
            return text_of(self.function(**self._fill(arguments))), False
        except (Retry, Drop, Reject):
            raise
        except PayloadError as error:
            return bounded(str(error)), True
        except Exception as error:
            return bounded(f"{type(error).__name__}: {error}"), True
        finally:
            _current_call.reset(token)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(*, name: str) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a tool of a typed function with a docstring. Raises TypeError where the types cannot be told."""
    return Tool(function, name) if function is not None else lambda found: Tool(found, name)


class Actor:
    """Another actor as a tool: its payload is the arguments, what it sends on is the answer.

    `parameters` is a dataclass, a TypedDict or a JSON Schema of an object. `approval` names the actor that comes before
    this one and lets go on only what may; True is the actor `approval`.
    """

    def __init__(
        self,
        actor: str,
        description: str,
        parameters: type | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        approval: bool | str = False,
    ) -> None:
        self.actor = actor
        self.name = _checked(name or actor)
        self.description = description
        self.item, self._fill = _object(parameters, self.name)
        self.before = ("approval",) if approval is True else (approval,) if approval else ()

    @property
    def parameters(self) -> schema.Schema:
        """What the model is told."""
        return self.item

    def check(self, arguments: Any) -> None:
        """Raises PayloadError if these arguments do not fit."""
        self._fill(arguments)

    def filled(self, arguments: Any) -> Any:
        """These arguments as JSON, with the defaults of a dataclass. Raises PayloadError if they do not fit."""
        built = self._fill(arguments)
        return jsondialect.loads(jsondialect.dumps(built)) if dataclasses.is_dataclass(built) else arguments

    def payloads(self, arguments: Any) -> list[Any]:
        """What is sent: one payload per message. Raises PayloadError if the arguments do not fit."""
        self.check(arguments)
        return [arguments]

    def way(self, many: bool) -> tuple[str, ...]:
        """The actors to the answer, for one message or `many`."""
        return (*self.before, self.actor)


class FanOut(Actor):
    """An actor that runs once for each of `items`, all at the same time; `join` is the fan-in behind it."""

    def __init__(
        self,
        actor: str,
        description: str,
        parameters: type | Mapping[str, Any] | None = None,
        *,
        join: str,
        most: int = 8,
        name: str | None = None,
    ) -> None:
        super().__init__(actor, description, parameters, name=name)
        if most < 1:
            raise ValueError(f"most must be at least 1, not {most}")
        self.join = join
        self.most = most

    @property
    def parameters(self) -> schema.Schema:
        """A list of what one run gets."""
        items = {"type": "array", "items": self.item, "minItems": 1, "maxItems": self.most}
        return {"type": "object", "properties": {"items": items}, "required": ["items"], "additionalProperties": False}

    def payloads(self, arguments: Any) -> list[Any]:
        """One payload per item."""
        items = arguments.get("items") if isinstance(arguments, dict) else None
        if not isinstance(items, list):
            raise PayloadError("items", "must be a list")
        if not 1 <= len(items) <= self.most:
            raise PayloadError("items", f"must have 1 to {self.most} elements, not {len(items)}")
        for index, item in enumerate(items):
            try:
                self.check(item)
            except PayloadError as error:
                raise PayloadError(f"items[{index}]", str(error)) from error
        return items

    def way(self, many: bool) -> tuple[str, ...]:
        """A single message is no fan-out, and a fan-in takes only parts."""
        return (self.actor, self.join) if many else (self.actor,)


def as_tool(found: Any) -> Tool | Actor:
    """A tool of a list of tools; a plain function becomes one."""
    if isinstance(found, Tool | Actor):
        return found
    if callable(found):
        return Tool(found)
    raise TypeError(f"{found!r} is neither a function nor an actor")


def text_of(value: Any) -> str:
    """A tool's answer as a model reads it: words as they are, everything else as JSON. Raises ValueError, TypeError."""
    return clean(value) if isinstance(value, str) else clean(jsondialect.dumps(value).decode())


def clean(text: str) -> str:
    """A text that UTF-8 can hold: lone surrogates would make the envelope unreadable for others than Python."""
    return text.encode("utf-8", "backslashreplace").decode()


def bounded(text: str, limit: int = MAX_FAILURE) -> str:
    """At most about `limit` bytes of a text: what is too long loses its middle."""
    data = clean(text).encode()
    if len(data) <= limit:
        return clean(text)
    half = limit // 2
    first, last = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{first}\n… {len(data) - 2 * half} bytes left out …\n{last}"


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"a tool's name has 1 to 64 letters, digits, _ and -: {name!r}")
    return name


def _object(declared: type | Mapping[str, Any] | None, name: str) -> tuple[schema.Schema, schema.Fill]:
    if declared is None:
        return schema.fields({}), schema.filler({})
    if isinstance(declared, Mapping):
        return dict(declared), _by_schema(declared)
    told = schema.of(declared)
    if "properties" not in told:
        raise TypeError(f"tool {name}: parameters must be a dataclass, a TypedDict or a JSON Schema of an object")
    build = builder(declared)
    return told, cast(schema.Fill, lambda arguments: build(arguments, "arguments"))


def _by_schema(told: Mapping[str, Any]) -> schema.Fill:
    """Only what every schema of an object says: the actor checks the rest."""

    def fill(arguments: Any) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            raise PayloadError("arguments", "must be a JSON object")
        for name in told.get("required", ()):
            if name not in arguments:
                raise PayloadError(name, "is missing")
        return arguments

    return fill
