"""Requests to a gateway: kept connections, tokens, refusals as errors, and trying again where that changes nothing."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from .errors import AsyaError, Unavailable, refusal

# Answers of a gateway or proxy that has no time now, or nobody behind it.
BUSY = frozenset({429, 502, 503, 504})
FIRST_PAUSE = 0.1  # seconds before the second try; doubled for each that follows
LONGEST_PAUSE = 5.0
KEPT = 8  # idle connections; more threads than that make new ones
AGENT = "asya-client-py/0.1"
# What a connection that breaks raises; ssl.SSLError and timeouts are OSErrors.
BROKEN = (OSError, http.client.HTTPException)

Token = str | Callable[[], str] | None


class Backoff:
    """The pauses between tries, for at most `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self._pause = FIRST_PAUSE

    def again(self, least: float = 0.0) -> bool:
        """Waits, at least `least` seconds, and says whether another try may be made."""
        pause = max(self._pause * random.uniform(0.5, 1.0), least)
        if time.monotonic() + pause > self.until:
            return False
        time.sleep(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return True


def retry_after(value: str | None) -> float:
    """Seconds that an answer asks to wait; 0 if it says nothing that can be read."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return 0.0


class Answering:
    """An answer that is under way."""

    def __init__(
        self, connection: http.client.HTTPConnection, sock: socket.socket, answer: http.client.HTTPResponse
    ) -> None:
        self._connection = connection
        self._sock = sock
        self.answer = answer

    def patience(self, seconds: float) -> None:
        """How long each silence may be from now on."""
        self._sock.settimeout(seconds)

    def wake(self) -> None:
        """Ends it for a thread that reads; closing alone does nothing for that one."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Closes it; nobody may be reading."""
        self.answer.close()
        self._connection.close()


class Http:
    """A gateway at `url`. `timeout` bounds each silence of it in seconds, `retry_for` the time of all tries."""

    def __init__(
        self,
        url: str,
        token: Token = None,
        timeout: float = 30.0,
        retry_for: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a gateway: http://HOST:PORT")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the address of a gateway has no user, query or fragment; give the token as token=")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/").removesuffix("/api/v1") + "/api/v1"
        self._token = token
        self._tls = tls
        self.timeout = timeout
        self.retry_for = retry_for
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Closes the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def ask(
        self, method: str, path: str, body: Any = None, *, again: bool = True, wait: float = 0.0
    ) -> tuple[int, Any]:
        """Status and body. The answer may take `wait` seconds longer than the timeout.

        `again` says that the request may be made twice: it is tried again when the connection breaks or the gateway is
        busy. Raises `Refused` or one of its kinds.
        """
        data = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        backoff = Backoff(self.retry_for)
        tries = 0
        while True:
            tries += 1
            least = 0.0
            try:
                status, reason, said, content = self._once(method, path, data, headers, again, wait)
                if status < 300:
                    return status, self._parsed(content)
                error = refusal(status, reason, _or_none(content))
                error.tries = tries
                if status not in BUSY:
                    raise error
                least = retry_after(said.get("Retry-After"))
            except ConnectionRefusedError as refused:
                # Nobody has seen the request, whatever it is.
                error = self._away(refused)
                if not backoff.again():
                    raise error from refused
                continue
            except BROKEN as broken:
                error = self._away(broken)
                if not again or isinstance(broken, ssl.SSLCertVerificationError):
                    raise error from broken
            if not again or not backoff.again(least):
                raise error

    def _once(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], reuse: bool, wait: float
    ) -> tuple[int, str, http.client.HTTPMessage, bytes]:
        # A kept connection may have been closed by the other side: what may be sent only once gets a new one.
        connection = self._kept() if reuse else None
        connection = connection or self._new()
        try:
            if connection.sock is not None:
                connection.sock.settimeout(self.timeout + wait)
            else:
                connection.timeout = self.timeout + wait
            connection.request(method, self._base + path, data, self._common() | headers)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            self._keep(connection)
        return answer.status, answer.reason, answer.headers, content

    def open(self, path: str, headers: dict[str, str]) -> Answering:
        """An answer that is read as it comes. Tries once. Raises `Refused`, or what a broken connection raises."""
        connection = self._new()
        try:
            connection.connect()
            # Kept here: the connection forgets it when the other side means to close it after the answer.
            sock = connection.sock
            connection.request("GET", self._base + path, None, self._common() | headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise refusal(answer.status, answer.reason, _or_none(answer.read()))
        except BaseException:
            connection.close()
            raise
        return Answering(connection, sock, answer)

    def _common(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        known = {"Accept": "application/json", "User-Agent": AGENT}
        return known if not token else {**known, "Authorization": f"Bearer {token}"}

    def _new(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self.timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self.timeout)

    def _kept(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _away(self, error: BaseException) -> Unavailable:
        return Unavailable("unreachable", f"{self._host}:{self._port or ''}: {error or type(error).__name__}")

    def _parsed(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError as error:
            raise AsyaError(f"{self._host} does not answer as a gateway does") from error


def _or_none(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
