"""Publishing on RabbitMQ, by pika: persistent, mandatory, confirmed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from typing import Any

from .brokers import envelope, queue
from .client import Client, Route
from .errors import Denied, NotFound, Refused, Unauthenticated, Unavailable, Unconfirmed
from .http import Backoff

try:
    import pika
    import pika.exceptions
except ImportError as missing:
    raise ImportError("RabbitMQ needs pika: pip install 'asya-client[rabbitmq]'") from missing

PREFIX = "asya-"
# What no further try changes.
AUTHENTICATION = (pika.exceptions.AuthenticationError, pika.exceptions.ProbableAuthenticationError)
WRONG = (*AUTHENTICATION, pika.exceptions.ProbableAccessDeniedError, pika.exceptions.IncompatibleProtocolError)


class RabbitMqClient(Client):
    """Publishes on the exchange of a RabbitMQ transport. One connection, which threads take in turns."""

    def __init__(
        self,
        url: str,
        template: str,
        namespace: str | None = None,
        *,
        exchange: str = "asya",
        timeout: float = 30.0,
        retry_for: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        scheme, _, rest = url.partition("://")
        self._parameters = pika.URLParameters(f"{scheme.replace('rabbitmq', 'amqp')}://{rest}")
        # One try of ours is one of its; how long each may take is told by `timeout`.
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = self._parameters.stack_timeout = timeout
        self._parameters.blocked_connection_timeout = timeout
        if tls is not None:
            self._parameters.ssl_options = pika.SSLOptions(tls, self._parameters.host)
        self._template = template
        self._namespace = namespace
        self._exchange = exchange
        self._retry_for = retry_for
        self._lock = threading.Lock()
        self._connection: Any = None
        self._channel: Any = None
        queue(template, namespace, "any")

    def close(self) -> None:
        with self._lock:
            self._forget()

    def send(
        self,
        route: Route,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """As `Client.send`. Raises `NotFound` when the first actor has no queue, `Unconfirmed` when the connection
        broke before the broker confirmed."""
        id, actor, message = envelope(route, payload, headers, id, timeout)
        key = queue(self._template, self._namespace, actor).removeprefix(PREFIX)
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        with self._lock:
            channel = self._opened()
            try:
                channel.basic_publish(self._exchange, key, message, properties, mandatory=True)
            except pika.exceptions.UnroutableError as error:
                raise NotFound("not_found", f"no queue has the key {key} on exchange {self._exchange}") from error
            except pika.exceptions.NackError as error:
                raise Unavailable("unavailable", "the broker did not take it") from error
            except pika.exceptions.ChannelClosedByBroker as error:
                self._forget()
                kind = {403: Denied, 404: NotFound}.get(error.reply_code, Refused)
                raise kind(f"amqp_{error.reply_code}", error.reply_text) from error
            except (pika.exceptions.AMQPError, OSError) as error:
                self._forget()
                raise Unconfirmed(id, _told(error)) from error
            except BaseException:
                # Interrupted in the middle: what comes next on this channel would be misunderstood.
                self._forget()
                raise
        return id

    def _opened(self) -> Any:
        """A channel. A connection that was closed while nothing was sent is found here, when nothing is lost yet."""
        if self._channel is not None:
            try:
                self._connection.process_data_events(0)
            except (pika.exceptions.AMQPError, OSError):
                pass
            if self._channel.is_open:
                return self._channel
            self._forget()
        backoff = Backoff(self._retry_for)
        while True:
            try:
                self._connection = pika.BlockingConnection(self._parameters)
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
                return self._channel
            except WRONG as error:
                self._forget()
                kind = Unauthenticated if isinstance(error, AUTHENTICATION) else Denied
                raise kind(kind.__name__.lower(), _told(error)) from error
            except (pika.exceptions.AMQPError, OSError) as error:
                self._forget()
                if not backoff.again():
                    raise Unavailable("unreachable", _told(error)) from error

    def _forget(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except (pika.exceptions.AMQPError, OSError):
                pass


def _told(error: BaseException) -> str:
    return str(error) or repr(error)
