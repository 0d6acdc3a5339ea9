"""Sending to SQS queues, by boto3."""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

from .brokers import envelope, queue
from .client import Client, Route
from .errors import Denied, NotFound, Refused, TooLarge, Unavailable, Unconfirmed
from .http import Backoff

try:
    import boto3
    from botocore import exceptions
    from botocore.config import Config
except ImportError as missing:
    raise ImportError("SQS needs boto3: pip install 'asya-client[sqs]'") from missing

# Nothing was taken: the request did not reach a service, or it says so.
BEFORE = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError)
THROTTLED = ("Throttl", "RequestThrottled", "TooManyRequests", "ServiceUnavailable")


class SqsClient(Client):
    """Sends to SQS, or to a server that speaks like it. Credentials come from the standard chain."""

    def __init__(
        self,
        url: str,
        template: str,
        namespace: str | None = None,
        *,
        timeout: float = 30.0,
        retry_for: float = 30.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        asked = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path.strip("/") or set(asked) - {"region"}:
            raise ValueError(f"{url!r} is no address of SQS: sqs://REGION or sqs://HOST:PORT?region=REGION")
        place: dict[str, Any] = {}
        if parts.port is not None:
            place["endpoint_url"] = f"http://{parts.netloc}"
        elif parts.netloc:
            place["region_name"] = parts.netloc
        if "region" in asked:
            place["region_name"] = asked["region"]
        # Tried again by us alone, who know what may have been taken.
        settings = Config(connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1})
        self._sqs = boto3.client("sqs", config=settings, **place)
        self._template = template
        self._namespace = namespace
        self._retry_for = retry_for
        self._urls: dict[str, str] = {}
        self._lock = threading.Lock()
        queue(template, namespace, "any")

    def close(self) -> None:
        self._sqs.close()

    def send(
        self,
        route: Route,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """As `Client.send`. Raises `NotFound` when the first actor has no queue, `Unconfirmed` when the connection
        broke before the service answered."""
        id, actor, message = envelope(route, payload, headers, id, timeout)
        name = queue(self._template, self._namespace, actor)
        url = self._url(name)
        self._tried(name, id, lambda: self._sqs.send_message(QueueUrl=url, MessageBody=message.decode()))
        return id

    def _url(self, name: str) -> str:
        with self._lock:
            known = self._urls.get(name)
        if known is None:
            known = str(self._tried(name, None, lambda: self._sqs.get_queue_url(QueueName=name))["QueueUrl"])
            with self._lock:
                self._urls[name] = known
        return known

    def _tried(self, name: str, id: str | None, does: Any) -> Any:
        """Does it, again while it cannot have been done. `id` is what may have been sent; None when asking only."""
        backoff = Backoff(self._retry_for)
        while True:
            try:
                return does()
            except exceptions.ClientError as error:
                refused = _refusal(name, error)
                if isinstance(refused, NotFound):
                    with self._lock:
                        self._urls.pop(name, None)
                if not isinstance(refused, Unavailable) or not backoff.again():
                    raise refused from error
            except BEFORE as error:
                if not backoff.again():
                    raise Unavailable("unreachable", str(error)) from error
            except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
                if id is not None:
                    raise Unconfirmed(id, str(error)) from error
                if not backoff.again():
                    raise Unavailable("unreachable", str(error)) from error
            except exceptions.BotoCoreError as error:
                raise Refused("sqs", str(error)) from error


def _refusal(name: str, error: Any) -> Refused:
    said = error.response.get("Error", {})
    code, detail = str(said.get("Code", "")), str(said.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if "NonExistentQueue" in code or "QueueDoesNotExist" in code:
        return NotFound("not_found", f"there is no queue {name}", status)
    if "TooLong" in code or "MessageTooLong" in detail or "must be shorter than" in detail:
        return TooLarge("too_large", detail, status)
    if "AccessDenied" in code:
        return Denied("denied", detail, status)
    if any(it in code for it in THROTTLED):
        return Unavailable("unavailable", detail, status)
    return Refused(code or "sqs", detail, status)
