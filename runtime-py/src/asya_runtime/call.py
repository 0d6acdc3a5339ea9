"""From the bytes of a request to the handler's argument, and from its result to the bytes of a reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import envelopes, jsondialect
from .config import Config
from .context import Context
from .errors import BadRequest, BadResult
from .loader import Loaded
from .results import split

# Everything that decoding or encoding foreign data may raise.
_DATA_ERRORS = (ValueError, TypeError, RecursionError, OverflowError, KeyError, IndexError, AttributeError)


@dataclass
class OneShot:
    """One message of an older sidecar, read."""

    argument: Any
    context: Context
    envelope: dict[str, Any]


class Callee:
    """A handler with the dialect and the rules of its mode."""

    def __init__(self, loaded: Loaded, config: Config) -> None:
        self.call = loaded.call
        self.build = loaded.build
        self.loads, self.dumps = jsondialect.dialect(config.json)
        self.is_envelope = config.mode == "envelope"
        self.validation = config.validation
        self.single = config.single_result

    def argument(self, payload: bytes) -> Any:
        """The handler's argument. Raises BadRequest, PayloadError."""
        try:
            value = self.loads(payload)
            if self.is_envelope and self.validation:
                value = envelopes.check(value)
        except _DATA_ERRORS as error:
            raise BadRequest from error
        return value if self.build is None or self.is_envelope else self.build(value, "$")

    def before(self, argument: Any) -> dict[str, Any] | None:
        """What output envelopes are checked against: the route before the handler can change it in place."""
        if not (self.is_envelope and self.validation):
            return None
        route = argument["route"]
        return {"actors": list(route["actors"]), "current": route["current"]}

    def payload(self, value: Any, before: dict[str, Any] | None = None) -> bytes:
        """One item, encoded. Raises BadResult."""
        try:
            if before is not None:
                value = envelopes.check_output(value, before)
            return self.dumps(value)
        except _DATA_ERRORS as error:
            where = jsondialect.offender(value)
            message = f"result cannot be sent: {error}" + (f" at {where}" if where else "")
            raise BadResult(str(error) if before is not None and where is None else message) from error

    def meta(self, context: Context) -> bytes:
        """What the handler changed of route and headers; empty when nothing."""
        if self.is_envelope:
            return b""
        changes = context.changes()
        return b"" if changes is None else self.payload(changes)

    def items(
        self, value: Any, context: Context, before: dict[str, Any] | None, single: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """All items of a returned value."""
        meta = self.meta(context)
        return [(meta, self.payload(each, before)) for each in split(value, single or self.single)]

    def read_one_shot(self, body: bytes) -> OneShot:
        """Reads a whole envelope. Raises BadRequest, PayloadError."""
        try:
            # An older sidecar's message is read by the library's rules in either dialect's place.
            envelope = self.loads(body)
            if self.validation:
                envelope = envelopes.check(envelope)
            elif not self.is_envelope:
                envelope["payload"], envelope["route"]["actors"]
        except _DATA_ERRORS as error:
            raise BadRequest from error
        context = Context(envelope if isinstance(envelope, dict) else {})
        argument = envelope
        if not self.is_envelope:
            argument = envelope["payload"]
            if self.build is not None:
                argument = self.build(argument, "$")
        return OneShot(argument, context, envelope)

    def one_shot_reply(self, values: Sequence[Any], shot: OneShot, before: dict[str, Any] | None) -> bytes:
        """The array of items. Raises BadResult."""
        if self.is_envelope:
            return b"[" + b",".join(self.payload(value, before) for value in values) + b"]"
        changes = shot.context.changes() or {}
        route = shot.envelope["route"]
        rest: dict[str, Any] = {"route": changes.get("route") or {**route, "current": route.get("current", 0) + 1}}
        if "headers" in changes or "headers" in shot.envelope:
            rest["headers"] = changes.get("headers", shot.envelope.get("headers"))
        tail = b"," + self.payload(rest)[1:]
        return b"[" + b",".join(b'{"payload":' + self.payload(value) + tail for value in values) + b"]"
