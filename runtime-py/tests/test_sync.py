"""Workers of ordinary functions over the streaming protocol."""

import json
import os
import signal
import struct
import time

import pytest

from support import Runtime, eventually, read_frame


@pytest.fixture(scope="module")
def runtime():
    with Runtime("zoo.do") as found:
        yield found


@pytest.fixture
def worker(runtime):
    return runtime.control().worker()


def test_the_handshake_tells_what_runs(runtime):
    hello = runtime.control().hello
    assert (hello["kind"], hello["mode"], hello["concurrency"], hello["batch_max"]) == ("sync", "payload", 1, 1)
    assert len(hello["workers"]) == 1


def test_many_in_flight_are_answered_in_order(worker):
    worker.sock.sendall(b"".join(worker.frame(i, {"n": i}) for i in range(1, 501)))
    for i in range(1, 501):
        kind, request, found = worker.read()
        assert (kind, request, found) == (0x12, i, [(b"", {"n": i})])


def test_frames_cut_anywhere_are_put_together(worker):
    data = b"".join(worker.frame(i, {"n": i}) for i in (1, 2))
    for at in range(0, len(data), 7):
        worker.sock.sendall(data[at : at + 7])
        time.sleep(0.0005)
    assert [worker.read()[1] for _ in range(2)] == [1, 2]


def test_a_payload_of_megabytes_goes_both_ways(worker):
    payload = "m" * 5_000_000
    assert worker.ask(payload) == [payload]


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("object", "invalid_result", "object"),
        ("nan", "invalid_result", "$.a[1]"),
        ("set", "invalid_result", "$.deep[0].er (set)"),
        ("bytes", "invalid_result", "bytes"),
        ("cycle", "invalid_result", ""),
        ("sys.exit", "processing_error", "4"),
    ],
)
def test_a_bad_result_is_an_error_that_says_where(worker, what, code, words):
    found = worker.ask(what)
    assert found["code"] == code
    assert words in found["message"]
    assert found["traceback"]
    assert worker.ask(1) == [1]


def test_actions_are_said(worker):
    assert worker.ask("retry") | {"traceback": ""} == {
        "code": "processing_error", "action": "retry", "delay_ms": 1500, "message": "busy", "type": "Retry",
        "mro": ["asya_runtime.errors.Retry", "builtins.Exception", "builtins.BaseException"], "traceback": "",
    }  # fmt: skip
    assert worker.ask("drop")["action"] == "drop"
    assert worker.ask("reject")["action"] == "reject"


@pytest.mark.parametrize("raw", [b"", b"{bad", b"\xff", b"NaN", b"[" * 100_000, b"1" * 5000])
def test_a_payload_that_cannot_be_read_is_a_parsing_error(worker, raw):
    found = worker.ask(raw)
    if raw == b"1" * 5000 and isinstance(found, list):
        pytest.skip("this Python reads integers of any length")
    assert found["code"] == "msg_parsing_error"


def test_a_lone_surrogate_and_big_integers_pass(worker):
    assert worker.ask(b'"\\ud800"') == ["\ud800"]
    assert worker.ask(b"123456789012345678901234567890") == [123456789012345678901234567890]
    assert worker.ask(b"1e400")["code"] == "invalid_result"


def test_an_unknown_frame_is_skipped(worker):
    worker.sock.sendall(struct.pack(">IBQ", 9, 0x7F, 1) + struct.pack(">IBQ", 10, 0x7F, 1) + b"x")
    assert worker.ask(2) == [2]


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 2**32 - 1) + b"x" * 32,
        struct.pack(">I", 0) + b"x" * 32,
        struct.pack(">IBQI", 20, 1, 1, 1000) + b"x" * 32,
        struct.pack(">IBQ", 9, 1, 1) + struct.pack(">IBQ", 9, 1, 1),
    ],
)
def test_a_broken_frame_closes_only_its_connection(runtime, worker, garbage):
    worker.sock.sendall(garbage)
    assert worker.sock.recv(1) == b""
    assert runtime.control().worker().ask(1) == [1]


def test_a_reply_above_the_sidecars_limit_is_said(runtime):
    worker = runtime.control(max_frame=2_000_000).worker()
    assert worker.ask("huge")["code"] == "reply_too_large"
    runtime.control()
    assert len(worker.ask("huge")[0]) == 3_000_000


def test_a_hanging_handler_is_killed_by_cancel_and_the_others_never_notice():
    with Runtime("zoo.do", ASYA_WORKERS="2") as runtime:
        control = runtime.control()
        first, second = control.worker(0), control.worker(1)
        first.send(7, "hang")
        second.send(1, {"sleep": 0.5})
        eventually(lambda: os.path.exists(f"/proc/{first.pid}"))
        time.sleep(0.1)
        control.send(2, 7, first.id)
        exited, fresh = control.replaced()
        assert exited == {"worker": first.id, "reason": "killed", "detail": exited["detail"]}
        assert second.read()[2] == [(b"", {"sleep": 0.5})]
        assert fresh.id > 2
        assert fresh.ask(1) == [1]


def test_a_request_that_has_not_begun_is_cancelled_without_a_kill(runtime):
    control = runtime.control()
    worker = control.worker()
    worker.sock.sendall(worker.frame(1, {"sleep": 0.5}) + worker.frame(2, "hang") + worker.frame(3, "last"))
    time.sleep(0.1)
    control.send(2, 2, worker.id)
    assert worker.read()[1] == 1
    kind, request, error = worker.read()
    assert (kind, request, error["code"]) == (0x13, 2, "timeout")
    assert worker.read()[2] == [(b"", "last")]


