"""Functions as tools: schemas, arguments and answers."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from typing import Any

import pytest

from agents_support import Range, add, answers, asking, everything
from asya_runtime import PayloadError, Reject, Retry, typed
from asya_runtime.agents import Actor, Agent, schema, tool
from asya_runtime.agents.testing import calls, follow, says


def test_a_schema_says_what_the_annotations_say():
    assert tool(everything).parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "what it is about"},
            "size": {"enum": ["s", "l"], "type": "string"},
            "kind": {"enum": ["a", "b"], "type": "string"},
            "place": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "tags": {"type": "array", "items": {"type": "string"}},
            "weights": {"type": "object", "additionalProperties": {"type": "number"}},
            "span": {
                "type": "object",
                "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
                "required": [],
                "additionalProperties": False,
            },
            "urgent": {"type": "boolean", "default": False},
            "note": {"type": "string"},
        },
        "required": ["text", "size", "kind", "place", "tags", "weights", "span"],
        "additionalProperties": False,
    }


def test_a_function_that_no_model_could_call_is_refused_when_it_is_declared():
    @dataclasses.dataclass
    class Odd:
        handle: object

    def untyped(a):
        """Doc."""

    def starred(*a: int):
        """Doc."""

    def odd(a: set[bytes]):
        """Doc."""

    def silent(a: int):
        pass

    async def later(a: int):
        """Doc."""

    for wrong, words in [
        (untyped, "'a' needs a type"),
        (starred, "'a' must be one that can be given by name"),
        (odd, "a: <class 'bytes'> is not a type that JSON has"),
        (silent, "needs a docstring"),
        (later, "must be a plain function"),
    ]:
        with pytest.raises(TypeError, match=words):
            tool(wrong)
    with pytest.raises(TypeError, match="handle: <class 'object'>"):
        Actor("x", "does", Odd)
    with pytest.raises(TypeError, match="must be a dataclass"):
        Actor("x", "does", dict)
    with pytest.raises(ValueError, match="1 to 64 letters"):
        tool(name="no blanks")(add)
    with pytest.raises(ValueError, match="two tools are called 'add'"):
        Agent("x", [add, tool(add)])


def test_arguments_are_built_as_declared():
    given = {
        "text": "t", "size": "l", "kind": "a", "place": {"city": "Bonn"}, "tags": [], "weights": {"x": 1},
        "span": {"low": 1},
    }  # fmt: skip
    text, failed = tool(everything).run(given, "1")
    assert not failed
    assert json.loads(text) == {
        "place": {"city": "Bonn", "zip": None}, "size": "LARGE", "kind": "a", "span": {"low": 1}, "note": None,
    }  # fmt: skip
    assert add(1, 2) == tool(add)(1, 2), "it stays a function"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "a: is missing"),
        ({"a": "1"}, "a: must be an integer, not text"),
        ({"a": 1, "c": 2}, "c: is not a parameter; there are a, b"),
        ({"a": True}, "a: must be an integer, not true or false"),
        ("{broken", "arguments: must be a JSON object"),
        ([1], "arguments: must be a JSON object"),
    ],
)
def test_arguments_that_do_not_fit_are_a_failed_answer_that_the_model_sees(arguments, words):
    agent = asking([calls(("add", arguments)), says("ok")], add)
    assert follow({"a": agent}, "a", "?").payload == {"text": "ok"}
    assert answers(agent) == [(words, True)]


def test_typed_dicts_are_checked_inside_other_types():
    @dataclasses.dataclass
    class Shelf:
        """Holds ranges."""

        spans: list[Range]

    build = typed.builder(Shelf)
    assert build({"spans": [{"low": 1, "more": "kept"}]}, "$").spans == [{"low": 1, "more": "kept"}]
    for wrong, path in [([{"low": "1"}], "$.spans[0].low"), ([5], "$.spans[0]")]:
        with pytest.raises(PayloadError) as raised:
            build({"spans": wrong}, "$")
        assert raised.value.path == path


@pytest.mark.skipif(sys.version_info < (3, 11), reason="NotRequired came with Python 3.11")
def test_marks_of_typed_dicts_count_also_where_annotations_are_text(monkeypatch):
    marks = types.ModuleType("marks")
    monkeypatch.setitem(sys.modules, "marks", marks)
    exec(
        "from __future__ import annotations\nfrom typing import NotRequired, TypedDict\n"
        "class Mark(TypedDict):\n    a: int\n    b: NotRequired[str]\n",
        vars(marks),
    )
    mark = marks.Mark
    assert schema.of(mark)["required"] == ["a"]
    assert schema.of(mark)["properties"]["b"] == {"type": "string"}
    assert typed.builder(mark)({"a": 1}, "$") == {"a": 1}
    with pytest.raises(PayloadError, match="b: must be text"):
        typed.builder(mark)({"a": 1, "b": 2}, "$")


def test_what_a_tool_raises_is_an_answer_unless_it_says_what_becomes_of_the_envelope():
    def broken(what: str) -> str:
        """Fails."""
        raise {"key": KeyError, "retry": Retry, "reject": Reject}[what](what)

    agent = asking([calls(("broken", {"what": "key"}), ("nothing", {})), says("ok")], broken)
    assert follow({"a": agent}, "a", "?").payload == {"text": "ok"}
    assert answers(agent) == [("KeyError: 'key'", True), ("there is no tool 'nothing'; there are: broken", True)]
    for what, action in [("retry", "retry"), ("reject", "reject")]:
        agent = asking([calls(("broken", {"what": what}))], broken)
        assert follow({"a": agent}, "a", "?").error["action"] == action


def test_an_answer_that_is_not_json_or_too_long_does_not_end_the_envelope():
    def odd() -> Any:
        """Gives back what JSON does not have."""
        return {"x": object()}

    def long() -> str:
        """Says much."""
        return "é" * 10_000

    agent = asking([calls(("odd", {}), ("long", {})), says("ok")], odd, long, answer_limit=1000)
    follow({"a": agent}, "a", "?")
    (first, failed), (second, fine) = answers(agent)
    assert failed
    assert "not JSON" in first
    assert not fine
    assert len(second.encode()) < 1100
    assert "bytes left out" in second
