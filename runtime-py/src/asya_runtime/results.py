"""From what a handler returned to the items that are sent on."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from . import contract, jsons
from .config import Config
from .context import Context
from .errors import InvalidResult

log = logging.getLogger("asya_runtime")

Item = tuple[bytes, bytes]
# A list fans out into an envelope per element; a list of this many plain values is rather one value.
SUSPICIOUS = 100


class Results:
    """Makes items of results, the same way for every kind of handler."""

    def __init__(self, config: Config, encode: jsons.Encode) -> None:
        self.envelope_mode = config.mode == "envelope"
        self.validate = config.validate
        self.single = config.single
        self.encode = encode
        self.warned = False

    def items(self, result: Any, context: Context, original: Any) -> list[Item]:
        """All items of a plain return: none for None, one per element of a list, else one."""
        if result is None:
            return []
        if isinstance(result, list | tuple) and not self.single:
            if len(result) > SUSPICIOUS and not self.warned and isinstance(result[0], int | float | str):
                self.warned = True
                log.warning(
                    "a list of %d plain values fans out into as many envelopes; if it is one value (an embedding), "
                    "set ASYA_RESULT=single or return it inside an object",
                    len(result),
                )
            return [self.item(part, context, original) for part in result]
        return [self.item(result, context, original)]

    def item(self, value: Any, context: Context, original: Any) -> Item:
        """One item."""
        if inspect.iscoroutine(value) or inspect.isgenerator(value) or inspect.isasyncgen(value):
            kind = type(value).__name__
            value.close() if hasattr(value, "close") else None
            raise InvalidResult(f"the handler returned a {kind}: declare it `async def`, or with `yield`, itself")
        if not self.envelope_mode:
            return context.item_meta(), self.encode(value)
        if self.validate:
            route = original["route"]
            try:
                value = contract.check_output(value, route["actors"], route.get("current", 0))
            except ValueError as error:
                raise InvalidResult(f"the handler returned an invalid envelope: {error}") from error
        elif not isinstance(value, dict):
            raise InvalidResult(f"the handler returned {type(value).__name__}, not an envelope")
        return b"", self.encode(value)
