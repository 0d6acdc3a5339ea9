"""Runs conversations in unit tests: actors one after the other along the route, no queue, no network, a scripted model.

triage.llm = Scripted([calls(("lookup_order", {"number": "A1"})), says("It was shipped on Monday.")])
end = follow({"triage": triage}, "triage", "Where is A1?")
assert end.payload == {"text": "It was shipped on Monday."}
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..testing import Handler, run
from .tape import Json

# More messages than this are a loop.
MOST = 1000


def says(text: str, tokens: int = 10) -> Json:
    """A model's answer in words."""
    return {"text": text, "finish": "stop", "usage": {"input": tokens, "output": 0, "cached": 0}}


def calls(*wanted: tuple[str, Any], text: str = "", tokens: int = 10) -> Json:
    """A model's answer that calls these tools, each with its arguments."""
    made = [{"id": f"call_{at}", "name": name, "arguments": given} for at, (name, given) in enumerate(wanted)]
    return {"text": text, "calls": made, "finish": "calls", "usage": {"input": tokens, "output": 0, "cached": 0}}


class Scripted:
    """A model that says one thing after the other, whatever it is asked. An exception in the list is raised."""

    def __init__(self, answers: Iterable[Json | Exception]) -> None:
        self.answers = deque(answers)
        # What it was asked, as it was then.
        self.asked: list[Json] = []

    def __call__(self, request: Json) -> Json:
        self.asked.append(copy.deepcopy(request))
        assert self.answers, f"asked once more than the script has answers: {request['messages'][-1]}"
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return copy.deepcopy(answer)


@dataclass
class End:
    """What became of one envelope."""

    id: str
    # What arrived at the end of the route; None after an error.
    payload: Any = None
    # The body of an ERROR frame, as in `asya_runtime.testing.Result`.
    error: dict[str, Any] | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    # The actors in the order of their runs, this envelope's own and those of what it was split into and joined from.
    actors: list[str] = field(default_factory=list)


@dataclass
class _Message:
    id: str
    payload: Any
    route: dict[str, Any]
    headers: dict[str, Any]


def follow(
    handlers: Mapping[str, Handler],
    route: str,
    payload: Any,
    *,
    joins: Collection[str] = (),
    headers: Mapping[str, Any] | None = None,
) -> End:
    """Sends a payload along `route` (actors by comma) and gives the end of its envelope.

    `joins` are the names of fan-ins. The first failure is the end. AssertionError where there is no end.
    """
    waiting = deque([_Message("test", payload, {"actors": route.split(","), "current": 0}, dict(headers or {}))])
    parts: dict[str, dict[int, _Message]] = {}
    actors: list[str] = []
    while waiting:
        message = waiting.popleft()
        at, names = message.route["current"], message.route["actors"]
        if at == len(names):
            assert not waiting, f"{len(waiting)} more messages are on their way"
            return End(message.id, message.payload, None, message.headers, actors)
        actors.append(names[at])
        assert len(actors) < MOST, f"a loop: {actors[-5:]}"
        if names[at] in joins:
            waiting.extend(_joined(message, parts))
            continue
        done = run(
            handlers[names[at]], message.payload, headers=message.headers, route=names, current_actor=at, id=message.id
        )
        if done.error is not None:
            return End(message.id, None, done.error, message.headers, actors)
        waiting.extend(_sent(message, done.items, done.route, done.headers))
    raise AssertionError(f"the envelope has no end: it was split, or dropped, after {actors}")


def _sent(message: _Message, items: list[Any], route: dict[str, Any], headers: dict[str, Any]) -> list[_Message]:
    if len(items) < 2:
        return [_Message(message.id, item, route, headers) for item in items]
    used = int(headers.get("x-asya-children", 0))
    group, depth = f"{message.id}/{used}", headers.get("x-asya-fan", [])
    return [
        _Message(
            f"{message.id}-{used + index}" if index else message.id,
            item,
            copy.deepcopy(route),
            {
                **headers,
                "x-asya-fan": [*depth, {"group": group, "index": index, "count": len(items)}],
                "x-asya-children": used + len(items) - 1,
            },
        )
        for index, item in enumerate(items)
    ]


def _joined(message: _Message, parts: dict[str, dict[int, _Message]]) -> list[_Message]:
    *outer, mine = message.headers["x-asya-fan"]
    came = parts.setdefault(mine["group"], {})
    came[mine["index"]] = message
    if len(came) < mine["count"]:
        return []
    first = came[0]
    headers = {**first.headers, "x-asya-fan": outer}
    if not outer:
        del headers["x-asya-fan"]
    route = {**first.route, "current": first.route["current"] + 1}
    return [_Message(first.id, [came[index].payload for index in sorted(came)], route, headers)]
