"""Runs handlers in unit tests as a worker would: no socket, no process.

result = run(my_handler, {"text": "x"}, headers={"lang": "en"})
assert result.items == [{"words": 1}]
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import jsondialect
from .call import Callee
from .config import Config
from .context import Context, current
from .errors import BadResult
from .loader import Loaded, load, wrap
from .results import failure, is_stream, split

Handler = Callable[..., Any] | str


@dataclass
class Result:
    """What became of one message."""

    # Payloads that go on, as they are after JSON; in envelope mode whole envelopes.
    items: list[Any] = field(default_factory=list)
    # The body of an ERROR frame: code, message, type, action, …; None when the handler succeeded.
    error: dict[str, Any] | None = None
    # Each report as (fraction, message).
    progress: list[tuple[float, str]] = field(default_factory=list)
    # The route as it leaves, advanced; and the headers as they leave.
    route: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)

    @property
    def payload(self) -> Any:
        """The only item. Raises AssertionError when there is another number of them, or an error."""
        assert self.error is None, f"the handler failed: {self.error}"
        assert len(self.items) == 1, f"the handler gave {len(self.items)} items"
        return self.items[0]


def run(
    handler: Handler,
    payload: Any,
    *,
    headers: Mapping[str, Any] | None = None,
    route: Sequence[str] = ("handler",),
    current_actor: int = 0,
    mode: str = "payload",
    single: bool = False,
    attempt: int = 1,
    id: str = "test",
    deadline: str | None = None,
) -> Result:
    """Runs a handler, or the one of that name, on one message. The payload passes through JSON, as it would.

    In envelope mode `payload` is the whole envelope. Not to be called from a running event loop.
    """
    loaded = load(handler) if isinstance(handler, str) else wrap(handler)
    meta: dict[str, Any] = {
        "id": id,
        "route": {"actors": list(route), "current": current_actor},
        "headers": dict(headers or {}),
        "actor": list(route)[current_actor],
        "attempt": attempt,
    }
    if deadline is not None:
        meta["deadline"] = deadline
    result = Result()
    context = Context(meta, lambda fraction, message: result.progress.append((fraction, message)))
    callee = _callee(loaded, mode, single)
    token = current.set(context)
    try:
        argument = callee.argument(jsondialect.dumps(payload))
        before = callee.before(argument)
        value = callee.call(argument)
        if inspect.isasyncgen(value) or inspect.isawaitable(value):
            value = asyncio.run(_finish(value, callee, before, result))
        if is_stream(value):
            for each in value:
                result.items.append(callee.loads(callee.payload(each, before)))
        elif value is not None:
            items = [callee.loads(callee.payload(each, before)) for each in split(value, single)]
            result.items.extend(items)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        result.error = failure(error).body
    finally:
        current.reset(token)
    changes = context.changes() or {}
    result.route = changes.get("route", context.route.advanced())
    result.headers = changes.get("headers", context.headers)
    return result


async def _finish(value: Any, callee: Callee, before: dict[str, Any] | None, result: Result) -> Any:
    if inspect.isasyncgen(value):
        async for each in value:
            result.items.append(callee.loads(callee.payload(each, before)))
        return None
    return await value


def run_batch(handler: Handler, payloads: Sequence[Any]) -> list[Result]:
    """Runs a batch handler once over these payloads; one result for each."""
    loaded = load(handler, batch=True) if isinstance(handler, str) else wrap(handler, batch=True)
    callee = _callee(loaded, "payload", False)
    results = [Result() for _ in payloads]
    contexts = tuple(
        Context(
            {"id": f"test-{i}", "route": {"actors": ["handler"], "current": 0}},
            lambda fraction, message, result=result: result.progress.append((fraction, message)),  # type: ignore[misc]
        )
        for i, result in enumerate(results)
    )
    token = current.set(contexts)
    try:
        values = callee.call([callee.argument(jsondialect.dumps(each)) for each in payloads])
        if inspect.isawaitable(values):
            values = asyncio.run(_finish(values, callee, None, Result()))
        if not isinstance(values, list | tuple) or len(values) != len(results):
            raise BadResult("a batch handler must return a list as long as its input")
        for result, value in zip(results, values, strict=True):
            if isinstance(value, BaseException):
                result.error = failure(value).body
            else:
                result.items = [callee.loads(callee.payload(each)) for each in split(value, False)]
    except Exception as error:
        for result in results:
            result.error = failure(error).body
    finally:
        current.reset(token)
    return results


def run_route(handlers: Sequence[Handler], payload: Any, *, headers: Mapping[str, Any] | None = None) -> list[Result]:
    """Runs a payload through handlers in order, each item of one being a message of the next.

    Gives one result for each message that reached an end: the last handler's items, or an error, or nothing.
    """
    names = [each if isinstance(each, str) else getattr(each, "__name__", "handler") for each in handlers]
    ends: list[Result] = []
    messages: list[tuple[Any, dict[str, Any]]] = [(payload, dict(headers or {}))]
    for position, handler in enumerate(handlers):
        following: list[tuple[Any, dict[str, Any]]] = []
        for value, its_headers in messages:
            result = run(handler, value, headers=its_headers, route=names, current_actor=position)
            if result.error is not None or not result.items or position == len(handlers) - 1:
                ends.append(result)
            else:
                following.extend((item, result.headers) for item in result.items)
        messages = following
    return ends


def _callee(loaded: Loaded, mode: str, single: bool) -> Callee:
    if mode not in ("payload", "envelope"):
        raise ValueError(f"mode is payload or envelope, not {mode!r}")
    config = Config(
        handler=loaded.name,
        mode=mode,
        directory=Path(),
        socket_name="",
        chmod=None,
        validation=True,
        workers=1,
        concurrency=1,
        batch_max=1,
        batch_wait=0.0,
        single_result=single,
        json="stdlib",
        max_requests=0,
        max_rss=0,
        grace=0.0,
        log_level="info",
        log_format="text",
        uvloop=False,
    )
    return Callee(loaded, config)
