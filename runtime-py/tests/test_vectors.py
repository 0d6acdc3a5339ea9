"""The vectors that the Rust tests read too."""

import json
import struct
from pathlib import Path

import pytest

from asya_runtime import frames
from asya_runtime.errors import ProtocolError
from support import MAGIC, Runtime

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "docs" / "protocol-vectors.json").read_text())
FRAMES = {v["name"]: v for v in VECTORS["frames"]}
TYPES = {
    "CANCEL": frames.CANCEL, "KILL": frames.KILL, "ERROR": frames.ERROR, "PROGRESS": frames.PROGRESS,
    "WORKER_READY": frames.WORKER_READY, "WORKER_EXITED": frames.WORKER_EXITED,
}  # fmt: skip


def body(frame):
    (found,) = frames.Splitter(least=0).feed(frame)
    return found


@pytest.mark.parametrize("vector", FRAMES.values(), ids=FRAMES.keys())
def test_frames_are_written_and_read_as_in_the_vectors(vector):
    frame, kind, number = bytes.fromhex(vector["frame"]), vector["type"], vector["id"]
    if kind == "REQUEST":
        request, meta, payload = frames.parse_request(body(frame))
        assert (request, meta.decode(), payload.decode()) == (number, vector["meta"], vector["payload"])
    elif kind == "ITEM":
        assert frames.item(number, vector["meta"].encode(), vector["payload"].encode()) == frame
    elif kind == "RESULT":
        items = [(item["meta"].encode(), item["payload"].encode()) for item in vector["items"]]
        assert frames.result(number, items) == frame
        if len(items) == 1 and not items[0][0]:
            assert frames.one_result(number, items[0][1]) == frame
    elif kind in TYPES:
        assert body(frame)[0] == TYPES[kind]
        assert frames.parse_document(body(frame)[9:]) == vector["json"]
        again = body(frames.document(TYPES[kind], number, vector["json"]))
        assert again[:9] == body(frame)[:9]
        assert json.loads(again[9:]) == vector["json"]
    elif kind == "SHUTDOWN":
        assert body(frame) == bytes([frames.SHUTDOWN]) + bytes(8)
    else:
        assert kind == "UNKNOWN"


@pytest.mark.parametrize("vector", VECTORS["malformed"], ids=[v["name"] for v in VECTORS["malformed"]])
def test_malformed_bodies_that_a_runtime_reads_are_refused(vector):
    raw = bytes.fromhex(vector["body"])
    if raw[:1] not in (b"", b"\x01", b"\x02", b"\x03") and len(raw) >= 9:
        pytest.skip("a frame that only a sidecar reads")
    with pytest.raises(ProtocolError):  # noqa: PT012
        (found,) = frames.Splitter().feed(struct.pack(">I", len(raw)) + raw)
        if found[0] == frames.REQUEST:
            frames.parse_request(found)
        elif not isinstance(frames.parse_document(found[9:]).get("worker"), int):
            raise ProtocolError("no worker")


def test_a_frame_over_the_cap_is_refused_by_its_length():
    with pytest.raises(ProtocolError):
        list(frames.Splitter().feed(bytes.fromhex(VECTORS["over_cap"]["prefix"])))


def test_handshakes_are_written_as_in_the_vectors():
    for vector in VECTORS["handshake"]:
        written = body(frames.handshake(vector["json"]))
        assert written.startswith(MAGIC)
        assert json.loads(written[8:]) == json.loads(body(bytes.fromhex(vector["frame"]))[8:])


@pytest.fixture(scope="module")
def runtimes():
    running = {}

    def get(handler, mode):
        key = (handler, mode)
        if key not in running:
            running[key] = Runtime(f"zoo.{handler}", ASYA_HANDLER_MODE=mode)
        return running[key]

    yield get
    for runtime in running.values():
        runtime.__exit__()


@pytest.mark.parametrize("vector", VECTORS["one_shot"], ids=[v["name"] for v in VECTORS["one_shot"]])
def test_one_shot_answers_are_those_of_the_vectors(vector, runtimes):
    found = runtimes(vector["handler"], vector["mode"]).one_shot(vector["request"].encode())
    expected = vector["answer"]
    if expected and "error" in expected[0]:
        assert found[0]["error"] == expected[0]["error"]
        for member, value in expected[0].get("details", {}).items():
            assert found[0]["details"][member] == value
    else:
        assert found == expected
