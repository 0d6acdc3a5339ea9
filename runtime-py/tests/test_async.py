"""Workers of `async def` handlers."""

import os
import time

import pytest

from support import Runtime


@pytest.fixture(scope="module", params=["auto", "off"])
def runtime(request):
    with Runtime("zoo.async_do", ASYA_CONCURRENCY="4", ASYA_UVLOOP=request.param) as found:
        yield found


def test_requests_run_at_the_same_time_up_to_the_concurrency(runtime):
    control = runtime.control()
    assert (control.hello["kind"], control.hello["concurrency"]) == ("async", 4)
    worker = control.worker()
    began = time.monotonic()
    worker.sock.sendall(b"".join(worker.frame(i, {"sleep": 0.3}) for i in range(1, 9)))
    assert {worker.read()[1] for _ in range(8)} == set(range(1, 9))
    assert 0.6 <= time.monotonic() - began < 1.2


def test_each_request_sees_its_own_context(runtime):
    worker = runtime.control().worker()
    worker.sock.sendall(b"".join(worker.frame(i, "context") for i in range(1, 5)))
    for _ in range(4):
        _, request, found = worker.read()
        assert found == [(b"", f"e-{request}")]


def test_cancel_ends_the_handler_and_not_its_neighbours(runtime):
    control = runtime.control()
    worker = control.worker()
    worker.send(1, "hang")
    worker.send(2, {"sleep": 0.5})
    time.sleep(0.1)
    control.send(2, 1, worker.id)
    kind, request, error = worker.read()
    assert (kind, request, error["code"]) == (0x13, 1, "timeout")
    assert worker.read() == (0x12, 2, [(b"", {"sleep": 0.5})])
    assert os.path.exists(f"/proc/{worker.pid}")


def test_a_request_that_waits_for_a_place_is_cancelled(runtime):
    control = runtime.control()
    worker = control.worker()
    worker.sock.sendall(b"".join(worker.frame(i, {"sleep": 0.5}) for i in range(1, 5)) + worker.frame(5, "hang"))
    time.sleep(0.1)
    control.send(2, 5, worker.id)
    assert worker.read()[1:] == (5, {"code": "timeout", "message": "cancelled: the handler took longer than it may"})
    assert {worker.read()[1] for _ in range(4)} == {1, 2, 3, 4}


@pytest.mark.parametrize("what", ["block", "stubborn"])
def test_a_handler_that_cannot_be_cancelled_is_killed_after_a_second(what):
    with Runtime("zoo.async_do") as runtime:
        control = runtime.control()
        worker = control.worker()
        worker.send(1, what)
        time.sleep(0.2)
        began = time.monotonic()
        control.send(2, 1, worker.id)
        exited, fresh = control.replaced()
        assert exited["reason"] == "killed"
        assert 0.9 < time.monotonic() - began < 4
        assert fresh.ask(1) == [1]


def test_an_async_generator_sends_each_yield():
    with Runtime("zoo.async_count") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 2)
        assert [worker.read() for _ in range(3)] == [(0x11, 1, (b"", 0)), (0x11, 1, (b"", 1)), (0x12, 1, [])]
