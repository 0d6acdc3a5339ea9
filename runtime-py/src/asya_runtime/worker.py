"""A worker process: loads the handler, tells the supervisor, and serves its socket until it is retired."""

from __future__ import annotations

import ctypes
import json
import logging
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

from . import output
from .config import Config
from .config import load as load_config
from .loader import HandlerError, load

log = logging.getLogger("asya_runtime")

PR_SET_PDEATHSIG = 1
# One page that worker and supervisor share: id of the running request (0 = none), and a count of words sent on the
# line, so that a busy worker sees without a system call that there is something to read.
RUNNING, WORDS = 0, 8
EXIT_HANDLER = 1


class Line:
    """The worker's end of its line to the supervisor: JSON, one word a line, over a socket that both ends keep."""

    def __init__(self, descriptor: int, page: mmap.mmap) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(False)
        self.page = page
        self.seen = 0
        self.buffer = b""

    def say(self, **word: object) -> None:
        """Sends a word; the supervisor always reads."""
        self.socket.setblocking(True)
        self.socket.sendall(json.dumps(word).encode() + b"\n")
        self.socket.setblocking(False)

    def running(self, request: int) -> None:
        """Shows which request is being worked on."""
        struct.pack_into("<Q", self.page, RUNNING, request)

    def news(self) -> bool:
        """True when the supervisor has said something since the last call of `words`."""
        return bool(struct.unpack_from("<Q", self.page, WORDS)[0] != self.seen)

    def words(self) -> list[dict[str, object]]:
        """What the supervisor said. An empty read means that it is gone: then the worker goes too."""
        self.seen = struct.unpack_from("<Q", self.page, WORDS)[0]
        while True:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                break
            if not data:
                os._exit(0)
            self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines]


class Wear:
    """Whether a worker has done its share and should be replaced."""

    def __init__(self, config: Config) -> None:
        self.left = config.max_requests or -1
        self.max_rss_kb = config.max_rss_mb * 1024

    def done(self, count: int = 1) -> bool:
        """Counts requests; true when it is time to retire."""
        if self.left > 0:
            self.left = max(0, self.left - count)
        too_big = self.max_rss_kb and resident_kb() > self.max_rss_kb
        return self.left == 0 or bool(too_big)


def resident_kb() -> int:
    """Memory that this process has resident, in KiB; the peak where the present value cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * (resource.getpagesize() // 1024)
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when its supervisor dies; covers the death that came first."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def main(arguments: list[str]) -> None:
    """`--worker LINE PAGE LISTENER PARENT`: numbers of inherited descriptors, and the supervisor's process id."""
    line_fd, page_fd, listener_fd, parent = (int(argument) for argument in arguments)
    die_with_parent(parent)
    # The supervisor decides when a worker ends: an interrupt from the terminal goes to the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    page = mmap.mmap(page_fd, mmap.PAGESIZE)
    os.close(page_fd)
    line = Line(line_fd, page)
    listener = socket.socket(fileno=listener_fd)
    config = load_config()
    output.install(config.log_level)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        handler = load(config)
    except HandlerError as error:
        line.say(failed=str(error))
        sys.exit(EXIT_HANDLER)
    line.say(ready=True, kind="async" if handler.is_async else "sync")
    # Children of the handler must not keep the worker's socket open.
    for descriptor in (line_fd, listener_fd):
        os.set_inheritable(descriptor, False)
    if handler.is_async:
        from .worker_async import serve as serve_async

        serve_async(config, handler, listener, line)
    else:
        from .worker_sync import serve as serve_sync

        serve_sync(config, handler, listener, line)
