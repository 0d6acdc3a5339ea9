"""Agents: one turn per envelope, tools, judges, fan-outs, and what travels in between."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from agents_support import Place, Range, add, answers, asking, scripted
from asya_runtime import agents, context
from asya_runtime.agents import Actor, Agent, FanOut, ModelBusy, ModelError, Unfinished, Verdict, call_id
from asya_runtime.agents.conversation import CALL, STATE
from asya_runtime.agents.testing import Scripted, calls, follow, says
from asya_runtime.testing import run

# Turns.


def test_each_turn_is_an_envelope_and_asks_the_model_once():
    agent = asking([calls(("add", {"a": 1}), ("add", {"a": 2, "b": 2})), says("2 and 4")], add)
    first = run(agent, {"text": "sum?"}, route=["a", "after"])
    assert first.route == {"actors": ["a", "a", "after"], "current": 1}
    assert first.headers["asya-cost"] == {"tokens": 10, "turns": 1}
    assert first.payload == {}
    assert len(scripted(agent).asked) == 1
    second = run(agent, {}, headers=first.headers, route=first.route["actors"], current_actor=1)
    assert second.route == {"actors": ["a", "a", "after"], "current": 2}
    assert second.payload == {"text": "2 and 4"}
    assert STATE not in second.headers
    assert answers(agent) == [("2", False), ("4", False)]
    assert second.progress == [(0.05, "runs add"), (0.05, "runs add"), (0.05, "turn 2")]


def test_a_function_runs_only_after_its_call_is_on_its_way_and_with_the_same_id_each_time():
    ran = []

    def pay() -> str:
        """Pays."""
        ran.append(call_id())
        return "paid"

    agent = asking([calls(("pay", {})), says("done"), says("done again")], pay)
    first = run(agent, "pay it", id="e1")
    assert ran == []
    for _ in range(2):
        run(agent, {}, headers=first.headers, route=first.route["actors"], current_actor=1, id="e1")
    assert ran == ["e1.0.1.0"] * 2
    with pytest.raises(RuntimeError, match="only while a tool runs"):
        call_id()


def test_a_busy_model_is_asked_again_later_and_functions_that_have_run_do_not_run_again():
    ran = []

    def pay() -> str:
        """Pays."""
        ran.append(1)
        return "paid"

    busy = ModelBusy("rate_limited", after=7)
    agent = asking([busy, calls(("pay", {})), busy, busy, says("done")], pay)
    assert run(agent, "?").error["delay_ms"] == 7000
    first = run(agent, "?")
    second = run(agent, {}, headers=first.headers, route=first.route["actors"], current_actor=1)
    assert second.error is None
    assert second.route["actors"] == ["handler"] * 3
    assert "asya-cost" not in second.headers, "nothing was spent"
    waits = {"headers": second.headers, "route": second.route["actors"], "current_actor": 2}
    assert run(agent, {}, **waits).error["action"] == "retry"
    assert run(agent, {}, **waits).payload == {"text": "done"}
    assert ran == [1]


def test_a_model_that_cannot_answer_ends_the_envelope_without_another_attempt():
    for answer in (ModelError("auth: no"), says("  ")):
        assert run(asking([answer]), "?").error["action"] == "reject"
    assert run(asking([]), " ").error["code"] == "validation_error"


def test_turns_are_bounded_and_the_last_one_must_answer():
    def look(n: int) -> int:
        """Looks."""
        return n

    agent = asking([calls(("look", {"n": n})) for n in range(3)], look, max_turns=3)
    error = follow({"a": agent}, "a", "?").error
    assert (error["type"], error["message"]) == ("Unfinished", "no answer within 3 turns")
    assert [request.get("choice") for request in scripted(agent).asked] == [None, None, "none"]


def test_identical_calls_in_a_row_are_made_twice_and_not_more():
    ran = []

    def look(n: int) -> str:
        """Looks."""
        ran.append(n)
        return "nothing"

    same = calls(("look", {"n": 1}))
    agent = asking([same, same, same, calls(("look", {"n": 2})), same, says("ok")], look)
    assert follow({"a": agent}, "a", "?").payload == {"text": "ok"}
    assert ran == [1, 1, 2, 1]
    assert "call 3 in a row" in answers(agent)[2][0]


# Other actors.


def test_an_actor_gets_the_arguments_and_its_payload_is_the_answer():
    seen = []

    def refund(payload):
        seen.append((payload, context().headers[CALL], context().route.actors))
        return {"refunded": payload["cents"]}

    agent = asking(
        [calls(("refund", {"cents": 5}), ("add", {"a": 1})), says("done")],
        Actor("refund", "Pays back.", {"type": "object", "required": ["cents"]}),
        add,
    )
    end = follow({"a": agent, "refund": refund, "after": lambda payload: payload}, "a,after", "?")
    assert end.payload == {"text": "done"}
    assert end.actors == ["a", "refund", "a", "after"]
    assert seen == [
        ({"cents": 5}, {"id": "test.0.1.0", "tool": "refund", "agent": "a"}, ("a", "refund", "a", "after")),
    ]
    assert answers(agent) == [('{"refunded": 5}', False), ("2", False)]
    assert not {STATE, CALL} & set(end.headers)


def test_arguments_for_an_actor_are_checked_before_they_are_sent():
    agent = asking(
        [calls(("go", {"city": 1}), ("raw", {}), ("raw", [])), says("ok")],
        Actor("go", "Goes.", Place),
        Actor("raw", "Takes a.", {"type": "object", "required": ["a"]}),
    )
    end = follow({"a": agent}, "a", "?")
    assert end.actors == ["a", "a"]
    assert [text for text, failed in answers(agent) if failed] == [
        "arguments.city: must be text, not a number", "a: is missing", "arguments: must be a JSON object",
    ]  # fmt: skip


def test_what_needs_approval_passes_it_first_and_a_refusal_is_a_failed_answer():
    def desk(payload):
        route = context().route
        if payload["cents"] > 100:
            route.set_rest(route.actors[route.current + 2 :])
            return {"rejected": {"by": "desk", "reason": "too much"}}
        return payload

    script = [calls(("refund", {"cents": 500})), calls(("refund", {"cents": 50})), says("ok")]
    agent = asking(script, Actor("refund", "Pays.", {"type": "object"}, approval="desk"))
    end = follow({"a": agent, "desk": desk, "refund": lambda payload: {"done": payload}}, "a", "?")
    assert end.actors == ["a", "desk", "a", "desk", "refund", "a"]
    assert [failed for _, failed in answers(agent)] == [True, False]
    assert Actor("x", "y", approval=True).way(False) == ("approval", "x")


def test_an_actor_may_insert_others_before_its_answer():
    def slow(payload):
        context().route.insert_next("helper")
        return payload

    agent = asking([calls(("slow", {})), says("ok")], Actor("slow", "Waits."))
    end = follow({"a": agent, "slow": slow, "helper": lambda payload: {"helped": True}}, "a", "?")
    assert end.actors == ["a", "slow", "helper", "a"]
    assert answers(agent) == [('{"helped": true}', False)]


def test_agents_ask_agents_and_each_finds_its_own_conversation_again():
    inner = asking([calls(("add", {"a": 1})), says("inner says 2")], add)
    outer = asking([calls(("inner", {"text": "1+1?"})), says("2")], Actor("inner", "Knows.", {"type": "object"}))
    end = follow({"outer": outer, "inner": inner}, "outer", "?")
    assert end.actors == ["outer", "inner", "inner", "outer"]
    assert answers(outer) == [("inner says 2", False)]
    assert scripted(inner).asked[0]["messages"] == [{"role": "user", "text": "1+1?"}]
    assert STATE not in end.headers
    assert CALL not in end.headers


def test_an_agent_may_ask_itself_and_stand_in_a_route_twice():
    twice = asking(
        [calls(("self", {"text": "b?"})), says("b"), says("a"), says("second")],
        Actor("a", "Asks itself.", {"type": "object"}, name="self"),
    )
    end = follow({"a": twice}, "a,a", "a?")
    assert end.payload == {"text": "second"}
    assert [request["messages"][0]["text"] for request in scripted(twice).asked] == ["a?", "b?", "a?", "a"]


def test_who_is_asked_by_an_agent_answers_that_it_found_nothing():
    inner = asking([calls(("add", {"a": 1}))], add, max_turns=1)
    outer = asking([calls(("inner", {"text": "?"})), says("sorry")], Actor("inner", "Knows.", {"type": "object"}))
    assert follow({"outer": outer, "inner": inner}, "outer", "?").payload == {"text": "sorry"}
    assert answers(outer) == [('{"error": "no answer within 1 turns"}', True)]


# Fan-out.


def test_a_fan_out_runs_once_for_each_item_and_comes_back_as_one_answer():
    fan = FanOut("worker", "Looks.", Place, join="collect")
    script = [
        calls(("worker", {"items": [{"city": "a"}, {"city": "b"}, {"city": "c"}]})),
        calls(("worker", {"items": [{"city": "d"}]})),
        says("ok"),
    ]
    agent = asking(script, fan)
    worker = asking([says("A"), says("B"), says("C"), says("D")])
    end = follow({"a": agent, "worker": worker}, "a", "?", joins=["collect"])
    assert end.actors == ["a", "worker", "worker", "worker", *["collect"] * 3, "a", "worker", "a"]
    assert [json.loads(text) for text, _ in answers(agent)] == [
        {"results": [{"text": "A"}, {"text": "B"}, {"text": "C"}], "failed": []},
        {"results": [{"text": "D"}], "failed": []},
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "items: must be a list"),
        ({"items": []}, "items: must have 1 to 2 elements, not 0"),
        ({"items": [{"city": "a"}] * 3}, "items: must have 1 to 2 elements, not 3"),
        ({"items": [{"city": "a"}, {}]}, "items[1]: arguments.city: is missing"),
    ],
)
def test_a_fan_out_is_bounded_and_checked(arguments, words):
    agent = asking([calls(("worker", arguments)), says("ok")], FanOut("worker", "L.", Place, join="collect", most=2))
    follow({"a": agent}, "a", "?")
    assert answers(agent)[0][1]
    assert words in answers(agent)[0][0]


def test_failed_parts_are_told_and_only_all_of_them_are_a_failure():
    agent = asking(
        [calls(("w", {"items": [{}, {}]})), says("ok"), calls(("w", {"items": [{}, {}]})), says("ok")],
        FanOut("w", "L.", join="collect"),
    )
    gap = {"id": "test-1", "index": 1, "code": "timeout", "message": "too slow", "actor": "w"}
    for came, gaps, failed in [(["A"], [gap], False), ([], [gap, gap], True)]:
        first = run(agent, "?", route=["a"])
        headers = {**first.headers, "x-asya-gaps": gaps}
        run(agent, came, headers=headers, route=first.route["actors"], current_actor=3)
        text, was = answers(agent)[0]
        told = json.loads(text)
        assert (told["results"], len(told["failed"]), was) == (came, len(gaps), failed)
        assert told["failed"][0] == {"index": 1, "message": "too slow"}


def test_a_part_that_nobody_joined_is_refused():
    agent = asking([calls(("splits", {}))], Actor("splits", "Splits."))
    first = run(agent, "?", route=["a"])
    part = {**first.headers, "x-asya-fan": [{"group": "test/0", "index": 0, "count": 2}]}
    error = run(agent, 1, headers=part, route=first.route["actors"], current_actor=2).error
    assert (error["type"], error["action"]) == ("Reject", "reject")


# Answers with a form, and judges.


def test_an_answer_with_a_form_is_given_by_a_tool_and_checked():
    agent = asking([calls(("answer", {"city": 5})), says("Bonn"), says('{"city": "Bonn"}')], output=Place, max_turns=3)
    assert follow({"a": agent}, "a", "?").payload == {"city": "Bonn", "zip": None}, "with its defaults"
    asked = scripted(agent).asked
    assert [request["choice"] for request in asked] == ["required", "required", {"named": "answer"}]
    assert answers(agent, 1) == [("arguments.city: must be text, not a number", True)]
    assert asked[2]["messages"][-1]["text"] == "Answer by calling the tool 'answer'."
    agent = asking([calls(("answer", {"low": 1}))], output=Range)
    assert follow({"a": agent}, "a", "?").payload == {"low": 1}


def test_a_judge_sends_back_until_it_accepts():
    seen = []

    def judge(payload):
        seen.append(payload)
        return {"accepted": len(seen) == 2, "reason": "too short"}

    agent = asking([calls(("add", {"a": 1})), says("2"), says("It is 2.")], add, judge="judge")
    end = follow({"a": agent, "judge": judge}, "a", "1+1?")
    assert end.payload == {"text": "It is 2."}
    assert end.actors == ["a", "a", "judge", "a", "judge", "a"]
    assert seen[0] == {
        "question": "1+1?",
        "steps": [{"tool": "add", "arguments": {"a": 1}, "result": "2"}],
        "answer": {"text": "2"},
    }
    assert scripted(agent).asked[-1]["messages"][-1]["text"] == "This answer is not accepted: too short"


def test_a_judge_that_is_an_agent_refuses_an_answer_with_a_form():
    judge = Agent("Judge.", output=Verdict, llm=Scripted([calls(("answer", {"accepted": False, "reason": "no"}))] * 2))
    agent = asking([calls(("answer", {"city": "x"})), calls(("answer", {"city": "y"}))], output=Place, judge="judge")
    error = follow({"a": agent, "judge": judge}, "a", "?").error
    assert error["type"] == Unfinished.__name__
    assert error["message"].startswith("judge accepted none of 2 answers: no; the last was")
    assert answers(agent) == [("This answer is not accepted: no", True)]


def test_a_verdict_that_cannot_be_read_ends_the_envelope():
    for verdict in ({"error": "no answer within 1 turns"}, "fine", {"accepted": "yes"}):
        error = follow({"a": asking([says("x")], judge="j"), "j": lambda _, v=verdict: v}, "a", "?").error
        assert "the verdict of j" in error["message"]


# What travels.


def test_old_turns_are_left_out_in_whole_and_the_question_stays():
    def look(n: int) -> str:
        """Looks."""
        return str(n) * 300

    agent = asking([*(calls(("look", {"n": n})) for n in range(9)), says("ok")], look, keep=2000)
    sizes = []

    def watched(payload):
        sizes.append(len(json.dumps(context().headers.get(STATE, []))))
        return agent(payload)

    assert follow({"a": watched}, "a", "find it").payload == {"text": "ok"}
    assert max(sizes) < 2400
    messages = scripted(agent).asked[-1]["messages"]
    assert messages[0] == {"role": "user", "text": "find it"}
    assert messages[1]["text"].endswith("earlier messages are left out here]")
    turns = messages[2:]
    assert [message["role"] for message in turns] == ["assistant", "tool"] * (len(turns) // 2)
    left_out = int(messages[1]["text"][1:].split()[0])
    assert left_out + len(turns) == 18


def test_one_turn_that_is_too_large_is_cut_and_a_question_that_is_too_large_is_refused():
    def look() -> str:
        """Looks."""
        return "x" * 5000

    agent = asking([calls(("look", {}), ("look", {})), says("ok")], look, Actor("b", "B."), keep=3000)
    first = run(agent, "?")
    second = run(agent, {}, headers=first.headers, route=first.route["actors"], current_actor=1)
    assert second.payload == {"text": "ok"}
    agent = asking([calls(("look", {}), ("b", {}))], look, Actor("b", "B."), keep=3000)
    first = run(agent, "?")
    second = run(agent, {}, headers=first.headers, route=first.route["actors"], current_actor=1)
    assert len(json.dumps(second.headers[STATE])) < 3300
    error = run(asking([calls(("b", {}))], Actor("b", "B."), keep=3000), "x" * 3000).error
    assert "the question has" in error["message"]


@pytest.mark.parametrize(
    "state", [{}, [1], [{"agent": "handler"}], [{"agent": "handler", "rest": 0, "v": 2}], [{"agent": 1, "rest": 0}]]
)
def test_a_state_that_cannot_be_read_is_refused(state):
    error = run(asking([]), "?", headers={STATE: state}).error
    assert (error["action"], STATE in error["message"]) == ("reject", True)


def test_words_that_utf8_does_not_have_do_not_stay_in_the_envelope():
    agent = asking([calls(("add", {"a": 1})), says("ok")], add)
    end = follow({"a": agent}, "a", {"text": "\ud800?"})
    assert end.payload == {"text": "ok"}
    assert scripted(agent).asked[0]["messages"][0]["text"] == "\\ud800?"


def test_questions_are_text_or_json_or_what_the_agent_makes_of_them():
    for payload, options, words in [
        ("why?", {}, "why?"),
        ({"text": "why?"}, {}, "why?"),
        ({"text": "why?", "n": 1}, {}, '{"text": "why?", "n": 1}'),
        ({"n": 1}, {"question": lambda payload: f"n is {payload['n']}"}, "n is 1"),
    ]:
        agent = asking([says("ok")], **options)
        follow({"a": agent}, "a", payload)
        assert scripted(agent).asked[0]["messages"] == [{"role": "user", "text": words}]


def test_what_the_page_shows_works(monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "agents" / "python.md").read_text(encoding="utf-8")
    module, example = re.findall(r"```python\n(.*?)```", page, re.S)
    shop = types.ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", shop)
    exec(module, vars(shop))
    tests: dict[str, Any] = {}
    exec(example, tests)
    [test] = [found for name, found in tests.items() if name.startswith("test_")]
    test()


def test_the_package_names_what_it_exports():
    assert all(hasattr(agents, name) for name in agents.__all__)
