"""What an older sidecar gets, beyond the vectors."""

import json
import socket
import struct
import time

import pytest

from support import Runtime, eventually, read_frame

INPUT = {"id": "1", "route": {"actors": ["a", "b"], "current": 0}, "headers": {"t": 1}, "payload": {"x": 1}, "extra": 5}


def at(current, **more):
    return {"id": "1", "route": {"actors": ["a", "b"], "current": current}, "payload": {"x": 1}, **more}


@pytest.mark.parametrize("what", ["object", "nan", "set", "bytes", "cycle"])
def test_a_result_that_is_not_json_is_answered(what, do):
    (found,) = do.one_shot({**INPUT, "payload": what})
    assert found["error"] == "processing_error"
    assert found["details"]["code"] == "invalid_result"
    assert found["details"]["traceback"]


@pytest.fixture(scope="module")
def do():
    with Runtime("zoo.do") as runtime:
        yield runtime


@pytest.fixture(scope="module")
def envelope():
    with Runtime("zoo.identity", ASYA_HANDLER_MODE="envelope") as runtime:
        yield runtime


def test_current_at_the_end_passes_in_payload_mode(do):
    assert do.one_shot(at(2)) == [{"payload": {"x": 1}, "route": {"actors": ["a", "b"], "current": 3}}]


def test_current_past_the_end_is_not_an_envelope(do):
    (found,) = do.one_shot(at(3))
    assert (found["error"], found["details"]["type"]) == ("msg_parsing_error", "ValueError")


def test_current_at_the_end_in_envelope_mode_is_an_index_error(envelope):
    (found,) = envelope.one_shot(at(2))
    assert (found["error"], found["details"]["type"]) == ("processing_error", "IndexError")
    assert found["details"]["message"] == "list index out of range"


def test_a_list_is_a_parsing_error(envelope):
    assert envelope.one_shot(b"[1]")[0]["error"] == "msg_parsing_error"


def test_bytes_that_are_not_utf8_are_a_parsing_error(do):
    assert do.one_shot(b"\xff\xfe{")[0]["details"]["type"] == "UnicodeDecodeError"


def test_envelope_mode_advances_by_the_handler_only():
    with Runtime("zoo.advance", ASYA_HANDLER_MODE="envelope") as runtime:
        (found,) = runtime.one_shot(at(0))
        assert found["route"]["current"] == 1


def test_processed_actors_cannot_be_erased():
    with Runtime("zoo.erase", ASYA_HANDLER_MODE="envelope") as runtime:
        (found,) = runtime.one_shot(at(1))
        assert (found["error"], found["details"]["type"]) == ("processing_error", "ValueError")


def test_an_end_actor_answers_its_empty_object():
    with Runtime("zoo.end", ASYA_HANDLER_MODE="envelope", ASYA_ENABLE_VALIDATION="false") as runtime:
        assert runtime.one_shot({"anything": 1}) == [{}]


def test_generators_and_async_handlers_answer_all_items():
    for handler in ("count", "async_count"):
        with Runtime(f"zoo.{handler}") as runtime:
            assert [item["payload"] for item in runtime.one_shot(at(0, payload=3) | {"payload": 3})] == [0, 1, 2]


def test_a_short_request_is_a_connection_error(do):
    for part in (b"\0\0", struct.pack(">I", 10) + b"{", struct.pack(">I", 10)):
        with do.connect() as sock:
            sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
            assert b"connection_error" in read_frame(sock)


def test_an_over_long_request_is_refused_unread(do):
    with do.connect() as sock:
        sock.sendall(struct.pack(">I", 2**32 - 1))
        assert b"msg_parsing_error" in read_frame(sock)


def test_a_worker_that_dies_is_answered_and_replaced(do):
    (found,) = do.one_shot({**INPUT, "payload": "exit"})
    assert found["details"]["code"] == "worker_died"
    assert do.one_shot(INPUT)[0]["payload"] == {"x": 1}


def test_drop_is_an_empty_answer_and_reject_an_error(do):
    assert do.one_shot({**INPUT, "payload": "drop"}) == []
    assert do.one_shot({**INPUT, "payload": "reject"})[0]["details"]["action"] == "reject"


def test_context_changes_travel():
    with Runtime("zoo.seen") as runtime:
        (found,) = runtime.one_shot(INPUT)
        assert found["route"] == {"actors": ["a", "x", "y", "b"], "current": 1}
        assert found["headers"] == {"t": 2}
        assert found["payload"]["actor"] == "a"


def send(runtime, payload):
    sock = runtime.connect()
    body = json.dumps({**INPUT, "payload": payload}).encode()
    sock.sendall(struct.pack(">I", len(body)) + body)
    return sock


def test_a_sidecar_that_hangs_up_ends_the_work_of_an_async_handler():
    with Runtime("late.async_naps") as runtime:
        worker = runtime.control().hello["workers"][0]["pid"]
        with send(runtime, 60):
            time.sleep(0.3)
        eventually(lambda: "ended" in runtime.log(), 5)
        assert runtime.one_shot({**INPUT, "payload": 0.1})[0]["payload"] == 0.1
        assert runtime.control().hello["workers"][0]["pid"] == worker


def test_a_sidecar_that_hangs_up_ends_the_work_of_a_sync_handler_and_what_waits_behind_it_never_begins():
    with Runtime("late.naps_and_says") as runtime:
        with send(runtime, 60), send(runtime, 0.01):
            time.sleep(0.3)
        assert runtime.one_shot({**INPUT, "payload": 0.02})[0]["payload"] == 0.02
        eventually(lambda: "naps 0.02" in runtime.log())
        assert "naps 0.01" not in runtime.log()
        assert "the sidecar hung up" in runtime.log()


def test_a_sidecar_that_only_stops_writing_gets_its_answer():
    for handler in ("late.naps", "late.async_naps"):
        with Runtime(handler) as runtime, send(runtime, 1.5) as sock:
            sock.shutdown(socket.SHUT_WR)
            assert json.loads(read_frame(sock))[0]["payload"] == 1.5


def test_one_shot_messages_of_an_async_handler_run_at_the_same_time():
    with Runtime("late.async_naps") as runtime:
        began = time.monotonic()
        socks = [send(runtime, 0.5) for _ in range(8)]
        for sock in socks:
            assert json.loads(read_frame(sock))[0]["payload"] == 0.5
            sock.close()
        assert time.monotonic() - began < 2


def test_a_message_that_a_retired_worker_has_not_read_is_answered_by_the_next():
    with Runtime("late.naps", ASYA_WORKER_MAX_REQUESTS="1") as runtime:
        worker = runtime.control().worker()
        # It is handed to the busy worker, which finds that it is retired when it looks before its next request.
        worker.sock.sendall(b"".join(worker.frame(i, 0.3) for i in (1, 2, 3)))
        time.sleep(0.1)
        with send(runtime, 0.01) as sock:
            assert json.loads(read_frame(sock))[0]["payload"] == 0.01
