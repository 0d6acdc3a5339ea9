"""How agents ask a model: over real connections, by settings, and from recordings."""

from __future__ import annotations

import email.message
import http.server
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from asya_runtime.agents import Agent, ModelBusy, ModelError, model, settings, tape
from asya_runtime.agents.completions import Malformed, Refused, response
from asya_runtime.agents.model import Client
from asya_runtime.agents.settings import SettingsError
from asya_runtime.agents.tape import NotRecorded, Record, Replay, canonical, digest
from asya_runtime.agents.testing import Scripted, calls, says
from asya_runtime.loader import LoadError, load
from asya_runtime.testing import run

VECTORS = Path(__file__).parents[2] / "docs" / "agents" / "request-hashes.json"
QUESTION = {"system": "be brief", "messages": [{"role": "user", "text": "why?"}]}


def completion(content: Any = "because", **message: Any) -> bytes:
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": content, **message}}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode()


class Server:
    """A provider on this machine; says what it is given, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.trickle = 0.0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, dict(self.headers), json.loads(body)))
                status, headers, data = outer.answers.pop(0)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for at in range(0, len(data), 8 if outer.trickle else len(data) or 1):
                        self.wfile.write(data[at : at + 8] if outer.trickle else data)
                        time.sleep(outer.trickle)
                except OSError:
                    self.close_connection = True

            def do_CONNECT(self) -> None:
                # A proxy that is the provider itself: what comes through the tunnel is answered here.
                outer.asked.append((self.path, dict(self.headers), None))
                self.send_response(200)
                self.end_headers()
                self.close_connection = False

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, data))


@pytest.fixture
def server():
    found = Server()
    yield found
    found.server.shutdown()
    found.server.server_close()


def client(server: Server, **more: str) -> Client:
    variables = {"ASYA_LLM_BASE_URL": server.url, "ASYA_LLM_MODEL": "small", "ASYA_LLM_API_KEY": "sk-secret", **more}
    return Client(settings.read(variables))


# Over a connection.


def test_a_question_is_asked_as_chat_completions_and_the_answer_is_read(server):
    wanted = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    server.answer(completion(None, tool_calls=[wanted]))
    request = {
        **QUESTION,
        "messages": [
            {"role": "user", "text": "why?"},
            {"role": "assistant", "text": "", "calls": [{"id": "c0", "name": "add", "arguments": "{broken"}]},
            {"role": "tool", "call": "c0", "name": "add", "text": "no", "failed": True},
        ],
        "tools": [{"name": "add", "description": "Adds.", "parameters": {"type": "object"}}],
        "choice": {"named": "add"},
        "temperature": 0.0,
    }
    ask = client(server, ASYA_LLM_HEADERS="X-Team: sre", ASYA_LLM_TOP_P="0.5", ASYA_LLM_MAX_TOKENS="9")
    assert ask(request) == {
        "text": "",
        "calls": [{"id": "c1", "name": "add", "arguments": {"a": 1}}],
        "finish": "calls",
        "usage": {"input": 3, "output": 2, "cached": 0},
    }
    [(path, headers, body)] = server.asked
    assert path == "/v1/chat/completions"
    assert (headers["Authorization"], headers["X-Team"]) == ("Bearer sk-secret", "sre")
    assert body == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "why?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c0", "type": "function", "function": {"name": "add", "arguments": "{broken"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c0", "content": "no"},
        ],
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "tools": [{"type": "function", "function": request["tools"][0]}],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
    }


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "code", "after"),
    [
        (429, {"error": {"message": "slow down"}}, {"Retry_After": "7"}, ModelBusy, "rate_limited", 7),
        (429, {"error": {"message": "slow"}}, {"retry_after_ms": "250", "Retry_After": "9"}, ModelBusy, "rate_", 0.25),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {}, ModelError, "quota", None),
        (503, {"error": "loading"}, {"Retry_After": "999999"}, ModelBusy, "unavailable", 3600),
        (500, {}, {}, ModelBusy, "unavailable", None),
        (401, {"error": {"message": "bad key sk-secret"}}, {}, ModelError, "auth", None),
        (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, {}, ModelError, "too_long", None),
        (400, {"error": {"message": "x", "code": "content_filter"}}, {}, ModelError, "refused", None),
        (404, {"error": "no such model"}, {}, ModelError, "bad_request", None),
        (302, {}, {"Location": "http://elsewhere/"}, ModelError, "bad_request", None),
    ],
)
def test_a_refusal_is_for_the_queue_or_final_and_never_shows_the_key(server, status, body, headers, kind, code, after):
    server.answer(json.dumps(body).encode(), status, **headers)
    with pytest.raises(kind, match=code) as raised:
        client(server)(QUESTION)
    assert getattr(raised.value, "after", None) == after
    assert "sk-secret" not in str(raised.value)
    assert len(server.asked) == 1, "a redirect is not followed"


def test_a_retry_after_may_be_a_date():
    headers = email.message.Message()
    headers["Retry-After"] = "Sun, 06 Nov 1994 08:50:07 GMT"
    assert model.told(headers, 784_111_777.0) == 30
    assert model.told(headers, 2e9) == 0
    headers.replace_header("Retry-After", "soon")
    assert model.told(headers, 0) is None


def test_an_answer_that_comes_too_slowly_is_given_up_in_time(server):
    server.trickle = 0.05
    server.answer(completion("x" * 4000))
    began = time.monotonic()
    with pytest.raises(ModelBusy, match=r"timeout: no answer within 0.3 s"):
        client(server, ASYA_LLM_TIMEOUT="300ms")(QUESTION)
    assert time.monotonic() - began < 2


def test_nobody_there_and_connections_that_break_are_for_the_queue(server):
    with pytest.raises(ModelBusy, match="unavailable"):
        client(server, ASYA_LLM_BASE_URL="http://127.0.0.1:9/v1")(QUESTION)
    server.answer(b"{", Content_Length="100", Connection="close")
    with pytest.raises(ModelBusy, match="unavailable: openai-compatible: IncompleteRead"):
        client(server)(QUESTION)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": 1}]}'])
def test_an_answer_of_another_kind_is_an_error_that_shows_it(server, body):
    server.answer(body)
    with pytest.raises(ModelError, match="malformed"):
        client(server)(QUESTION)


def test_the_key_is_read_from_its_file_at_each_call(server, tmp_path):
    key = tmp_path / "key"
    ask = client(server, ASYA_LLM_API_KEY="", ASYA_LLM_API_KEY_FILE=str(key))
    for text in ("one", "two"):
        key.write_text(f"{text}\n")
        server.answer(completion(), Connection="close")
        ask(QUESTION)
        assert server.asked[-1][1]["Authorization"] == f"Bearer {text}"
    key.unlink()
    with pytest.raises(ModelError, match="auth: the key cannot be read"):
        ask(QUESTION)


def test_a_proxy_is_asked_for_a_tunnel(server):
    server.answer(completion())
    proxy = server.url.replace("http://", "http://user:p%40ss@").removesuffix("/v1")
    ask = client(server, ASYA_LLM_PROXY=proxy, ASYA_LLM_BASE_URL="http://model.example:8000/v1")
    assert ask(QUESTION)["text"] == "because"
    (connect, headers, _), (path, _, _) = server.asked
    assert (connect, path) == ("model.example:8000", "/v1/chat/completions")
    assert headers["Proxy-Authorization"] == "Basic dXNlcjpwQHNz"


# Answers.


def test_answers_are_read_leniently():
    def of(**message: Any) -> dict[str, Any]:
        return response({"choices": [{"message": message}]})

    assert of(content=[{"type": "text", "text": "a"}, {"text": "b"}]) == {"text": "ab", "finish": "stop"}
    found = of(content=None, tool_calls=[{"function": {"name": "f"}}, {"function": {"name": "g", "arguments": "{x"}}])
    assert found["calls"] == [
        {"id": "call_0", "name": "f", "arguments": {}},
        {"id": "call_1", "name": "g", "arguments": "{x"},
    ]
    assert of(tool_calls=[{"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}])["calls"][0]["arguments"] == {
        "a": 1
    }
    assert (
        of(tool_calls=[{"function": {"name": "f", "arguments": '{"a": NaN}'}}])["calls"][0]["arguments"] == '{"a": NaN}'
    )
    assert response({"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]})["finish"] == "length"
    with pytest.raises(Refused):
        of(refusal="no")
    with pytest.raises(Refused):
        response({"choices": [{"message": {}, "finish_reason": "content_filter"}]})
    for wrong in (None, 1, [], {}, {"choices": {}}, {"choices": [1]}):
        with pytest.raises(Malformed):
            response(wrong)


# Settings.


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(SettingsError) as raised:
        settings.read(
            {
                "ASYA_LLM_BACKEND": "anthropic",
                "ASYA_LLM_BASE_URL": "ftp://x",
                "ASYA_LLM_TIMEOUT": "2",
                "ASYA_LLM_MAX_TOKENS": "0",
                "ASYA_LLM_TEMPERATURE": "3",
                "ASYA_LLM_PROXY": "socks5://x",
                "ASYA_LLM_HEADERS": "no-colon",
                "ASYA_LLM_BUDGET_TOKENS": "5",
            }
        )
    names = ("BACKEND", "BASE_URL", "TIMEOUT", "MAX_TOKENS", "TEMPERATURE", "PROXY", "HEADERS", "BUDGET_TOKENS")
    assert all(f"ASYA_LLM_{name}: " in str(raised.value) for name in names), raised.value
    for variables, words in [
        ({}, "ASYA_LLM_API_KEY: is required"),
        ({"ASYA_LLM_BACKEND": "compatible"}, "ASYA_LLM_BASE_URL: is required"),
        ({"ASYA_LLM_REPLAY": "a", "ASYA_LLM_RECORD": "b"}, "only one of them can count"),
        ({"ASYA_LLM_BASE_URL": "http://u:p@h"}, "must not hold a user"),
        ({"ASYA_LLM_BASE_URL": "http://h?x=1"}, "no \\? and no #"),
    ]:
        with pytest.raises(SettingsError, match=words):
            settings.read(variables)


def test_backends_have_their_addresses_and_models():
    found = settings.read({"ASYA_LLM_BACKEND": "Ollama"})
    assert (found.base, found.model, found.key()) == ("http://localhost:11434/v1", "llama3", None)
    assert settings.read({"ASYA_LLM_BASE_URL": "http://h:1/"}).base == "http://h:1/v1"
    assert settings.read({"ASYA_LLM_BASE_URL": "http://h/api/"}).base == "http://h/api"
    assert [settings.duration(text) for text in ("300ms", "1m30s", "2h")] == [0.3, 90, 7200]


def test_wrong_settings_keep_an_agent_from_being_loaded(tmp_path, monkeypatch):
    (tmp_path / "desk.py").write_text("from asya_runtime.agents import Agent\n\nclerk = Agent('x')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("BACKEND", "BASE_URL", "API_KEY", "REPLAY"):
        monkeypatch.delenv(f"ASYA_LLM_{name}", raising=False)
    model.from_environment.cache_clear()
    with pytest.raises(LoadError, match=r"desk.clerk' cannot work: ASYA_LLM_API_KEY: is required"):
        load("desk.clerk")
    monkeypatch.setenv("ASYA_LLM_REPLAY", str(tmp_path / "none.jsonl"))
    with pytest.raises(LoadError, match=r"none.jsonl"):
        load("desk.clerk")
    (tmp_path / "none.jsonl").write_text("")
    assert load("desk.clerk").is_async is False
    model.from_environment.cache_clear()


# Recordings.


def test_the_hash_of_a_request_is_that_of_the_other_programs():
    for vector in json.loads(VECTORS.read_text(encoding="utf-8")):
        assert digest(vector["request"]) == vector["hash"], canonical(vector["request"])


def test_what_was_recorded_is_replayed_and_nothing_else(tmp_path):
    path = tmp_path / "answers.jsonl"
    recorder = Record(Scripted([says("first"), calls(("f", {"é": 1.5}))]), path, "scripted", "small")
    other = {**QUESTION, "temperature": 0.5, "model": "large"}
    assert recorder(QUESTION)["text"] == "first"
    called = recorder(other)
    replay = Replay(path)
    assert replay(dict(reversed(QUESTION.items())))["text"] == "first"
    assert replay(other) == called
    with pytest.raises(NotRecorded, match=digest({**QUESTION, "system": "x"})):
        replay({**QUESTION, "system": "x"})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["provider"], line["model"]) for line in lines] == [("scripted", "small"), ("scripted", "large")]
    Record(Scripted([says("newer")]), path, "scripted", "small")(QUESTION)
    assert Replay(path)(QUESTION)["text"] == "newer", "the later line counts"


@pytest.mark.parametrize("text", ["\n{", '\n{"hash": "x"}', "\n[]", "\n1"])
def test_a_recording_that_cannot_be_read_is_told_with_its_line(tmp_path, text):
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(tape.Reject, match=r"answers.jsonl: line 2: "):
        Replay(path)


def test_an_agent_records_what_its_model_says(server, tmp_path, monkeypatch):
    path = tmp_path / "answers.jsonl"
    for name, value in {"BASE_URL": server.url, "MODEL": "small", "RECORD": str(path)}.items():
        monkeypatch.setenv(f"ASYA_LLM_{name}", value)
    model.from_environment.cache_clear()
    server.answer(completion("recorded"))
    agent = Agent("Be brief.")
    assert run(agent, "why?").payload == {"text": "recorded"}
    monkeypatch.delenv("ASYA_LLM_RECORD")
    monkeypatch.setenv("ASYA_LLM_REPLAY", str(path))
    model.from_environment.cache_clear()
    assert run(agent, "why?").payload == {"text": "recorded"}
    assert len(server.asked) == 1
    model.from_environment.cache_clear()
