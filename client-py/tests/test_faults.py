"""Lost answers, cut connections, a gateway that is killed: nothing twice, nothing left out."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asya_client import AsyaError, Client, Conflict, Refused, Unavailable, Unsupported
from support import LIMIT, Gateway, Wire, eventually, free_port


def test_a_lost_answer_makes_no_second_envelope(gateway: Gateway, wire: Wire) -> None:
    before = len(gateway.ids())
    client = Client.from_url(wire.url)
    wire.lose_answers = 2
    id = client.send("read", 1)
    wire.lose_answers = 1
    call = client.start("ocr", page=1)
    assert wire.lose_answers == 0
    assert wire.connections >= 4
    assert sorted(gateway.ids()[: len(gateway.ids()) - before]) == sorted([id, call])


def test_a_lost_answer_of_cancelling_is_no_conflict(gateway: Gateway, wire: Wire) -> None:
    client = Client.from_url(wire.url)
    id = client.send("read", 1)
    wire.lose_answers = 1
    assert client.cancel(id) == [id]
    with pytest.raises(Conflict):
        client.cancel(id)


def test_resubmitting_is_not_repeated_by_itself(gateway: Gateway, wire: Wire) -> None:
    client = Client.from_url(wire.url)
    id = client.send("read", 1)
    gateway.succeed(id, 1)
    before = len(gateway.ids())
    wire.lose_answers = 1
    with pytest.raises(Unavailable):
        client.resubmit(id)
    assert len(gateway.ids()) == before + 1


def test_a_kept_connection_that_was_closed_is_made_again(gateway: Gateway, wire: Wire) -> None:
    client = Client.from_url(wire.url)
    client.tools()
    client.tools()
    assert wire.connections == 1
    wire.cut()
    assert client.get(client.send("read", 1)).payload == 1


def test_a_cut_stream_goes_on_where_it_was(gateway: Gateway, wire: Wire) -> None:
    client = Client.from_url(wire.url)
    id = client.send("split,read", 1)
    with ThreadPoolExecutor() as threads, client.stream(id, timeout=LIMIT) as updates:
        reading = threads.submit(list, updates)
        for index, actor in enumerate(("split", "read")):
            for step in ("received", "processing", "completed"):
                gateway.progress(id, actor, index, step)
                last = gateway.ask(f"/api/v1/envelopes/{id}/updates")["updates"][-1]["seq"]
                eventually(lambda last=last: updates.after == last)
                wire.cut()
        gateway.succeed(id, 1)
        seen = [it.seq for it in reading.result(LIMIT)]
    assert seen == [it["seq"] for it in gateway.ask(f"/api/v1/envelopes/{id}/updates")["updates"]]


def test_a_killed_gateway_is_waited_for(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    client = Client.from_url(gateway.url)
    try:
        id = client.send("read", 1)
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(client.result, id, LIMIT)
            calling = threads.submit(client.tool("ocr", id="call").call, page=1)
            eventually(lambda: "call" in gateway.ids())
            gateway.kill()
            sending = threads.submit(client.send, "read", 2)
            gateway.start()
            assert client.get(sending.result(LIMIT)).payload == 2
            gateway.succeed(id, "after")
            gateway.succeed("call", "too")
            assert waiting.result(LIMIT) == "after"
            assert calling.result(LIMIT) == "too"
        assert len(gateway.ids()) == 3
    finally:
        gateway.kill()


def test_a_gateway_that_stays_away_is_unavailable_in_time() -> None:
    client = Client.from_url(f"http://127.0.0.1:{free_port()}", retry_for=0.5)
    for asked in (lambda: client.send("read", 1), lambda: next(client.stream("any")), lambda: client.wait("any", 0.3)):
        began = time.monotonic()
        with pytest.raises((Unavailable, TimeoutError)):
            asked()
        assert time.monotonic() - began < 5


class Odd(http.server.BaseHTTPRequestHandler):
    """What stands where a gateway should: `answers` are told in turns, the last one for ever."""

    answers: list[tuple[int, dict[str, str], bytes]]
    asked = 0

    def do_GET(self) -> None:
        status, headers, body = self.answers[min(type(self).asked, len(self.answers) - 1)]
        type(self).asked += 1
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[type[Odd]]:
    class This(Odd):
        url = ""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), This)
    This.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield This
    server.shutdown()
    server.server_close()


def test_who_is_busy_is_asked_again_when_it_says(odd: type[Odd]) -> None:
    busy = b'{"code": "too_many_requests", "detail": "slower"}'
    odd.answers = [(429, {"Retry-After": "1"}, busy), (502, {}, b"<html>"), (200, {}, b'{"tools": []}')]
    began = time.monotonic()
    assert Client.from_url(odd.url).tools() == []
    assert time.monotonic() - began >= 1
    odd.answers, odd.asked = [(429, {"Retry-After": "60"}, busy)], 0
    with pytest.raises(Unavailable) as raised:
        Client.from_url(odd.url, retry_for=1).tools()
    assert (raised.value.code, raised.value.detail, odd.asked) == ("too_many_requests", "slower", 1)


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b""), (302, b""), (500, b"[1]"), (418, b"tea")])
def test_what_is_no_gateway_is_said(odd: type[Odd], status: int, body: bytes) -> None:
    odd.answers = [(status, {"Location": "/login"}, body)]
    with pytest.raises(AsyaError) as raised:
        Client.from_url(odd.url).tools()
    assert isinstance(raised.value, Refused) == (status != 200)
    assert odd.asked == 1


@pytest.mark.parametrize(
    "url", ["localhost:8089", "ftp://host", "http://", "http://user:secret@host", "http://host?x=1", ""]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|begins"):
        Client.from_url(url)


def test_a_broker_says_that_it_tells_nothing() -> None:
    client = Client.from_url("amqp://guest:guest@127.0.0.1:1/%2F")
    for asked in (lambda: client.call("ocr"), lambda: client.wait("id"), lambda: client.stream("id")):
        with pytest.raises(Unsupported, match="gateway"):
            asked()
