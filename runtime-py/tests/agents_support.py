"""Tools and agents that several tests of agents have."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, Literal, TypedDict

from asya_runtime.agents import Agent
from asya_runtime.agents.testing import Scripted


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Place:
    city: str
    zip: int | None = None


class Range(TypedDict, total=False):
    low: int
    high: int


def everything(
    text: Annotated[str, "what it is about"],
    size: Size,
    kind: Literal["a", "b"],
    place: Place,
    tags: list[str],
    weights: dict[str, float],
    span: Range,
    urgent: bool = False,
    note: str | None = None,
) -> dict[str, Any]:
    """Takes all there is."""
    return {"place": place, "size": size.name, "kind": kind, "span": span, "note": note}


def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


def asking(script: list[Any], *tools: Any, **options: Any) -> Agent:
    return Agent("Be brief.", tools, llm=Scripted(script), **options)


def scripted(agent: Agent) -> Scripted:
    assert isinstance(agent.llm, Scripted)
    return agent.llm


def answers(agent: Agent, turn: int = -1) -> list[tuple[str, bool]]:
    """What the tools had answered when the model was asked that time."""
    messages = scripted(agent).asked[turn]["messages"]
    return [(message["text"], message["failed"]) for message in messages if message["role"] == "tool"]
