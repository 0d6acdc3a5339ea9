"""A worker as the supervisor sees it: its process, its channel, its output, and what it owes."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from time import monotonic

from . import worker
from .board import Board
from .channel import Channel
from .config import Config
from .log import MAX_LINE, MAX_TAG, Log

# Read at most this much of a worker's output in one turn, so that one that prints without end starves nobody.
_OUTPUT_PIECE = 256 * 1024


class Output:
    """One of a worker's two streams, cut into lines."""

    def __init__(self, descriptor: int, owner: int, name: str, log: Log) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._owner = owner
        self._name = name
        self._log = log
        # The beginning of the line that has not ended, and how much of it has been thrown away.
        self._partial = b""
        self._cut = 0

    def fileno(self) -> int:
        """For a selector."""
        return self.descriptor

    def read(self) -> bool:
        """Passes on what is there; False at the end."""
        try:
            data = os.read(self.descriptor, _OUTPUT_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            self._end_line()
        self._add(rest)
        return True

    def _add(self, data: bytes) -> None:
        room = MAX_LINE + MAX_TAG - len(self._partial)
        self._partial += data[:room]
        self._cut += max(0, len(data) - room)

    def _end_line(self) -> None:
        self._log.printed(self._owner, self._name, self._partial, self._cut)
        self._partial, self._cut = b"", 0

    def finish(self) -> None:
        """Reads what the worker left, and closes. A grandchild that holds the pipe is not waited for."""
        until = monotonic() + 0.2
        try:
            while monotonic() < until and select_readable(self.descriptor) and self.read():
                pass
        finally:
            if self._partial:
                self._end_line()
            os.close(self.descriptor)


def select_readable(descriptor: int) -> bool:
    """Whether a read of it returns at once."""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(0))


class Process:
    """A running worker."""

    def __init__(self, number: int, pid: int, channel: Channel, board: Board, outputs: tuple[Output, Output]) -> None:
        self.number = number
        self.pid = pid
        self.channel = channel
        self.board = board
        self.outputs = outputs
        self.started = monotonic()
        self.ready = False
        self.wants_retirement = False
        # Why we ended it; None while we did not.
        self.ending: str | None = None
        self.detail = ""
        # Connections of older sidecars that it answers now, by key, each with what was read of it before.
        self.one_shots: dict[int, tuple[socket.socket, bytes]] = {}
        # Those of them that nobody waits for any more, each with the time at which the worker is killed.
        self.hung_up: dict[int, float] = {}
        self.is_async = False
        # Sidecars that are connected to it.
        self.connections = 0
        # Cancelled requests that it has not ended yet, each with the time at which it is killed.
        self.cancelling: dict[int, float] = {}

    def kill(self, reason: str, detail: str = "") -> None:
        """Ends the whole process group at once."""
        if self.ending is None:
            self.ending, self.detail = reason, detail
        for target in (os.killpg, os.kill):
            try:
                target(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                # The group exists only once the child has made it, and as long as somebody is in it.
                pass


def spawn(config: Config, number: int, log: Log, max_reply: int, close_in_child: Callable[[], None]) -> Process:
    """Forks a worker."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    board = Board(config.batch_max)
    board.max_reply = max_reply
    pipes = [os.pipe(), os.pipe()]
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP):
                signal.signal(caught, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            ours.close()
            close_in_child()
            devnull = os.open(os.devnull, os.O_RDONLY)
            os.dup2(devnull, 0)
            os.dup2(pipes[0][1], 1)
            os.dup2(pipes[1][1], 2)
            for end in (devnull, *pipes[0], *pipes[1]):
                os.close(end)
            code = worker.main(config, number, Channel(theirs), board, parent)
        except SystemExit as end_of_process:
            code = end_of_process.code if isinstance(end_of_process.code, int) else 1
        finally:
            # The supervisor's own clean-up must never run here.
            os._exit(code)
    theirs.close()
    for _, write in pipes:
        os.close(write)
    outputs = (Output(pipes[0][0], number, "stdout", log), Output(pipes[1][0], number, "stderr", log))
    return Process(number, pid, Channel(ours), board, outputs)


def how_it_ended(status: int) -> str:
    """`signal 9` or `exit code 3`."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"
