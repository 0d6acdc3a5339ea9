"""An agent, and one turn of it.

A turn takes in what came (a question, a tool's answer, a verdict), answers the calls that are pending, and asks the
model once if none is left. What follows leaves as one message:

| the model | goes to |
|---|---|
| calls an actor | that actor with the arguments as payload, and back |
| calls a function | this agent again, where the function runs: what was decided is on its way before it is done |
| answers | the judge, if there is one, else on along the route |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from ..context import context
from ..errors import PayloadError, Reject
from ..typed import builder
from . import model as models
from .conversation import CALL, GAPS, Conversation, Message, as_text
from .tape import Json, Model
from .tools import Actor, FanOut, Tool, as_tool, bounded

# What a model used; the sidecar takes it from what is sent and holds it against the envelope's budget.
COST = "asya-cost"
# Long enough for real work, short enough for a mistake to be cheap.
DEFAULT_TURNS = 20
# Travels with every hop: a sixteenth of the largest envelope.
DEFAULT_KEEP = 64 << 10
# Of one tool's answer: what is longer loses its middle.
DEFAULT_ANSWER = 16 << 10
# From this many identical calls in a row on, the answer would be the same again.
REPEATS = 3
# The tool by which an agent with `output=` answers.
ANSWER = "answer"


class Unfinished(Reject):
    """The agent may not go on, and has no answer: its turns are over, or its judge accepts none."""


@dataclasses.dataclass
class Verdict:
    """What a judge answers."""

    accepted: bool
    # What is wrong, for whoever has to do better.
    reason: str = ""


_verdict = builder(Verdict)


class Agent:
    """A prompt with tools. An instance is a handler: `ASYA_HANDLER=module.name`.

    - `tools`: typed functions, which run in this process, `Actor` and `FanOut`.
    - `output`: a dataclass or TypedDict that the answer has to fit; without it the answer is `{"text": …}`.
    - `judge`: the name of an actor that accepts answers or says what is wrong, at most `rounds` times.
    - `question` makes the first message of a payload.
    - `keep` bounds the bytes of the conversation that travel, `answer_limit` those of one tool's answer.
    - `llm` stands in for the model that the environment names.
    """

    def __init__(
        self,
        prompt: str,
        tools: Sequence[Tool | Actor | Callable[..., Any]] = (),
        *,
        model: str | None = None,
        output: type | None = None,
        judge: str | None = None,
        rounds: int = 2,
        max_turns: int = DEFAULT_TURNS,
        question: Callable[[Any], str] = as_text,
        temperature: float | None = None,
        max_tokens: int | None = None,
        keep: int = DEFAULT_KEEP,
        answer_limit: int = DEFAULT_ANSWER,
        llm: Model | None = None,
    ) -> None:
        if max_turns < 1:
            raise ValueError(f"max_turns must be at least 1, not {max_turns}")
        self.judge = judge
        self.rounds = rounds
        self.max_turns = max_turns
        self.question = question
        self.keep = keep
        self.answer_limit = answer_limit
        self.llm = llm
        self.tools: dict[str, Tool | Actor] = {}
        for each in map(as_tool, tools):
            if each.name in self.tools or (output is not None and each.name == ANSWER):
                raise ValueError(f"two tools are called {each.name!r}")
            self.tools[each.name] = each
        # How to answer, as a tool: every server knows those.
        self.output = None if output is None else Actor(ANSWER, "Gives the final answer.", output)
        options = {"model": model, "system": prompt or None, "temperature": temperature, "max_tokens": max_tokens}
        self._options = {name: value for name, value in options.items() if value is not None}
        told: list[Tool | Actor] = [*self.tools.values(), *([self.output] if self.output else [])]
        self._told = [
            {"name": each.name, "description": each.description, "parameters": each.parameters} for each in told
        ]

    def __asya_prepare__(self) -> None:
        """Called when the handler is loaded: wrong settings are told before an envelope is taken."""
        if self.llm is None:
            models.from_environment()

    def __call__(self, payload: Any) -> Any:
        """One envelope. Raises what says what is to become of it."""
        talk = Conversation(context(), self.keep)
        talk.here.set_header(COST, None)
        waits = talk.mine.waits
        if talk.is_new:
            words = self.question(payload)
            if not words.strip():
                raise PayloadError("$", "is an empty question")
            talk.said(words)
        elif waits == "tool":
            self._tool_answered(talk, payload)
        elif waits == "judge" and (end := self._judged(talk, payload)) is not None:
            return end
        return self._turn(talk)

    def _turn(self, talk: Conversation) -> Any:
        asked = ran = False
        while True:
            found = talk.pending()
            if found is None:
                if asked:
                    return self._again(talk)
                try:
                    self._ask(talk)
                except models.ModelBusy:
                    if not ran:
                        raise
                    # Functions have run. What they answered goes on, so that they do not run again after the wait.
                    return self._again(talk)
                except Unfinished as error:
                    return self._unfinished(talk, error)
                asked = True
                if talk.pending() is None and (end := self._said(talk)) is not None:
                    return end[0]
                continue
            number, call = found
            tool = self.tools.get(call["name"])
            if self.output is not None and call["name"] == ANSWER:
                if (failure := _misfit(self.output, call)) is None:
                    return self._finish(talk, self.output.filled(call["arguments"]))
                talk.answered(call, failure, True)
            elif tool is None:
                there_are = ", ".join(self.tools) or "none"
                talk.answered(call, f"there is no tool {bounded(call['name'], 64)!r}; there are: {there_are}", True)
            elif talk.repeats(call) >= REPEATS:
                words = f"this is call {talk.repeats(call)} in a row with the same arguments; its answer is above"
                talk.answered(call, words, True)
            elif isinstance(tool, Actor):
                if (failure := _misfit(tool, call)) is None:
                    return self._send(talk, tool, call, number)
                talk.answered(call, failure, True)
            else:
                if asked:
                    return self._again(talk)
                talk.here.progress(talk.mine.turn / self.max_turns, f"runs {tool.name}")
                text, failed = tool.run(call["arguments"], talk.call_id(number))
                talk.answered(call, bounded(text, self.answer_limit), failed)
                ran = True

    def _ask(self, talk: Conversation) -> None:
        """Asks the model, and adds what it says. Raises ModelError, ModelBusy, Unfinished."""
        mine = talk.mine
        if mine.turn >= self.max_turns:
            raise Unfinished(f"no answer within {self.max_turns} turns")
        request: Json = {"messages": talk.asked(), **self._options}
        last = mine.turn + 1 == self.max_turns
        if self._told:
            request["tools"] = self._told
            if self.output is not None:
                request["choice"] = {"named": ANSWER} if last else "required"
            elif last:
                request["choice"] = "none"
        talk.here.progress(mine.turn / self.max_turns, f"turn {mine.turn + 1}")
        said = (self.llm or models.from_environment())(request)
        usage = said.get("usage") or {}
        mine.turn += 1
        talk.here.set_header(COST, {"tokens": usage.get("input", 0) + usage.get("output", 0), "turns": 1})
        calls = said.get("calls") or []
        if not calls and not said["text"].strip():
            raise models.ModelError("malformed: the model answered with neither words nor a call")
        talk.messages.append({"role": "assistant", "text": said["text"], "calls": calls})

    def _said(self, talk: Conversation) -> tuple[Any] | None:
        """The model called nothing: the end of the conversation, unless the answer has to have a form."""
        text = talk.messages[-1]["text"]
        if self.output is None:
            return (self._finish(talk, {"text": text}),)
        try:
            value = self.output.filled(json.loads(text))
        except (ValueError, RecursionError):
            talk.said(f"Answer by calling the tool {ANSWER!r}.")
            return None
        return (self._finish(talk, value),)

    def _finish(self, talk: Conversation, answer: Any) -> Any:
        if self.judge is None:
            talk.end()
            return answer
        talk.mine.answer = answer
        self._call(talk, self.judge, self.judge, talk.call_id(0))
        payload = {"question": talk.messages[0]["text"], "steps": talk.steps(), "answer": answer}
        talk.leave("judge")
        talk.here.route.insert_next(self.judge, talk.mine.agent)
        return payload

    def _judged(self, talk: Conversation, payload: Any) -> Any:
        """The answer if it is accepted; None: the agent tries again."""
        mine, answer = talk.mine, talk.mine.answer
        try:
            verdict = _verdict(payload, f"the verdict of {self.judge}")
        except PayloadError as error:
            return self._unfinished(talk, Unfinished(f"{error}: {as_text(payload)[:500]}"))
        if verdict.accepted:
            talk.end()
            return answer
        mine.refused, mine.answer = mine.refused + 1, None
        reason = bounded(verdict.reason or "no reason was given")
        if mine.refused >= self.rounds:
            said = f"{self.judge} accepted none of {mine.refused} answers: {reason}; the last was {as_text(answer)}"
            return self._unfinished(talk, Unfinished(bounded(said)))
        found = talk.pending()
        if found is not None:
            talk.answered(found[1], f"This answer is not accepted: {reason}", True)
        else:
            talk.said(f"This answer is not accepted: {reason}")
        return None

    def _tool_answered(self, talk: Conversation, payload: Any) -> None:
        found = talk.pending()
        if found is None:
            raise Reject("an answer came, and no call waits for one")
        call, tool = found[1], self.tools.get(found[1]["name"])
        failed = isinstance(payload, dict) and (set(payload) == {"error"} or set(payload) == {"rejected"})
        if isinstance(tool, FanOut):
            gaps = [] if talk.mine.alone else talk.here.headers.get(GAPS) or []
            missing = [{key: gap.get(key) for key in ("index", "message")} for gap in gaps]
            payload = {"results": [payload] if talk.mine.alone else payload, "failed": missing}
            failed = not payload["results"]
        talk.answered(call, bounded(as_text(payload), self.answer_limit), failed)

    def _send(self, talk: Conversation, tool: Actor, call: Message, number: int) -> Any:
        payloads = tool.payloads(call["arguments"])
        many = len(payloads) > 1
        talk.mine.alone = not many
        self._call(talk, tool.name, tool.actor, talk.call_id(number))
        talk.leave("tool")
        talk.here.route.insert_next(*tool.way(many), talk.mine.agent)
        return payloads if many else payloads[0]

    def _call(self, talk: Conversation, name: str, actor: str, id: str) -> None:
        talk.here.progress(talk.mine.turn / self.max_turns, f"asks {actor}")
        talk.here.set_header(CALL, {"id": id, "tool": name, "agent": talk.mine.agent})

    def _again(self, talk: Conversation) -> Any:
        talk.leave("turn")
        talk.here.route.insert_next(talk.mine.agent)
        return {}

    def _unfinished(self, talk: Conversation, error: Unfinished) -> Any:
        """Whoever is asked by an agent answers it; whoever is not fails its envelope."""
        if talk.mine.called is None:
            raise error
        talk.end()
        return {"error": str(error)}


def _misfit(tool: Actor, call: Message) -> str | None:
    """Why the arguments of a call do not fit, for the model."""
    try:
        tool.payloads(call["arguments"])
    except PayloadError as error:
        return bounded(str(error))
    return None
