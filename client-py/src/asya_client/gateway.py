"""The client of a gateway."""

from __future__ import annotations

import math
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from .client import Client, Route, actors, new_id
from .errors import Conflict, Denied, Refused, failure
from .http import Http, Token
from .records import FINAL, Envelope, Tool
from .stream import Stream

# Longest that one request waits for a result, in seconds; what takes longer is followed. Below what proxies bear.
WAIT = 25


class GatewayClient(Client):
    """Speaks `/api/v1` of a gateway."""

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        timeout: float = 30.0,
        retry_for: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._http = Http(url, token, timeout, retry_for, tls)

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        route: Route,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        id = new_id() if id is None else id
        body: dict[str, Any] = {"id": id, "route": actors(route), "payload": payload}
        if headers:
            body["headers"] = dict(headers)
        if timeout is not None:
            body["timeout_seconds"] = math.ceil(timeout)
        self._http.ask("POST", "/envelopes", body)
        return id

    def tools(self) -> list[Tool]:
        _, answer = self._http.ask("GET", "/tools")
        return [Tool.of(it) for it in answer["tools"]]

    def get(self, id: str) -> Envelope:
        _, answer = self._http.ask("GET", _path(id))
        return Envelope.of(answer)

    def wait(self, id: str, timeout: float | None = None) -> Envelope:
        with self.stream(id, timeout=timeout) as updates:
            for _ in updates:
                pass
        envelope = self.get(id)
        if envelope.status == "failed":
            raise failure(id, envelope.code, envelope.error, envelope.actor)
        return envelope

    def result(self, id: str, timeout: float | None = None) -> Any:
        envelope = self.wait(id, timeout)
        if not envelope.contents:
            raise _contents(id)
        return envelope.result

    def stream(self, id: str, *, after: int | None = None, timeout: float | None = None) -> Stream:
        return Stream(self._http, id, after, timeout)

    def cancel(self, id: str, reason: str | None = None) -> list[str]:
        body = {} if reason is None else {"reason": reason}
        try:
            _, answer = self._http.ask("POST", f"{_path(id)}/cancel", body)
        except Conflict as conflict:
            # The first try may have done it, and only its answer was lost.
            if conflict.tries == 1 or self.get(id).code != "cancelled":
                raise
            return [id]
        return list(answer["cancelled"])

    def resubmit(self, id: str, *, payload: Any = ..., route: Route | None = None) -> str:
        body: dict[str, Any] = {}
        if payload is not ...:
            body["payload"] = payload
        if route is not None:
            body["route"] = actors(route)
        _, answer = self._http.ask("POST", f"{_path(id)}/resubmit", body, again=False)
        return str(answer["id"])

    def _call(self, name: str, arguments: dict[str, Any], id: str, timeout: float | None) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        wait = WAIT if timeout is None else max(0, min(WAIT, math.floor(timeout)))
        status, answer = self._http.ask("POST", _call_path(name, wait), _call_body(id, arguments), wait=wait)
        if status == 200 and answer.get("status") in FINAL:
            if answer["status"] == "failed":
                raise failure(id, answer.get("code"), answer.get("error"), self._actor(id))
            if "result" in answer:
                return answer["result"]
        return self.result(id, None if until is None else max(0.0, until - time.monotonic()))

    def _actor(self, id: str) -> str | None:
        # Who may call need not be allowed to look.
        try:
            return self.get(id).actor
        except Refused:
            return None

    def _start(self, name: str, arguments: dict[str, Any], id: str) -> str:
        self._http.ask("POST", _call_path(name, 0), _call_body(id, arguments))
        return id


def _path(id: str) -> str:
    return f"/envelopes/{urllib.parse.quote(id, safe='')}"


def _call_path(name: str, wait: int) -> str:
    return f"/tools/{urllib.parse.quote(name, safe='')}?wait={wait}"


def _call_body(id: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": id, "arguments": arguments}


def _contents(id: str) -> Denied:
    return Denied("denied", f"envelope {id} ended well; its result is for the role payload", 403)
