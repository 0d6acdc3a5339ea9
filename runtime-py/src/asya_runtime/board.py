"""A page of memory that supervisor and worker share: what the worker runs, and what it must look at.

Written without locks: each field has one writer, and a flag is only a reason to look, never the news itself.
"""

from __future__ import annotations

import mmap

from .frames import MAX_FRAME

# Offset 0: a REQUEST's type and id, as in its frame, while it runs; all zero when nothing does.
# Offset 12: number of further ids of the running batch, which follow from _IDS on.
_COUNT = slice(12, 16)
_FLAGS = 16
_MAX_REPLY = slice(24, 32)
_IDS = 64

LOOK_CANCELS = 1
LOOK_STOP = 2


class Board:
    """One worker's page. It is inherited by fork."""

    def __init__(self, batch_max: int = 1) -> None:
        self.memory = mmap.mmap(-1, _IDS + 8 * batch_max)
        self.max_reply = MAX_FRAME

    @property
    def flags(self) -> int:
        """Reasons to look at the control channel. Set by the supervisor, cleared by the worker."""
        return self.memory[_FLAGS]

    @flags.setter
    def flags(self, value: int) -> None:
        self.memory[_FLAGS] = value

    @property
    def max_reply(self) -> int:
        """Largest frame body that the sidecar reads."""
        return int.from_bytes(self.memory[_MAX_REPLY], "big")

    @max_reply.setter
    def max_reply(self, value: int) -> None:
        self.memory[_MAX_REPLY] = min(value, 2**32 - 1).to_bytes(8, "big")

    def begin_batch(self, ids: list[int]) -> None:
        """These requests run now, in one call."""
        self.memory[_IDS : _IDS + 8 * len(ids)] = b"".join(i.to_bytes(8, "big") for i in ids)
        self.memory[_COUNT] = len(ids).to_bytes(4, "big")

    def end_batch(self) -> None:
        """Nothing runs now."""
        self.memory[_COUNT] = bytes(4)

    def runs(self, request: int) -> bool:
        """Whether this request has begun and has not ended."""
        wanted = request.to_bytes(8, "big")
        if self.memory[0] and self.memory[1:9] == wanted:
            return True
        count = int.from_bytes(self.memory[_COUNT], "big")
        return any(self.memory[_IDS + 8 * i : _IDS + 8 * i + 8] == wanted for i in range(count))
