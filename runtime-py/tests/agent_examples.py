"""The agents of examples/, and what a model says to them; `python3 tests/agent_examples.py` writes their recordings.

A recording answers the requests of one version of prompts, tools and texts. Who changes those runs this, or records
a real model: `ASYA_LLM_RECORD=answers.jsonl asya up …`.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from asya_runtime.agents import Agent  # noqa: E402
from asya_runtime.agents.tape import Json, Record, Replay  # noqa: E402
from asya_runtime.agents.testing import End, calls, follow  # noqa: E402


def answer(**arguments: Any) -> Json:
    """The model gives its final answer."""
    return calls(("answer", arguments), tokens=120)


def call(name: str, /, **arguments: Any) -> Json:
    """The model calls a tool."""
    return calls((name, arguments), tokens=90)


@dataclass
class Example:
    """One directory of examples/."""

    folder: str
    # Handlers by actor: `module.name`.
    actors: Mapping[str, str]
    route: str
    payloads: list[Any]
    # What the model says to each agent, by the first words of the question.
    script: Mapping[str, list[Json]]
    joins: tuple[str, ...] = ()

    @property
    def recording(self) -> Path:
        return EXAMPLES / self.folder / "answers.jsonl"

    def run(self, payload: Any, model: Callable[[Json], Json]) -> End:
        """Sends a payload through the example's own code."""
        with _imported(EXAMPLES / self.folder):
            handlers = {}
            for actor, name in self.actors.items():
                module, attribute = name.split(".")
                handlers[actor] = getattr(importlib.import_module(module), attribute)
                if isinstance(handlers[actor], Agent):
                    handlers[actor].llm = model
            return follow(handlers, self.route, payload, joins=self.joins)

    def replayed(self, payload: Any) -> End:
        """The same with its recording."""
        return self.run(payload, Replay(self.recording))

    def record(self) -> None:
        """Writes the recording from the script."""
        self.recording.unlink(missing_ok=True)
        turns: dict[str, int] = {}

        def says(request: Json) -> Json:
            question = request["messages"][0]["text"]
            [key] = [key for key in self.script if question.startswith(key)]
            turns[key] = turns.get(key, 0) + 1
            return self.script[key][turns[key] - 1]

        for payload in self.payloads:
            end = self.run(payload, Record(says, self.recording, "scripted", "scripted"))
            assert end.error is None, end.error
        assert turns == {key: len(said) for key, said in self.script.items()}, turns


@contextmanager
def _imported(folder: Path) -> Iterator[None]:
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]


BROKEN = {"text": "Two of the cups of order A-1042 arrived broken. I want my money back! Anna"}
DEAR = {"text": "The espresso machine (order A-1077) leaks. Please pay me back the 489 euros. Ben"}

TRIAGE = Example(
    "agents-support-triage",
    {"triage": "letters.triage", "judge": "letters.judge", "policy": "money.policy", "refund": "money.refund"},
    "triage",
    [BROKEN, DEAR],
    {
        "Two of the cups": [
            call("lookup_order", number="A-1042"),
            call("refund", order="A-1042", cents=3990, reason="arrived broken"),
            answer(category="refund", text="Dear Anna, we are sorry. We have paid back 39.90 euros."),
            answer(
                category="refund",
                text="Dear Anna, we are sorry that the cups arrived broken. We have paid back 39.90 euros; the money "
                "arrives within five working days.",
            ),
        ],
        '{"question": "Two of the cups': [
            answer(accepted=False, reason="The letter does not say when the money arrives."),
            answer(accepted=True),
        ],
        "The espresso machine": [
            call("lookup_order", number="A-1077"),
            call("refund", order="A-1077", cents=48900, reason="leaks"),
            answer(
                category="escalate",
                text="Dear Ben, we are sorry that the machine leaks. A sum like this is decided by a person: a "
                "colleague will write to you.",
            ),
        ],
        '{"question": "The espresso machine': [answer(accepted=True)],
    },
)

FINDINGS = [
    {
        "path": "stock.py",
        "line": 4,
        "severity": "bug",
        "message": "The default list is shared by all calls, so every caller without a log writes into the same one. "
        "Take None and make a list inside.",
    },
    {
        "path": "stock.py",
        "line": 8,
        "severity": "bug",
        "message": "The last items can never be taken: write >= instead of >.",
    },
    {
        "path": "stock.py",
        "line": 20,
        "severity": "risk",
        "message": "Every error is swallowed, so an item without a price is worth nothing. Catch KeyError, and say so.",
    },
    {
        "path": "report.py",
        "line": 11,
        "severity": "bug",
        "message": "The address becomes part of a shell command: whoever chooses it runs what he likes. Pass a list of "
        "arguments and the text as input.",
    },
]

REVIEWER = Example(
    "agents-code-reviewer",
    {"review": "reviewer.review", "citations": "reviewer.citations"},
    "review",
    [{"text": "Review the change."}],
    {
        "Review the change": [
            call("list_files"),
            calls(("read_file", {"path": "stock.py"}), ("read_file", {"path": "report.py"}), tokens=150),
            calls(("read_file", {"path": "../reviewer.py"}), ("outline", {"path": "report.py"}), tokens=160),
            answer(summary="Four things to change.", findings=[*FINDINGS[:3], {**FINDINGS[3], "line": 15}]),
            answer(summary="Four things to change, one of them a hole.", findings=FINDINGS),
        ],
    },
)

QUESTION = "How do I keep a harvest of cabbage, apples and beans until spring, without a freezer?"
PARTS = [
    "How is cabbage kept for months without a freezer?",
    "How are apples kept over the winter?",
    "How are beans kept safely without a freezer?",
]

RESEARCH = Example(
    "agents-research",
    {"lead": "research.lead", "researcher": "research.researcher"},
    "lead",
    [{"text": QUESTION}],
    {
        QUESTION: [
            call("researcher", items=[{"question": part} for part in PARTS]),
            answer(
                text="Ferment the cabbage with two parts of salt in a hundred; cool, it keeps for months. Dry the "
                "apples at 55 to 60 degrees, and keep fresh ones away from potatoes. Beans are not sour: they need a "
                "pressure canner at 116 degrees. How long fresh apples keep was not found.",
                sources=["canning", "cold-cellar", "drying", "fermenting"],
            ),
        ],
        PARTS[0]: [
            call("search", words="cabbage fermented salt months"),
            call("read", name="fermenting"),
            answer(
                answer="Fermented with two parts of salt in a hundred, cabbage keeps for months in a cool place.",
                sources=["fermenting"],
            ),
        ],
        PARTS[1]: [
            call("search", words="apples dried fruit cellar"),
            calls(("read", {"name": "cold-cellar"}), ("read", {"name": "drying"}), tokens=120),
            answer(
                answer="Dried at 55 to 60 degrees they keep for a year. Fresh ones stay apart from potatoes; the "
                "library does not say for how long.",
                sources=["cold-cellar", "drying"],
            ),
        ],
        PARTS[2]: [
            call("search", words="beans canning safe"),
            call("read", name="canning"),
            answer(
                answer="Beans are not sour and need a pressure canner at 116 degrees, because spores survive boiling.",
                sources=["canning"],
            ),
        ],
    },
    joins=("collect",),
)

ALL = [TRIAGE, REVIEWER, RESEARCH]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as refunds:
        os.environ["REFUNDS"] = refunds
        for example in ALL:
            example.record()
            print(example.recording)
