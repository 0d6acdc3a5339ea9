"""Lines that a handler prints, marked with the envelope that it was working on."""

from __future__ import annotations

import io
import logging
import sys
from typing import TextIO

from .context import context


class Tagged(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr: each line begins with the envelope's id while a handler runs."""

    def __init__(self, under: TextIO) -> None:
        self.under = under
        self.at_start = True

    def write(self, text: str) -> int:
        """Writes through, line by line."""
        tag = ""
        try:
            tag = f"[{context().id}] "
        except RuntimeError:
            pass
        for line in text.splitlines(keepends=True):
            self.under.write(tag + line if tag and self.at_start else line)
            self.at_start = line.endswith("\n")
        if self.at_start:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Passes on what is buffered. A log that nobody reads any more must not fail the handler."""
        try:
            self.under.flush()
        except (BrokenPipeError, ValueError):
            pass

    def fileno(self) -> int:
        """The descriptor underneath, for those who write to it directly."""
        return self.under.fileno()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self.under.isatty()

    def writable(self) -> bool:
        """Always."""
        return True


def install(level: str) -> None:
    """Tags what handlers print, and sends the log to standard error."""
    sys.stdout = Tagged(sys.stdout)
    sys.stderr = Tagged(sys.stderr)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
