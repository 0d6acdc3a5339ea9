"""Tags what a handler prints with the envelope it works on, on its way to the supervisor.

A tagged line is RS, the envelope's id, US, the text. Lines without a tag were written past Python.
"""

from __future__ import annotations

import io
import os
import sys

from .context import Context, current

TAG, END = "\x1e", "\x1f"
# A line that is longer is passed on in pieces, so that a worker never holds more; the supervisor cuts it.
_LONGEST = 8 * 1024
# An id is a UUID, perhaps with a suffix; what is longer, or has a line's end, would spoil the log.
_LONGEST_ID = 256


class Tagged(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr of a worker."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._partial = ""
        # The beginning of the line has been passed on already, with its tag.
        self._begun = False
        self.buffer = io.FileIO(descriptor, "w", closefd=False)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        partial = self._partial + text
        if "\n" not in text and len(partial) < _LONGEST:
            self._partial = partial
            return len(text)
        *lines, rest = partial.split("\n")
        tag = _tag()
        pieces = [f"{tag}{line}\n" for line in lines]
        if self._begun and pieces:
            pieces[0] = f"{lines[0]}\n"
            self._begun = False
        if len(rest) >= _LONGEST:
            pieces.append(rest if self._begun else tag + rest)
            self._begun = True
            rest = ""
        self._partial = rest
        self._emit("".join(pieces))
        return len(text)

    def flush(self) -> None:
        # A line is passed on when it ends: half of one could not be tagged.
        pass

    def finish(self) -> None:
        """Passes on a line that has not ended."""
        if self._partial or self._begun:
            self.write("\n")

    def _emit(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # The supervisor is gone; a handler's print is no reason to fail its message.
            pass


def _tag() -> str:
    found = current.get()
    first = found[0] if isinstance(found, tuple) and found else found
    if not isinstance(first, Context):
        return ""
    try:
        return f"{TAG}{' '.join(first.id[:_LONGEST_ID].splitlines())}{END}"
    except Exception:
        return ""


def install() -> None:
    """Replaces the two streams of this process."""
    sys.stdout = Tagged(1)
    sys.stderr = Tagged(2)


def finish() -> None:
    """Passes on what is left when the worker ends."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Tagged):
            stream.finish()
