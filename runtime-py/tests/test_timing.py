"""What must come at once, what must come no more, and what a slow neighbour must not hold up."""

import time

import pytest

from support import Runtime, eventually


def test_a_reply_does_not_wait_for_the_slow_request_behind_it():
    with Runtime("late.naps") as runtime:
        worker = runtime.control().worker()
        began = time.monotonic()
        worker.sock.sendall(worker.frame(1, 0) + worker.frame(2, 0) + worker.frame(3, 2))
        assert [worker.read()[1] for _ in range(2)] == [1, 2]
        assert time.monotonic() - began < 1
        assert worker.read() == (0x12, 3, [(b"", 2)])


def test_a_report_comes_before_the_item_that_follows_it():
    with Runtime("late.reports") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 2)
        assert [worker.read()[0] for _ in range(5)] == [0x14, 0x11, 0x14, 0x11, 0x12]


@pytest.mark.parametrize("handler", ["late_report", "async_late_report"])
def test_a_report_for_a_request_that_has_been_answered_is_dropped(handler):
    with Runtime(f"late.{handler}") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 1)
        assert worker.read()[2] == {"fraction": 0.5, "message": "in time"}
        assert worker.read()[2] == {"fraction": 0.5, "message": "\\ud800"}
        assert worker.read()[:2] == (0x12, 1)
        worker.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            worker.read()


def test_a_generator_that_fails_is_closed():
    with Runtime("late.closes") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 1)
        assert worker.read()[0] == 0x11
        assert worker.read()[2]["code"] == "invalid_result"
        eventually(lambda: "closed" in runtime.log(), 5)


def test_a_cancel_that_overtakes_its_request_is_obeyed():
    with Runtime("late.async_naps") as runtime:
        control = runtime.control()
        worker = control.worker()
        assert worker.ask(0, 1) == [0]
        control.send(2, 2, worker.id)
        time.sleep(0.2)
        worker.send(2, 60)
        assert worker.read()[2]["code"] == "timeout"


def test_requests_of_a_sidecar_that_came_back_are_not_mixed_up_with_those_before():
    with Runtime("late.async_naps", ASYA_CONCURRENCY="2") as runtime:
        control = runtime.control()
        before = control.worker()
        before.send(1, 1)
        time.sleep(0.1)
        before.sock.close()
        after = control.worker()
        after.send(1, 60)
        # The old request with the same id ends while the new one runs.
        time.sleep(1.2)
        control.send(2, 1, after.id)
        assert after.read()[2]["code"] == "timeout"


def test_the_handshake_tells_the_kind_while_no_worker_is_ready():
    with Runtime("slow_again.f") as runtime:
        control = runtime.control()
        (runtime.directory / "slow").touch()
        control.worker().send(1, 1)
        assert control.news()[0] == 0x22
        hello = runtime.control().hello
        assert (hello["workers"], hello["kind"], hello["concurrency"]) == ([], "async", 10)


def test_a_stop_while_the_handler_loads_is_no_failure():
    with Runtime("slow_load.f", wait=False) as runtime:
        eventually(lambda: "loading" in runtime.log())
        assert runtime.terminate() == 0
        assert "Traceback" not in runtime.log()
