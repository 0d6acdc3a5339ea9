"""The agents of examples/ with their recorded answers, without queues; cli/tests/agents.rs runs them with `asya up`."""

import json

import pytest

import agent_examples as examples
from asya_runtime.agents.tape import digest


@pytest.fixture(autouse=True)
def refunds(tmp_path, monkeypatch):
    monkeypatch.setenv("REFUNDS", str(tmp_path))
    return tmp_path


def test_a_letter_is_answered_after_the_judge_has_sent_it_back_and_is_paid_once(refunds):
    end = examples.TRIAGE.replayed(examples.BROKEN)
    assert end.payload["category"] == "refund"
    assert "five working days" in end.payload["text"]
    assert end.actors == ["triage", "triage", "policy", "refund", "triage", "judge", "triage", "judge", "triage"]
    assert [json.loads(file.read_text())["cents"] for file in refunds.iterdir()] == [3990]
    assert examples.TRIAGE.replayed(examples.BROKEN).payload == end.payload, "a repeat"
    assert len(list(refunds.iterdir())) == 1


def test_a_refund_over_the_limit_is_not_paid_and_the_letter_says_that_a_person_decides(refunds):
    end = examples.TRIAGE.replayed(examples.DEAR)
    assert end.payload["category"] == "escalate"
    assert "refund" not in end.actors
    assert not list(refunds.iterdir())


def test_a_review_names_lines_that_exist_and_reads_nothing_outside():
    end = examples.REVIEWER.replayed(examples.REVIEWER.payloads[0])
    assert [(each["path"], each["line"]) for each in end.payload["findings"]] == [
        ("stock.py", 4), ("stock.py", 8), ("stock.py", 20), ("report.py", 11),
    ]  # fmt: skip
    assert end.actors == ["review"] * 4 + ["citations", "review", "citations", "review"]
    recorded = examples.REVIEWER.recording.read_text(encoding="utf-8")
    assert "is outside of what may be read" in recorded
    assert "report.py has nothing in line 15" in recorded


def test_research_is_split_joined_and_reported_with_its_sources():
    end = examples.RESEARCH.replayed(examples.RESEARCH.payloads[0])
    assert end.payload["sources"] == ["canning", "cold-cellar", "drying", "fermenting"]
    assert end.actors.count("researcher") == 9
    assert end.actors.count("collect") == 3
    assert end.actors.count("lead") == 2


@pytest.mark.parametrize("example", examples.ALL, ids=lambda example: example.folder)
def test_a_recording_is_what_its_script_says_and_has_nothing_else(example):
    lines = [json.loads(line) for line in example.recording.read_text(encoding="utf-8").splitlines()]
    assert all(digest(line["request"]) == line["hash"] for line in lines)
    assert len({line["hash"] for line in lines}) == len(lines) == sum(map(len, example.script.values()))
