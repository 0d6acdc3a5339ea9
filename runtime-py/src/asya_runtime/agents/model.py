"""Asks a model: one HTTP request for each call, bounded in time and size. What may work later is left to the queue."""

from __future__ import annotations

import base64
import email.utils
import functools
import http.client
import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from .. import __version__
from ..errors import Reject, Retry
from . import completions, settings, tape
from .tools import bounded

Json = dict[str, Any]

# The largest answer that is read, and what is read of a refusal.
LARGEST = 16 << 20
REFUSAL = 64 << 10
# No pause that a provider asks for is taken for longer: a wrong clock would stop everything.
LONGEST_PAUSE = 3600.0


class ModelError(Reject):
    """The model cannot answer this, and would not later; the message begins with a code of docs/models.md."""


class ModelBusy(Retry):
    """The model may answer later: the envelope waits in its queue, as long as the provider asks for."""


@functools.cache
def from_environment() -> tape.Model:
    """The model that the variables name, made once per process. Raises SettingsError."""
    found = settings.read()
    if found.replay is not None:
        return tape.Replay(found.replay)
    model: tape.Model = Client(found)
    return model if found.record is None else tape.Record(model, found.record, found.provider, found.model)


class Client:
    """A provider that speaks chat completions. Keeps no connection: minutes may pass between two calls."""

    def __init__(self, found: settings.Settings) -> None:
        self.settings = found
        self._tls: ssl.SSLContext | None = None

    def __call__(self, request: Json) -> Json:
        """Asks. Raises ModelError, ModelBusy."""
        if not (request.get("model") or self.settings.model):
            raise ModelError("bad_request: name a model, Agent(…, model=…) or ASYA_LLM_MODEL")
        try:
            key = self.settings.key()
        except OSError as error:
            raise ModelError(f"auth: the key cannot be read: {error}") from error
        try:
            status, headers, data = self._post(completions.body(request, self.settings), key)
        except TimeoutError as error:
            raise ModelBusy(f"timeout: no answer within {self.settings.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise ModelBusy(self._words("unavailable", f"{type(error).__name__}: {error}", key)) from error
        if status != 200:
            raise self._refusal(status, headers, data, key)
        try:
            return completions.response(json.loads(data))
        except completions.Refused as error:
            raise ModelError(self._words("refused", str(error), key)) from error
        except (ValueError, RecursionError, AttributeError) as error:
            raise ModelError(self._words("malformed", str(error), key)) from error

    def _post(self, body: Json, key: str | None) -> tuple[int, http.client.HTTPMessage, bytes]:
        until = time.monotonic() + self.settings.timeout
        base = urlsplit(self.settings.base)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"asya/{__version__}",
            **({"Authorization": f"Bearer {key}"} if key else {}),
            **dict(self.settings.headers),
        }
        connection = self._connection(base.scheme == "https", base.hostname or "", base.port)
        try:
            connection.connect()
            # An answer that ends the connection takes it from its object, while it is still read.
            line = connection.sock
            self._limit(line, until)
            connection.request("POST", f"{base.path}/chat/completions", json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            data, most = bytearray(), LARGEST if answer.status == 200 else REFUSAL
            while len(data) <= most and not answer.isclosed():
                self._limit(line, until)
                piece = answer.read1(1 << 16)
                if not piece:
                    break
                data += piece
            if answer.status == 200 and len(data) > most:
                raise ModelError(f"malformed: the answer has more than {LARGEST} bytes")
            if answer.status == 200 and answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return answer.status, answer.headers, bytes(data)
        finally:
            connection.close()

    def _connection(self, secure: bool, host: str, port: int | None) -> http.client.HTTPConnection:
        """To the provider, through a tunnel where there is a proxy."""
        proxy = None if self.settings.proxy is None else settings.proxy_parts(self.settings.proxy)
        at, its_port = (host, port) if proxy is None else proxy[:2]
        limit = min(self.settings.connect_timeout, self.settings.timeout)
        if secure:
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self.settings.ca_file)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                at, its_port, timeout=limit, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(at, its_port, timeout=limit)
        if proxy is not None:
            user = proxy[2]
            token = {} if user is None else {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
            connection.set_tunnel(host, port or (443 if secure else 80), token)
        return connection

    @staticmethod
    def _limit(line: socket.socket, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        line.settimeout(left)

    def _refusal(self, status: int, headers: http.client.HTTPMessage, data: bytes, key: str | None) -> Exception:
        """What a refusal means; as crates/llm tells them apart."""
        message, word = _said(data)
        words, lower = f"HTTP {status}: {message or 'no words'}", message.lower()
        if status == 402 or word in ("insufficient_quota", "billing_hard_limit_reached", "billing_error"):
            return ModelError(self._words("quota", words, key))
        if status == 429:
            return ModelBusy(self._words("rate_limited", words, key), after=told(headers, time.time()))
        if status in (408, 409, 425) or status >= 500:
            return ModelBusy(self._words("unavailable", words, key), after=told(headers, time.time()))
        if status in (401, 403, 407):
            return ModelError(self._words("auth", words, key))
        if status == 413 or word == "context_length_exceeded" or "context length" in lower or "context window" in lower:
            return ModelError(self._words("too_long", words, key))
        if word in ("content_filter", "content_policy_violation"):
            return ModelError(self._words("refused", words, key))
        return ModelError(self._words("bad_request", words, key))

    def _words(self, code: str, words: str, key: str | None) -> str:
        """The provider's words, bounded, without the key."""
        text = " ".join(words.split())
        for secret in (key, *(value for _, value in self.settings.headers)):
            if secret:
                text = text.replace(secret, "***")
        return f"{code}: {self.settings.provider}: {bounded(text)}"


def told(headers: http.client.HTTPMessage, now: float) -> float | None:
    """How long the headers ask to wait, in seconds: `retry-after-ms`, or `retry-after` as a number or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = (headers.get(name) or "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            try:
                seconds = max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
            except (TypeError, ValueError, OverflowError):
                continue
        if seconds >= 0:
            return min(seconds, LONGEST_PAUSE)
    return None


def _said(data: bytes) -> tuple[str, str]:
    """The message of a refusal's body, and its most exact word."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace"), ""
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or ""
        word = error.get("code") or error.get("type") or ""
        return str(message), str(word)
    return str(error), ""
