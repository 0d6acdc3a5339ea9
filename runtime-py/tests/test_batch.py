"""Batch handlers."""

import time

import pytest

from support import Runtime


@pytest.fixture(scope="module")
def runtime():
    with Runtime("zoo.batch", ASYA_BATCH_MAX="4", ASYA_BATCH_WAIT_MS="100") as found:
        yield found


def ask(worker, payloads):
    worker.sock.sendall(b"".join(worker.frame(i, p) for i, p in enumerate(payloads, 1)))
    found = {}
    for _ in payloads:
        kind, request, content = worker.read()
        found[request] = content[0][1] if kind == 0x12 else content
    return [found[i] for i in range(1, len(payloads) + 1)]


def test_requests_are_handled_together(runtime):
    control = runtime.control()
    assert control.hello["batch_max"] == 4
    assert ask(control.worker(), ["a", "b", "c", "d"]) == [{"of": 4, "p": p} for p in "abcd"]


def test_a_batch_that_is_not_full_waits_no_longer_than_told(runtime):
    began = time.monotonic()
    assert ask(runtime.control().worker(), ["a"]) == [{"of": 1, "p": "a"}]
    assert 0.09 < time.monotonic() - began < 2


def test_an_exception_in_place_fails_its_item_only(runtime):
    found = ask(runtime.control().worker(), ["a", "bad", "c", "d"])
    assert found[1]["type"] == "ValueError"
    assert [found[i]["of"] for i in (0, 2, 3)] == [4, 4, 4]


@pytest.mark.parametrize("spoiler", ["spoil", "short"])
def test_a_call_that_fails_as_a_whole_is_rerun_item_by_item(runtime, spoiler):
    found = ask(runtime.control().worker(), ["a", spoiler, "c", "d"])
    assert [found[i] for i in (0, 2, 3)] == [{"of": 1, "p": p} for p in "acd"]
    assert found[1]["code"] == {"spoil": "processing_error", "short": "invalid_result"}[spoiler]


def test_a_batch_that_hangs_is_killed_by_the_cancel_of_any_of_it():
    with Runtime("zoo.batch", ASYA_BATCH_MAX="2") as runtime:
        control = runtime.control()
        worker = control.worker()
        worker.sock.sendall(worker.frame(1, "a") + worker.frame(2, "hang"))
        time.sleep(0.2)
        control.send(2, 2, worker.id)
        exited, _ = control.replaced()
        assert exited["reason"] == "killed"


def test_one_shot_is_a_batch_of_one(runtime):
    (found,) = runtime.one_shot({"route": {"actors": ["a"], "current": 0}, "payload": "p"})
    assert found["payload"] == {"of": 1, "p": "p"}


def test_a_list_in_place_of_a_result_is_one_payload():
    with Runtime("late.lists", ASYA_BATCH_MAX="4") as runtime:
        assert ask(runtime.control().worker(), [1, 2]) == [[1, 1], [2, 2]]
        (found,) = runtime.one_shot({"route": {"actors": ["a"], "current": 0}, "payload": 3})
        assert found["payload"] == [3, 3]


def test_an_item_that_hangs_in_its_own_call_takes_no_answer_with_it():
    with Runtime("late.lists_or_hangs", ASYA_BATCH_MAX="2") as runtime:
        control = runtime.control()
        worker = control.worker()
        worker.sock.sendall(worker.frame(1, "a") + worker.frame(2, "hang"))
        assert worker.read() == (0x12, 1, [(b"", "a")])
        control.send(2, 2, worker.id)
        assert control.replaced()[0]["reason"] == "killed"
