"""The workers of a runtime: started, watched, cancelled, retired and replaced."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from time import monotonic

from . import channel as ch
from . import frames, oneshot
from .board import LOOK_CANCELS, LOOK_STOP
from .config import Config
from .hangups import HangUps, has_hung_up
from .log import Log
from .process import Process, how_it_ended, select_readable, spawn
from .worker import LOAD_FAILED

# An async handler may clean up for this long after its cancellation.
CANCEL_PATIENCE = 1.0
# A sync worker that has read the cancellation before the request began answers within this.
SYNC_PATIENCE = 0.01
# A worker that lives this long is no sign that its replacement will die too.
STABLE = 10.0
# While workers end, the pool looks again after this.
STOP_LOOK = 0.01
FIRST_BACKOFF, LAST_BACKOFF = 0.1, 30.0


class CannotStart(Exception):
    """A worker ended before all had loaded the handler."""


class Pool:
    """All workers. `tell` sends a frame to the sidecar; `watch` and `forget` keep the selector."""

    def __init__(
        self,
        config: Config,
        log: Log,
        tell: Callable[[bytes], None],
        watch: Callable[[Process], None],
        forget: Callable[[Process], None],
        close_in_child: Callable[[], None],
    ) -> None:
        self.config = config
        self.log = log
        self.tell = tell
        self.watch = watch
        self.forget = forget
        self.close_in_child = close_in_child
        self.workers: dict[int, Process] = {}
        self.one_shots: deque[tuple[socket.socket, bytes]] = deque()
        self.hangups = HangUps()
        self._last_key = 0
        self.max_reply = frames.MAX_FRAME
        self.started = False
        # What every worker said when it was ready; it holds while none is.
        self.is_async = False
        self.stopping = False
        self.last_one_shot: float | None = None
        self._last_number = 0
        self._failures = 0
        self._starts: list[float] = [0.0] * config.workers

    @property
    def ready(self) -> list[Process]:
        """Workers that have loaded the handler."""
        return [worker for worker in self.workers.values() if worker.ready]

    @property
    def busy(self) -> bool:
        """Whether a sidecar is connected to a worker, or an older one waits for an answer."""
        return bool(self.one_shots) or any(w.connections or w.one_shots for w in self.workers.values())

    def set_max_reply(self, size: int) -> None:
        """The largest frame body that the sidecar reads."""
        self.max_reply = size
        for worker in self.workers.values():
            worker.board.max_reply = size

    def turn(self) -> float | None:
        """Does what is due; returns the seconds until something is due again."""
        now = monotonic()
        for due in [start for start in self._starts if start <= now]:
            self._starts.remove(due)
            self._start()
        for worker in list(self.workers.values()):
            for request, until in list(worker.cancelling.items()):
                if until > now:
                    continue
                del worker.cancelling[request]
                if worker.is_async or worker.board.runs(request):
                    worker.kill("killed", "the request did not end when it was cancelled")
            if worker.hung_up and min(worker.hung_up.values()) <= now:
                worker.hung_up.clear()
                worker.kill("killed", "the sidecar hung up")
        self._retire()
        self._hand_out()
        times = list(self._starts)
        for worker in self.workers.values():
            times += [*worker.cancelling.values(), *worker.hung_up.values()]
        return max(0.0, min(times) - monotonic()) if times else None

    def _start(self) -> None:
        self._last_number += 1
        worker = spawn(self.config, self._last_number, self.log, self.max_reply, self.close_in_child)
        self.workers[worker.number] = worker
        self.watch(worker)
        self.log.say("debug", "worker started", worker=worker.number, pid=worker.pid)

    def hear(self, worker: Process) -> bool:
        """Reads one message of a worker; False when its channel has ended."""
        message = worker.channel.receive()
        if message is None:
            return False
        kind, number, _ = message
        if kind == ch.READY:
            worker.ready = True
            worker.is_async = self.is_async = number == 1
            if self.started:
                self.tell(frames.document(frames.WORKER_READY, 0, self.describe(worker)))
        elif kind == ch.RETIRE:
            worker.wants_retirement = True
        elif kind == ch.CANCELLED:
            worker.cancelling.pop(number, None)
        elif kind == ch.CONNECTIONS:
            worker.connections = number
        elif kind == ch.ONE_SHOT_DONE and number in worker.one_shots:
            connection, _ = worker.one_shots.pop(number)
            worker.hung_up.pop(number, None)
            self.hangups.forget(connection)
            connection.close()
            self.last_one_shot = monotonic()
        return True

    def describe(self, worker: Process) -> dict[str, object]:
        """The worker object of the protocol."""
        socket_name = self.config.worker_socket(worker.number).name
        return {"id": worker.number, "pid": worker.pid, "socket": socket_name}

    def cancel(self, number: int, request: int) -> None:
        """CANCEL: the request is to end."""
        worker = self.workers.get(number)
        if worker is None or not worker.ready:
            return
        worker.channel.send(ch.CANCEL, request)
        worker.board.flags |= LOOK_CANCELS
        patience = CANCEL_PATIENCE if worker.is_async else SYNC_PATIENCE
        worker.cancelling[request] = monotonic() + patience

    def kill(self, number: int) -> None:
        """KILL: the worker is to end."""
        if (worker := self.workers.get(number)) is not None:
            worker.kill("killed", "at the sidecar's word")

    def _retire(self) -> None:
        # One at a time, and only while the others work: a handler may take minutes to load.
        for worker in self.workers.values():
            others = len(self.ready) - 1
            if worker.wants_retirement and worker.ending is None and others >= self.config.workers - 1:
                worker.ending, worker.detail = "retired", "recycled"
                worker.channel.send(ch.STOP)
                worker.board.flags |= LOOK_STOP
                return

    def _hand_out(self) -> None:
        while self.one_shots:
            places = self.config.concurrency if self.is_async else 1
            free = [w for w in self.ready if len(w.one_shots) < places and w.ending is None]
            if not free:
                return
            worker = min(free, key=lambda each: len(each.one_shots))
            connection, peeked = self.one_shots.popleft()
            if has_hung_up(connection):
                connection.close()
                continue
            self._last_key = key = (self._last_key + 1) % ch.KEYS
            worker.one_shots[key] = connection, peeked
            self.hangups.watch(connection, (worker, key))
            # If it is gone already, its exit puts the connection back or answers it.
            worker.channel.send_connection(connection, peeked, key)

    def hear_hang_ups(self) -> None:
        """Ends the messages whose sidecars have hung up; those that have just been answered end by themselves."""
        for worker, key in self.hangups.news():
            if key in worker.one_shots:
                worker.hung_up[key] = monotonic() + CANCEL_PATIENCE
                worker.channel.send(ch.HUNG_UP, key)

    def reap(self) -> None:
        """Collects processes that have ended. Raises CannotStart."""
        while True:
            try:
                # Looked at before it is collected: its group cannot be anybody else's until then.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            worker = next((w for w in self.workers.values() if w.pid == found.si_pid), None)
            if worker is not None:
                try:
                    os.killpg(worker.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            _, status = os.waitpid(found.si_pid, 0)
            if worker is not None:
                self._ended(worker, status)

    def _ended(self, worker: Process, status: int) -> None:
        while select_readable(worker.channel.fileno()) and self.hear(worker):
            pass
        self.forget(worker)
        for output in worker.outputs:
            output.finish()
        worker.channel.sock.close()
        del self.workers[worker.number]
        try:
            self.config.worker_socket(worker.number).unlink()
        except OSError:
            # It never listened.
            pass
        how = how_it_ended(status)
        reason, detail = worker.ending or "died", worker.detail or how
        if reason == "retired" and status != 0:
            reason, detail = "died", how
        self._settle_one_shots(worker, reason, detail)
        if not worker.ready:
            failed = os.WIFEXITED(status) and os.WEXITSTATUS(status) == LOAD_FAILED
            what = "cannot load the handler" if failed else f"ended while it loaded the handler: {how}"
            if self.stopping:
                return
            if not self.started:
                raise CannotStart(f"worker {worker.number} {what}")
            self.log.say("error", f"worker {what}; it is tried again", worker=worker.number)
        else:
            self.log.say("warning" if reason == "died" else "info", f"worker {reason}: {detail}", worker=worker.number)
            news = {"worker": worker.number, "reason": reason, "detail": detail}
            self.tell(frames.document(frames.WORKER_EXITED, 0, news))
        self._starts.append(monotonic() + self._backoff(worker, reason))

    def _settle_one_shots(self, worker: Process, reason: str, detail: str) -> None:
        for connection, peeked in reversed(worker.one_shots.values()):
            self.hangups.forget(connection)
            if reason == "retired":
                # It finishes what it has begun: this one it has never read.
                self.one_shots.appendleft((connection, peeked))
                continue
            connection.setblocking(False)
            oneshot.reply(connection, oneshot.worker_died(detail))
            self.last_one_shot = monotonic()
        worker.one_shots.clear()

    def _backoff(self, worker: Process, reason: str) -> float:
        lived = monotonic() - worker.started
        if worker.ready and (reason != "died" or lived > STABLE):
            self._failures = 0
            return 0.0
        self._failures += 1
        return min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 20))

    def stop(self, seconds: float) -> None:
        """Lets workers end by themselves, and kills what has not after so many seconds."""
        self.stopping = True
        self._starts.clear()
        for worker in self.workers.values():
            if worker.ending is None:
                worker.ending, worker.detail = "retired", "the runtime stops"
            worker.channel.send(ch.STOP)
            worker.board.flags |= LOOK_STOP
        until = monotonic() + seconds
        while self.workers:
            if monotonic() >= until:
                for worker in self.workers.values():
                    worker.kill("killed")
            self.reap()
            self._starts.clear()
            for worker in self.workers.values():
                for output in worker.outputs:
                    output.read()
            self.log.write()
            time.sleep(STOP_LOOK)
