"""The client: what all of them can, and which one an address means."""

from __future__ import annotations

import ssl
import urllib.parse
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import Unsupported
from .http import Token
from .records import Envelope, Tool

if TYPE_CHECKING:
    from .stream import Stream

Route = str | Sequence[str]


class Client(ABC):
    """Sends envelopes; with a gateway also calls tools and follows what was sent. Threads may share one."""

    @staticmethod
    def from_url(
        url: str,
        *,
        token: Token = None,
        timeout: float = 30.0,
        retry_for: float = 30.0,
        tls: ssl.SSLContext | None = None,
        namespace: str | None = None,
        queue_template: str | None = None,
        exchange: str = "asya",
    ) -> Client:
        """The client for an address:

        - `http://…`, `https://…`: a gateway. `token` is shown to it: a text, or a function that is asked each time.
        - `amqp://USER:PASSWORD@HOST:PORT/VHOST`, `amqps://…`, `rabbitmq://…`: RabbitMQ; needs the extra `rabbitmq`.
        - `sqs://REGION`, `sqs://HOST:PORT?region=REGION`, `sqs://`: SQS; needs the extra `sqs`.

        `timeout` bounds each silence of the other side in seconds, `retry_for` all tries of one request. Queues are
        named `asya-{actor}`, or `asya-{namespace}-{actor}` where there is a namespace, unless `queue_template` says
        otherwise. Raises ValueError for other addresses; connects when it is used first.
        """
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme in ("http", "https"):
            from .gateway import GatewayClient

            return GatewayClient(url, token=token, timeout=timeout, retry_for=retry_for, tls=tls)
        template = queue_template or ("asya-{namespace}-{actor}" if namespace else "asya-{actor}")
        if scheme in ("amqp", "amqps", "rabbitmq", "rabbitmqs"):
            from .rabbitmq import RabbitMqClient

            return RabbitMqClient(
                url, template, namespace, exchange=exchange, timeout=timeout, retry_for=retry_for, tls=tls
            )
        if scheme == "sqs":
            from .sqs import SqsClient

            return SqsClient(url, template, namespace, timeout=timeout, retry_for=retry_for)
        raise ValueError(f"{url!r} begins with none of http://, https://, amqp://, amqps://, rabbitmq://, sqs://")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Closes its connections; used again it makes new ones."""

    @abstractmethod
    def send(
        self,
        route: Route,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Sends `payload` along `route`, a list of actors or a text with commas, and returns the envelope's id.

        `id` makes sending safe to repeat by you as well: a gateway answers the same content with the same id, and
        raises `Conflict` for another one. `timeout` is the envelope's lifetime in seconds.
        """

    def call(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Calls a tool, waits for its end and returns the result. Arguments are given by name, or as a mapping.

        Raises `Failed`, `Invalid` with the arguments that are wrong, and the other kinds of `AsyaError`. `tool()` has
        the settings: an id of your own, how long is waited.
        """
        return self.tool(tool).call(arguments, **named)

    def start(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> str:
        """Calls a tool and returns the id of its envelope at once."""
        return self.tool(tool).start(arguments, **named)

    def tool(self, name: str, *, id: str | None = None, timeout: float | None = None) -> Calling:
        """A tool to be called: under the id `id`, waiting for at most `timeout` seconds."""
        return Calling(self, name, id, timeout)

    def tools(self) -> list[Tool]:
        """What can be called."""
        raise _needs_gateway()

    def get(self, id: str) -> Envelope:
        """The record of an envelope as it is now."""
        raise _needs_gateway()

    def wait(self, id: str, timeout: float | None = None) -> Envelope:
        """The record of an envelope once it has ended well.

        Raises `Failed` when it ended badly, `StillRunning` after `timeout` seconds.
        """
        raise _needs_gateway()

    def result(self, id: str, timeout: float | None = None) -> Any:
        """Waits as `wait` does and returns what came out. Raises `Denied` for who may not see it."""
        raise _needs_gateway()

    def stream(self, id: str, *, after: int | None = None, timeout: float | None = None) -> Stream:
        """What has happened to an envelope, behind update number `after`, and what happens, up to its end."""
        raise _needs_gateway()

    def cancel(self, id: str, reason: str | None = None) -> list[str]:
        """Cancels an envelope and those made from it; returns the ids that were. Raises `Conflict` if it has ended."""
        raise _needs_gateway()

    def resubmit(self, id: str, *, payload: Any = ..., route: Route | None = None) -> str:
        """Sends an envelope again as a new one, with another payload or route if they are given; returns its id.

        Not repeated by itself: `Unavailable` may mean that it was done.
        """
        raise _needs_gateway()

    def _call(self, name: str, arguments: dict[str, Any], id: str, timeout: float | None) -> Any:
        raise _needs_gateway()

    def _start(self, name: str, arguments: dict[str, Any], id: str) -> str:
        raise _needs_gateway()


class Calling:
    """A tool and how it is called."""

    def __init__(self, client: Client, name: str, id: str | None, timeout: float | None) -> None:
        self._client = client
        self._name = name
        self._id = id
        self._timeout = timeout

    def call(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """As `Client.call`."""
        return self._client._call(self._name, {**(arguments or {}), **named}, self._id or new_id(), self._timeout)

    def start(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> str:
        """As `Client.start`."""
        return self._client._start(self._name, {**(arguments or {}), **named}, self._id or new_id())


def new_id() -> str:
    """An id that nobody else has."""
    return str(uuid.uuid4())


def actors(route: Route) -> list[str]:
    """The names of a route. Raises ValueError if there is none."""
    names = [it.strip() for it in route.split(",")] if isinstance(route, str) else list(route)
    if not names or not all(isinstance(it, str) and it for it in names):
        raise ValueError("a route names at least one actor, and no name is empty")
    return names


def _needs_gateway() -> Unsupported:
    return Unsupported("a broker takes envelopes and tells nothing back; give the address of a gateway")
