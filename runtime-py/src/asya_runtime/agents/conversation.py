"""What travels between the turns of an agent: one header, in which every agent that waits for an answer has its frame.

The header `agent-state` is a list, innermost last. A frame belongs to the actor whose name it has, at the place of the
route behind which as many actors come as it says: whatever a tool inserts, that number is the same when its answer is
back.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Literal

from .. import jsondialect, typed
from ..context import Context
from ..errors import PayloadError, Reject
from . import tools

STATE = "agent-state"
# What a tool is told of the call that it answers: `{"id", "tool", "agent"}`.
CALL = "agent-call"
# The fan-outs that an envelope is part of; the platform's.
_FAN = "x-asya-fan"
GAPS = "x-asya-gaps"
# A frame of another version is refused: nobody knows what it says.
VERSION = 1

Message = dict[str, Any]
Waits = Literal["turn", "tool", "judge"]


@dataclasses.dataclass
class Frame:
    """One agent's conversation."""

    agent: str
    # How many actors of the route come after this one.
    rest: int
    # Where in the route, and how many fan-outs deep, it began.
    began: int = 0
    fan: int = 0
    v: int = VERSION
    # Turns that the model was asked for.
    turn: int = 0
    # For what comes next to this agent.
    waits: Waits = "turn"
    # The question first. Messages have the form of crates/llm.
    messages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    # Messages that were left out behind the question.
    left_out: int = 0
    # The answer of a fan-out that was one message.
    alone: bool = False
    # Answers that the judge has refused, and the one that it looks at.
    refused: int = 0
    answer: Any = None
    # The header `agent-call` as it came: who asks this agent.
    called: dict[str, Any] | None = None


_read = typed.builder(list[Frame])


def _read_frames(raw: Any) -> list[Frame]:
    try:
        frames: list[Frame] = _read(raw, f"header {STATE}")
    except PayloadError as error:
        raise Reject(f"{error}: it was changed on the way, or made by another version") from error
    for frame in frames:
        if frame.v != VERSION:
            raise Reject(f"header {STATE} has version {frame.v}, this runtime writes {VERSION}")
    return frames


class Conversation:
    """The conversation of the agent that runs, and the frames of those that wait for it."""

    def __init__(self, here: Context, keep: int) -> None:
        headers, route = here.headers, here.route
        frames = _read_frames(headers.get(STATE, []))
        rest, depth = len(route.actors) - route.current - 1, len(headers.get(_FAN) or ())
        self.here = here
        self.keep = keep
        self.is_new = not (frames and (frames[-1].agent, frames[-1].rest) == (here.actor, rest))
        called = headers.get(CALL)
        if self.is_new:
            frames.append(
                Frame(here.actor, rest, route.current, depth, called=called if isinstance(called, dict) else None)
            )
        self.mine = frames.pop()
        self._waiting = frames
        if self.mine.fan != depth:
            raise Reject("this is one part of a fan-out: a tool that splits must be followed by the fan-in that joins")

    @property
    def messages(self) -> list[Message]:
        """The question first."""
        return self.mine.messages

    def asked(self) -> list[Message]:
        """The messages as a model is asked, with a word about those that are left out."""
        if not self.mine.left_out:
            return self.messages
        note = {"role": "user", "text": f"[{self.mine.left_out} earlier messages are left out here]"}
        return [self.messages[0], note, *self.messages[1:]]

    def pending(self) -> tuple[int, Message] | None:
        """The first call of the last turn that has no answer, and its number."""
        at = self._last_turn()
        if at is None:
            return None
        calls, answered = self.messages[at]["calls"], len(self.messages) - at - 1
        return (answered, calls[answered]) if answered < len(calls) else None

    def _last_turn(self) -> int | None:
        at = len(self.messages) - 1
        while at >= 0 and self.messages[at]["role"] == "tool":
            at -= 1
        return at if at >= 0 and self.messages[at]["role"] == "assistant" else None

    def answered(self, call: Message, text: str, failed: bool) -> None:
        """Adds the answer to the first pending call."""
        message = {"role": "tool", "call": call["id"], "name": call["name"], "text": text, "failed": failed}
        self.messages.append(message)

    def said(self, text: str) -> None:
        """Adds words in the place of a person's."""
        self.messages.append({"role": "user", "text": tools.clean(text)})

    def call_id(self, number: int) -> str:
        """The id of a call that others see: the same whenever this turn of this envelope is repeated."""
        return f"{self.here.id}.{self.mine.began}.{self.mine.turn}.{number}"

    def steps(self) -> list[Message]:
        """What tools were called with, and what they answered, as far as it has not been left out."""
        found: list[Message] = []
        calls: Iterator[Message] = iter(())
        for message in self.messages:
            if message["role"] == "assistant":
                calls = iter(message["calls"])
            elif message["role"] == "tool":
                call = next(calls)
                found.append({"tool": call["name"], "arguments": call["arguments"], "result": message["text"]})
        return found

    def repeats(self, call: Message) -> int:
        """How often in a row this call has been made just now, this time included."""
        said = [each for message in self.messages for each in message.get("calls", ())]
        until = next(index for index, each in enumerate(said) if each is call) + 1
        count = 0
        for each in reversed(said[:until]):
            if (each["name"], each["arguments"]) != (call["name"], call["arguments"]):
                break
            count += 1
        return count

    def leave(self, waits: Waits) -> None:
        """Writes the state for what comes next to this agent. Raises Reject if the question alone is too large."""
        self.mine.waits = waits
        self._trim()
        self._write([*self._waiting, self.mine])

    def end(self) -> None:
        """Takes this agent's frame off; the others find theirs."""
        self._write(self._waiting)
        self.here.set_header(CALL, self.mine.called)

    def _write(self, frames: list[Frame]) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(Frame)}
        raw = [
            {key: value for key, value in vars(frame).items() if key == "v" or value != defaults[key]}
            for frame in frames
        ]
        self.here.set_header(STATE, raw or None)

    def _trim(self) -> None:
        """Leaves out the oldest turns until what is left fits. A call and its answer stay together."""
        messages = self.messages
        if (question := _size(messages[:1])) > self.keep:
            raise Reject(
                f"the question has {question} bytes, more than the {self.keep} that travel with a conversation: "
                "send a reference and give the agent a tool that reads, or raise keep="
            )
        while _size(messages) > self.keep:
            turns = [at for at, message in enumerate(messages) if at > 0 and message["role"] == "assistant"]
            if len(turns) < 2:
                break
            self.mine.left_out += turns[1] - 1
            del messages[1 : turns[1]]
        room = self.keep - _size(messages)
        for message in sorted(messages[1:], key=lambda each: -len(each["text"])):
            if room >= 0:
                return
            size = len(message["text"].encode())
            message["text"] = tools.bounded(message["text"], max(256, size + room - 256))
            room = self.keep - _size(messages)


def _size(messages: list[Message]) -> int:
    return len(jsondialect.dumps(messages))


def as_text(payload: Any) -> str:
    """A payload as a question: `{"text": …}` and text as they are, everything else as JSON."""
    if isinstance(payload, dict) and list(payload) == ["text"] and isinstance(payload["text"], str):
        payload = payload["text"]
    return tools.clean(payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False))
