"""The one-shot protocol: whole envelopes in, a JSON array out. What existing sidecars speak."""

from __future__ import annotations

from typing import Any, cast

from . import contract, jsons
from .config import Config
from .errors import Unreadable, describe
from .results import Item

# What one-shot sidecars know; the finer code goes into the details.
CODES = {"msg_parsing_error": "msg_parsing_error", "connection_error": "connection_error"}


class OneShot:
    """Reads one message, and writes the answer to it, around a handler that is called in between."""

    def __init__(self, config: Config) -> None:
        self.envelope_mode = config.mode == "envelope"
        self.validate = config.validate

    def read(self, body: bytes) -> tuple[Any, bytes, bytes]:
        """The envelope, and the metadata and payload that a REQUEST would have had."""
        try:
            envelope = jsons.decode(body)
            if self.validate:
                envelope = contract.check(envelope)
            elif not isinstance(envelope, dict):
                raise ValueError("Envelope must be an object")
        except (ValueError, RecursionError) as error:
            raise Unreadable(str(error)) from error
        meta = {name: envelope[name] for name in ("id", "parent_id", "route", "headers", "deadline") if name in envelope}
        payload = envelope if self.envelope_mode else envelope.get("payload")
        return envelope, jsons.encode(meta), jsons.encode(payload)

    def answer(self, envelope: Any, items: list[Item]) -> bytes:
        """The array of items."""
        if self.envelope_mode:
            return b"[" + b",".join(payload for _, payload in items) + b"]"
        return b"[" + b",".join(self._item(envelope, meta, payload) for meta, payload in items) + b"]"

    def _item(self, envelope: Any, meta: bytes, payload: bytes) -> bytes:
        changed = cast("dict[str, Any]", jsons.decode(meta)) if meta else {}
        route = changed.get("route")
        if route is None:
            route = {**envelope["route"], "current": envelope["route"].get("current", 0) + 1}
        out = b'{"payload":' + payload + b',"route":' + jsons.encode(route)
        headers = changed.get("headers", envelope.get("headers"))
        if headers is not None:
            out += b',"headers":' + jsons.encode(headers)
        return out + b"}"

    @staticmethod
    def failure(error: BaseException) -> bytes:
        """The array with one error."""
        told = describe(error)
        if told.get("action") == "drop":
            # A one-shot sidecar cannot be told to drop: nothing to send on comes nearest.
            return b"[]"
        details = {name: told[name] for name in ("message", "type", "traceback", "mro", "code")}
        details.update({name: told[name] for name in ("action", "delay_ms") if name in told})
        return jsons.encode([{"error": CODES.get(told["code"], "processing_error"), "details": details}])
