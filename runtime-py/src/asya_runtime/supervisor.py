"""Owns the socket and the workers. One thread, one selector; it never imports the handler, never waits for it."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from time import monotonic
from typing import Any

from . import __version__, frames, oneshot
from .clients import Control, Newcomer
from .config import Config
from .errors import BadRequest, ProtocolError
from .log import Log
from .pool import CannotStart, Pool
from .process import Output, Process

# The runtime is gone this long before the grace period's end, when the kubelet kills.
BEFORE_THE_END = 2.0
# An older sidecar opens a connection for each message: between two of them nothing is open.
ONE_SHOT_LINGER = 1.0
# While a reader of our log is slow, it is looked at again after this.
LOG_LOOK = 0.01


class Supervisor:
    """Runs until SIGTERM or SIGINT."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.log = Log(config.log_format, config.log_level)
        self.selector = selectors.DefaultSelector()
        self.pool = Pool(config, self.log, self._tell, self._watch, self._forget, self._close_in_child)
        self.listener: socket.socket | None = None
        self.newcomers: set[Newcomer] = set()
        self.controls: set[Control] = set()
        self.terminated: float | None = None
        self.at_once = False
        self.wake, self.woken = socket.socketpair()
        if self.pool.hangups.watched is not None:
            self.selector.register(self.pool.hangups.watched, selectors.EVENT_READ, self.pool.hangups)

    def run(self) -> int:
        """Serves; returns the exit code."""
        self._catch_signals()
        code = 0
        try:
            self._clean_directory()
            while not self._finished():
                self._turn()
        except CannotStart as error:
            self.log.say("error", str(error), handler=self.config.handler)
            code = 1
        except OSError as error:
            self.log.say("error", f"the runtime cannot serve: {error}")
            code = 1
        finally:
            self._close()
        return code

    def _turn(self) -> None:
        due = self.pool.turn()
        if not self.pool.started and len(self.pool.ready) == self.config.workers:
            self._listen()
        waits = [] if due is None else [due]
        if self.log.waiting:
            self.log.write()
            waits += [LOG_LOOK] if self.log.waiting else []
        if self.terminated is not None:
            waits.append(0.05)
        for control in self.controls:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if control.waiting else 0)
            self.selector.modify(control.sock, events, control)
        for key, mask in self.selector.select(min(waits) if waits else None):
            self._event(key.data, mask)
        self.pool.reap()

    def _event(self, source: Any, mask: int) -> None:
        if isinstance(source, Output):
            if not source.read():
                self._unregister(source)
        elif isinstance(source, Process):
            if source.number in self.pool.workers and not self.pool.hear(source):
                self._unregister(source.channel)
        elif isinstance(source, Control):
            self._control(source, mask)
        elif isinstance(source, Newcomer):
            self._newcomer(source)
        elif source is self.pool.hangups:
            self.pool.hear_hang_ups()
        elif source is self.woken:
            self.woken.recv(4096)
        else:
            self._accept()

    def _catch_signals(self) -> None:
        for end in (self.wake, self.woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self.wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, self._terminate)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self.selector.register(self.woken, selectors.EVENT_READ, self.woken)

    def _terminate(self, *_: Any) -> None:
        self.at_once = self.terminated is not None
        self.terminated = self.terminated or monotonic()

    def _finished(self) -> bool:
        if self.terminated is None:
            return False
        if self.at_once or not self.pool.started:
            return True
        waited = monotonic() - self.terminated
        if waited >= max(0.0, self.config.grace - BEFORE_THE_END):
            return True
        if self.controls or self.newcomers or self.pool.busy:
            return False
        last = self.pool.last_one_shot
        return last is None or monotonic() - max(last, self.terminated) >= ONE_SHOT_LINGER

    def _clean_directory(self) -> None:
        directory = self.config.directory
        directory.mkdir(parents=True, exist_ok=True)
        for stale in (self.config.ready, self.config.socket, *directory.glob("asya-w*.sock")):
            stale.unlink(missing_ok=True)

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.config.socket))
        if self.config.chmod is not None:
            os.chmod(self.config.socket, self.config.chmod)
        listener.listen(128)
        listener.setblocking(False)
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ, listener)
        self.pool.started = True
        self.config.ready.write_text("ready")
        self.log.say("info", "ready", handler=self.config.handler, workers=self.config.workers)

    def _accept(self) -> None:
        assert self.listener is not None
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        newcomer = Newcomer(sock)
        self.newcomers.add(newcomer)
        self.selector.register(sock, selectors.EVENT_READ, newcomer)

    def _newcomer(self, newcomer: Newcomer) -> None:
        what = newcomer.read()
        if what is None:
            return
        self.newcomers.discard(newcomer)
        self._unregister(newcomer.sock)
        sock = newcomer.sock
        if what == "one-shot":
            sock.setblocking(True)
            self.pool.one_shots.append((sock, newcomer.head))
        elif what == "hello":
            self._greet(newcomer)
        elif what == "gone":
            sock.close()
        elif what == "short":
            oneshot.reply(sock, oneshot.connection_error("the connection ended inside the request"))
        elif what == "long":
            oneshot.reply(sock, oneshot.too_long(newcomer.size))
        else:
            oneshot.reply(sock, oneshot.error(BadRequest("a message cannot begin with a zero byte")))

    def _greet(self, newcomer: Newcomer) -> None:
        try:
            hello = newcomer.greeting()
        except ProtocolError as error:
            self.log.say("warning", str(error))
            newcomer.sock.close()
            return
        max_frame = hello.get("max_frame")
        if isinstance(max_frame, int) and max_frame > 0:
            self.pool.set_max_reply(max_frame)
        self.log.say("info", "sidecar connected", actor=hello.get("actor", ""))
        ready = self.pool.ready
        is_async = self.pool.is_async
        answer = {
            "max_frame": frames.MAX_FRAME,
            "mode": self.config.mode,
            "kind": "async" if is_async else "sync",
            "concurrency": self.config.concurrency if is_async else 1,
            "batch_max": self.config.batch_max,
            "workers": [self.pool.describe(worker) for worker in ready],
            "runtime": f"asya_runtime {__version__}",
        }
        control = Control(newcomer.sock)
        self.controls.add(control)
        self.selector.register(control.sock, selectors.EVENT_READ, control)
        if not control.send(frames.handshake(answer)):
            self._end_control(control)

    def _control(self, control: Control, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and not control.flush():
            self._end_control(control)
            return
        if not mask & selectors.EVENT_READ:
            return
        bodies = control.read()
        try:
            for body in bodies or ():
                self._command(body)
        except ProtocolError as error:
            self.log.say("warning", f"control connection broke the protocol: {error}")
            bodies = None
        if bodies is None:
            self._end_control(control)

    def _command(self, body: bytes) -> None:
        if body[0] == frames.SHUTDOWN and self.terminated is None:
            self.log.say("info", "the sidecar has done its job: ending")
            self.terminated = monotonic()
        if body[0] not in (frames.CANCEL, frames.KILL):
            return
        worker = frames.parse_document(body[frames.HEADER :]).get("worker")
        if not isinstance(worker, int):
            raise ProtocolError("no worker is named")
        if body[0] == frames.CANCEL:
            self.pool.cancel(worker, int.from_bytes(body[1 : frames.HEADER], "big"))
        else:
            self.pool.kill(worker)

    def _end_control(self, control: Control) -> None:
        self.controls.discard(control)
        self._unregister(control.sock)
        control.sock.close()

    def _tell(self, frame: bytes) -> None:
        # Every sidecar that is connected: while one replaces another both may be, and no news is wrong for either.
        for control in list(self.controls):
            if not control.send(frame):
                self._end_control(control)

    def _watch(self, worker: Process) -> None:
        self.selector.register(worker.channel, selectors.EVENT_READ, worker)
        for output in worker.outputs:
            self.selector.register(output, selectors.EVENT_READ, output)

    def _forget(self, worker: Process) -> None:
        self._unregister(worker.channel)
        for output in worker.outputs:
            self._unregister(output)

    def _unregister(self, source: Any) -> None:
        try:
            self.selector.unregister(source)
        except (KeyError, ValueError):
            # The other way of noticing its end was faster.
            pass

    def _close_in_child(self) -> None:
        """In a new worker: whatever it held open would outlive the supervisor with it."""
        self.selector.close()
        self.pool.hangups.close()
        sockets = [self.wake, self.woken, *(each.sock for each in self.newcomers | self.controls)]
        sockets += [connection for connection, _ in self.pool.one_shots]
        if self.listener is not None:
            sockets.append(self.listener)
        for worker in self.pool.workers.values():
            sockets.append(worker.channel.sock)
            sockets += [connection for connection, _ in worker.one_shots.values()]
            for output in worker.outputs:
                os.close(output.descriptor)
        for each in sockets:
            each.close()

    def _close(self) -> None:
        self.config.ready.unlink(missing_ok=True)
        if self.listener is not None:
            self.listener.close()
            self.config.socket.unlink(missing_ok=True)
        # What is left of the grace period belongs to handlers only as long as somebody waits for them.
        self.pool.stop(1.0 if self.pool.started and not self.at_once else 0.0)
        for control in list(self.controls):
            self._end_control(control)
        self.log.drain()