@pytest.mark.parametrize(("what", "detail"), [("exit", "exit code 3"), ("kill", "signal 9")])
def test_a_worker_that_dies_is_reported_and_replaced(what, detail):
    with Runtime("zoo.do") as runtime:
        control = runtime.control()
        worker = control.worker()
        if what == "kill":
            worker.send(1, "hang")
            os.kill(worker.pid, signal.SIGKILL)
        else:
            worker.send(1, what)
        exited, fresh = control.replaced()
        assert exited == {"worker": worker.id, "reason": "died", "detail": detail}
        assert fresh.ask(1) == [1]


def test_kill_ends_the_worker_and_what_it_forked():
    with Runtime("zoo.do") as runtime:
        control = runtime.control()
        worker = control.worker()
        (child,) = worker.ask("fork")
        control.send(3, 0, worker.id)
        exited, _ = control.replaced()
        assert exited["reason"] == "killed"
        eventually(lambda: not alive(child))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_workers_do_not_outlive_a_killed_supervisor():
    with Runtime("zoo.do") as runtime:
        worker = runtime.control().worker()
        worker.send(1, "hang")
        time.sleep(0.1)
        runtime.process.kill()
        eventually(lambda: not alive(worker.pid))


def test_megabytes_printed_do_not_block_and_lines_are_tagged():
    with Runtime("zoo.do") as runtime:
        worker = runtime.control().worker()
        assert worker.ask("print", request=5) == ["printed"]
        lines = eventually(lambda: [x for x in runtime.lines() if x["message"] == "the end"])
        assert lines[0]["id"] == "e-5"
        eventually(lambda: [x for x in runtime.lines() if x["message"] == "past python" and "id" not in x])


def test_generators_send_each_yield_and_a_late_failure():
    with Runtime("zoo.fails_after") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 2)
        assert [worker.read() for _ in range(2)] == [(0x11, 1, (b"", 0)), (0x11, 1, (b"", 1))]
        kind, _, error = worker.read()
        assert (kind, error["type"]) == (0x13, "KeyError")
    with Runtime("zoo.count") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 1)
        assert [worker.read() for _ in range(2)] == [(0x11, 1, (b"", 0)), (0x12, 1, [])]


@pytest.mark.parametrize("handler", ["big_items", "async_big_items"])
def test_a_generator_waits_for_a_sidecar_that_does_not_read(handler):
    with Runtime(f"zoo.{handler}") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 500)
        produced = runtime.directory / "produced"
        eventually(lambda: produced.exists() and produced.read_text())

        def settled():
            before = produced.read_text()
            time.sleep(0.3)
            return before and before == produced.read_text()

        eventually(settled)
        assert int(produced.read_text()) < 100
        kinds = []
        while not kinds or kinds[-1] == 0x11:
            kinds.append(read_frame(worker.sock)[0])
        assert kinds == [0x11] * 500 + [0x12]


def test_context_is_read_and_written():
    with Runtime("zoo.seen") as runtime:
        worker = runtime.control().worker()
        worker.send(1, 0, parent_id="p", headers={"k": 1}, attempt=3, deadline="2999-01-01T00:00:00Z")
        assert worker.read() == (0x14, 1, {"fraction": 0.5, "message": "half"})
        kind, _, ((meta, payload),) = worker.read()
        assert kind == 0x12
        assert json.loads(meta) == {
            "route": {"actors": ["a", "x", "y", "b"], "current": 1},
            "headers": {"k": 1, "t": 2},
        }
        assert payload == {
            "id": "e-1", "parent": "p", "actor": "a", "attempt": 3, "headers": {"k": 1, "t": 2},
            "actors": ["a", "x", "y", "b"], "remaining": True,
        }  # fmt: skip


def test_a_class_is_constructed_once_and_its_method_called():
    with Runtime("zoo.Model.process") as runtime:
        worker = runtime.control().worker()
        assert [worker.ask(3, request=i) for i in (1, 2)] == [[{"n": 6, "calls": 1}], [{"n": 6, "calls": 2}]]


def test_a_declared_class_is_built_and_a_misfit_named():
    with Runtime("zoo.typed") as runtime:
        worker = runtime.control().worker()
        good = {"name": "n", "lines": [{"sku": "s", "count": 2}]}
        assert worker.ask(good) == [{**good, "note": None}]
        found = worker.ask({"name": "n", "lines": [{"sku": "s", "count": "two"}]})
        assert (found["code"], found["action"]) == ("validation_error", "reject")
        assert "$.lines[0].count" in found["message"]


def test_envelope_mode_sends_the_envelope_that_was_returned():
    with Runtime("zoo.advance", ASYA_HANDLER_MODE="envelope") as runtime:
        worker = runtime.control().worker()
        envelope = {"id": "1", "route": {"actors": ["a", "b"], "current": 0}, "payload": 1}
        assert worker.ask(envelope)[0]["route"]["current"] == 1
        assert worker.ask({"id": "1"})["code"] == "msg_parsing_error"


def test_a_single_result_is_one_payload():
    with Runtime("zoo.pair", ASYA_RESULT="single") as runtime:
        assert runtime.control().worker().ask(1) == [[1, 2]]


def test_orjson_is_another_dialect():
    pytest.importorskip("orjson")
    with Runtime("zoo.do", ASYA_JSON="orjson") as runtime:
        worker = runtime.control().worker()
        assert worker.ask(b"1e400")["code"] == "msg_parsing_error"
        assert worker.ask(b'"\\ud800"')["code"] == "msg_parsing_error"
        assert worker.ask(b"123456789012345678901234567890") == [1.2345678901234568e29]
        assert worker.ask("nan") == [{"a": [1.0, None]}]
