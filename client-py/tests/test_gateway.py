"""Against a real gateway, whose actors are this test."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from asya_client import (
    AsyncClient,
    Cancelled,
    Client,
    Conflict,
    Denied,
    Failed,
    Invalid,
    NotFound,
    StillRunning,
    TooLarge,
    Unauthenticated,
)
from support import LIMIT, Gateway, eventually


def when_there(gateway: Gateway, id: str, does: Any) -> threading.Thread:
    """Does something as soon as the envelope is there."""

    def run() -> None:
        eventually(lambda: id in gateway.ids())
        does()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_what_is_sent_arrives_with_headers_and_deadline(gateway: Gateway, client: Client) -> None:
    id = client.send(["split", "read"], {"text": "Zürich"}, headers={"tenant": "a"}, timeout=60)
    envelope = client.get(id)
    assert (envelope.route, envelope.payload) == (("split", "read"), {"text": "Zürich"})
    assert envelope.headers is not None
    assert envelope.headers["tenant"] == "a"
    assert envelope.created is not None
    assert envelope.deadline is not None
    assert (envelope.deadline - envelope.created).total_seconds() == pytest.approx(60, abs=0.01)
    assert not envelope.final


def test_an_id_of_ones_own_sends_once_and_other_content_conflicts(gateway: Gateway, client: Client) -> None:
    assert client.send("read", 1, id="own") == "own"
    assert client.send("read", 1, id="own") == "own"
    with pytest.raises(Conflict):
        client.send("read", 2, id="own")
    assert gateway.ids().count("own") == 1


def test_an_id_with_every_sign_is_followed(gateway: Gateway, client: Client) -> None:
    id = client.send("read", None, id="a b?c#d%/ü")
    gateway.ask("/envelopes/a%20b%3Fc%23d%25%2F%C3%BC/final", {"status": "succeeded", "result": 1})
    assert client.result(id, timeout=LIMIT) == 1


@pytest.mark.parametrize("result", [{"text": "hello"}, [], "", 0, None])
def test_a_call_returns_the_result(gateway: Gateway, client: Client, result: Any) -> None:
    id = f"call-for-{type(result).__name__}"
    thread = when_there(gateway, id, lambda: gateway.succeed(id, result))
    assert client.tool("ocr", id=id, timeout=LIMIT).call(page=1) == result
    thread.join()
    assert client.get(id).payload == {"page": 1, "timeout": "none"}


def test_arguments_are_called_as_they_like(gateway: Gateway, client: Client) -> None:
    id = client.start("ocr", {"page": 1}, timeout="a text")
    assert client.get(id).payload == {"page": 1, "timeout": "a text"}


def test_a_call_that_fails_raises_with_the_code(gateway: Gateway, client: Client) -> None:
    thread = when_there(gateway, "bad", lambda: gateway.fail("bad", "no such page"))
    with pytest.raises(Failed, match="no such page") as raised:
        client.tool("ocr", id="bad").call(page=1)
    thread.join()
    assert (raised.value.id, raised.value.code, raised.value.error) == ("bad", "processing_error", "no such page")


def test_wrong_arguments_are_named(client: Client) -> None:
    with pytest.raises(Invalid) as raised:
        client.call("ocr", page="one")
    assert raised.value.code == "invalid"
    assert [it.field for it in raised.value.errors] == ["page"]
    assert "integer" in raised.value.errors[0].reason


def test_what_is_unknown_is_not_found(client: Client) -> None:
    for asked in (
        lambda: client.call("nothing"),
        lambda: client.get("nobody"),
        lambda: client.wait("nobody"),
        lambda: client.cancel("nobody"),
        lambda: next(client.stream("nobody")),
    ):
        with pytest.raises(NotFound):
            asked()


def test_a_payload_that_is_too_large_is_refused(client: Client) -> None:
    with pytest.raises(TooLarge):
        client.send("read", "x" * 2_000_000)


def test_what_is_no_json_is_not_sent(gateway: Gateway, client: Client) -> None:
    before = gateway.ids()
    for payload in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            client.send("read", payload)
    with pytest.raises(ValueError, match="at least one actor"):
        client.send([], 1)
    assert gateway.ids() == before


def test_waiting_ends_when_the_time_is_up_and_can_go_on(gateway: Gateway, client: Client) -> None:
    with pytest.raises(StillRunning) as raised:
        client.tool("ocr", timeout=0.2).call(page=1)
    with pytest.raises(TimeoutError):
        client.wait(raised.value.id, timeout=0.1)
    gateway.succeed(raised.value.id, "late")
    assert client.result(raised.value.id) == "late"


def test_a_stream_tells_each_update_once_and_ends(gateway: Gateway, client: Client) -> None:
    id = client.send("split,read", 1)
    with client.stream(id) as updates:
        seen = [next(updates)]
        gateway.progress(id, "split", 0, "processing")
        seen.append(next(updates))
        gateway.progress(id, "split", 0, "completed")
        gateway.succeed(id, None)
        seen += updates
    assert [it.seq for it in seen] == sorted({it.seq for it in seen})
    assert [it.actor for it in seen if it.step == "processing"] == ["split"]
    assert seen[-1].final
    assert seen[-1].status == "succeeded"
    assert list(client.stream(id)) == seen
    assert list(client.stream(id, after=seen[1].seq)) == seen[2:]
    assert list(client.stream(id, after=seen[-1].seq)) == []


def test_a_stream_is_closed_under_a_thread_that_reads(client: Client) -> None:
    stream = client.stream(client.send("read", 1))
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(list, stream)
        eventually(lambda: stream.after is not None)
        stream.close()
        assert not any(it.final for it in reading.result(LIMIT))


def test_cancelling_ends_the_envelope_for_who_waits(client: Client) -> None:
    id = client.send("read", 1)
    assert client.cancel(id, "wrong file") == [id]
    with pytest.raises(Cancelled, match="wrong file"):
        client.wait(id)
    with pytest.raises(Conflict):
        client.cancel(id)


def test_resubmitting_makes_another_with_what_is_changed(gateway: Gateway, client: Client) -> None:
    first = client.send("read", {"page": 1})
    gateway.fail(first, "no such page")
    second = client.resubmit(first, payload={"page": 2})
    assert second != first
    assert client.get(second).payload == {"page": 2}
    assert client.get(client.resubmit(first)).payload == {"page": 1}


def test_tools_are_listed_with_their_schemas(client: Client) -> None:
    tools = {it.name: it for it in client.tools()}
    assert set(tools) == {"ocr", "anything", "greet"}
    assert tools["ocr"].route == ("split", "read")
    assert tools["ocr"].input_schema["required"] == ["page"]


def test_a_token_is_shown_and_asked_for_again(tmp_path: Path) -> None:
    tokens = (
        "- {name: all, roles: [read, send, payload], token_file: good}\n- {name: few, roles: [send], token_file: few}\n"
    )
    (tmp_path / "tokens.yaml").write_text(
        tokens.replace("good", str(tmp_path / "good")).replace(": few}", f": {tmp_path}/few}}")
    )
    (tmp_path / "good").write_text("g" * 32)
    (tmp_path / "few").write_text("f" * 32)
    gateway = Gateway(tmp_path, ASYA_GATEWAY_TOKENS_FILE=str(tmp_path / "tokens.yaml"))
    try:
        with pytest.raises(Unauthenticated):
            Client.from_url(gateway.url).tools()
        known = ["wrong" * 8]
        client = Client.from_url(gateway.url, token=lambda: known[-1])
        with pytest.raises(Unauthenticated):
            client.tools()
        known.append("g" * 32)
        assert len(client.tools()) == 3
        few = Client.from_url(gateway.url, token="f" * 32)
        id = few.start("anything")
        with pytest.raises(Denied):
            few.wait(id)
        assert client.get(id).status in ("pending", "running")
    finally:
        gateway.kill()


def test_threads_share_a_client(gateway: Gateway, client: Client) -> None:
    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(lambda number: client.send("read", number), range(100)))
    assert len(set(ids)) == 100
    assert [client.get(id).payload for id in ids[:3]] == [0, 1, 2]


def test_asyncio_calls_streams_and_leaves(gateway: Gateway) -> None:
    async def test() -> None:
        async with AsyncClient.from_url(gateway.url) as client:
            calling = asyncio.create_task(client.tool("ocr", id="aio").call(page=1))
            await asyncio.to_thread(eventually, lambda: "aio" in gateway.ids())
            gateway.succeed("aio", [1])
            assert await calling == [1]
            id = await client.send("read", 1)
            async with client.stream(id) as updates:
                assert (await anext(updates)).seq
                waiting = asyncio.create_task(anext(updates))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            await client.cancel(id)
            assert [it.status async for it in client.stream(id)][-1] == "failed"

    asyncio.run(asyncio.wait_for(test(), LIMIT))
