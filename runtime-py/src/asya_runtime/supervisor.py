"""Keeps the workers running, and speaks with the sidecar about them.

It loads no user code, so it answers whatever the workers do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import signal
import time
from contextlib import suppress
from typing import Any

from . import __version__, frames
from .config import READY_NAME, Config
from .config import load as load_config
from .errors import Unreadable
from .frames import BODY_HEADER, HEADER_SIZE, MAGIC
from .oneshot import OneShot
from .process import Worker, WorkerGone

log = logging.getLogger("asya_runtime")

# A worker that dies at once is started again after this long, twice as long each time, at most LONGEST_PAUSE.
PAUSE, LONGEST_PAUSE = 0.1, 5.0
# Ids of one-shot messages: far from those that sidecars count up from.
ONE_SHOT_IDS = 1 << 62
# Before the end of the grace period, to leave in order.
MARGIN = 2.0
# Without a control connection a sidecar of the one-shot protocol may still have a message in hand: it counts as gone
# when it has not connected for this long.
ONE_SHOT_QUIET = 2.0
RETIRE_GRACE = 1.0


class Supervisor:
    """All of one runtime."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.workers: dict[int, Worker] = {}
        self.numbers = iter(range(1, 1 << 62))
        self.one_shot_ids = iter(range(ONE_SHOT_IDS, 1 << 63))
        self.control: asyncio.StreamWriter | None = None
        self.some_ready = asyncio.Event()
        self.connections = 0
        self.last_one_shot = 0.0
        self.stopping = asyncio.Event()
        self.failed: str | None = None
        self.tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> int:
        """Until told to stop; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        self.config.socket_dir.mkdir(parents=True, exist_ok=True)
        self._remove_files()
        keepers = [self.spawn(self.keep()) for _ in range(self.config.workers)]
        if not await self.all_ready():
            for keeper in keepers:
                keeper.cancel()
            self._kill_all()
            log.error("%s", self.failed or "stopped before the handler was loaded")
            return 1 if self.failed else 0
        server = await asyncio.start_unix_server(self.accept, str(self.config.socket_path), backlog=128)
        if self.config.socket_chmod is not None:
            self.config.socket_path.chmod(self.config.socket_chmod)
        (self.config.socket_dir / READY_NAME).write_text("ready")
        log.info("%s is ready: %d worker(s), %s", self.config.handler, self.config.workers, self.config.socket_path)
        await self.stopping.wait()
        await self.drain()
        server.close()
        self._remove_files()
        await self.retire_all()
        return 0

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """A task that is kept until it is done."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def all_ready(self) -> bool:
        """Waits until every worker has loaded the handler; false when one cannot, or when told to stop."""
        while not self.failed and not self.stopping.is_set():
            if sum(worker.ready for worker in self.workers.values()) == self.config.workers:
                return True
            await asyncio.sleep(0.005)
        return False

    async def keep(self) -> None:
        """One place for a worker: fills it, and fills it again."""
        pause = PAUSE
        while not self.stopping.is_set():
            worker = Worker(next(self.numbers), self.config)
            await worker.start()
            self.workers[worker.number] = worker
            started = time.monotonic()
            await self.listen(worker)
            assert worker.process is not None
            await worker.process.wait()
            was_ready, worker.ready = worker.ready, False
            self.workers.pop(worker.number, None)
            worker.clean()
            self.note_ready()
            if worker.failure:
                self.failed = worker.failure
                log.error("a worker cannot load the handler: %s", worker.failure)
            if was_ready:
                reason, detail = worker.end()
                if reason == "died":
                    log.warning("worker %d died (%s); starting another", worker.number, detail)
                told = {"worker": worker.number, "reason": reason, "detail": detail}
                self.tell(frames.WORKER_EXITED, told)
            lived = time.monotonic() - started
            pause = PAUSE if was_ready and lived > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
            if not was_ready or (lived < LONGEST_PAUSE and not worker.killed and not worker.retired):
                await asyncio.sleep(pause)

    async def listen(self, worker: Worker) -> None:
        """Hears what a worker says, until its end."""
        while (word := await worker.hear()) is not None:
            if word.get("ready"):
                worker.kind = str(word["kind"])
                worker.ready = True
                self.failed = None
                self.note_ready()
                self.tell(frames.WORKER_READY, worker.info())
            elif "failed" in word:
                worker.failure = str(word["failed"])
            elif word.get("retired"):
                worker.retired = True
            elif "cancelled" in word and word["cancelled"] in worker.cancelled:
                worker.cancelled[word["cancelled"]].set()

    def note_ready(self) -> None:
        """Lets one-shot messages wait while no worker is ready."""
        if any(worker.ready for worker in self.workers.values()):
            self.some_ready.set()
        else:
            self.some_ready.clear()

    def tell(self, kind: int, value: dict[str, Any]) -> None:
        """Tells the sidecar, if there is one that listens."""
        if self.control is not None and not self.control.is_closing():
            self.control.write(frames.json_frame(kind, 0, value))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection: the first frame says what it is."""
        self.connections += 1
        try:
            body = await self.read(reader)
            if body.startswith(MAGIC):
                await self.converse(body, reader, writer)
            else:
                await self.one_shot(body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            log.debug("connection ended: %s", error)
        except Unreadable as error:
            with suppress(ConnectionError):
                writer.write(frames.plain(OneShot.failure(error)))
                await writer.drain()
        finally:
            self.connections -= 1
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """One frame."""
        (length,) = frames.LENGTH.unpack(await reader.readexactly(4))
        if length > self.config.max_frame:
            raise Unreadable(f"a frame of {length} bytes is over the limit of {self.config.max_frame}")
        return await reader.readexactly(length)

    async def converse(self, hello: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The control connection; the newest one counts."""
        try:
            json.loads(hello[len(MAGIC) :])
        except ValueError as error:
            raise Unreadable(f"the hello is not JSON: {error}") from error
        writer.write(frames.plain(MAGIC + json.dumps(self.hello()).encode()))
        self.control = writer
        while True:
            body = await self.read(reader)
            if len(body) < HEADER_SIZE:
                return
            kind, request = BODY_HEADER.unpack_from(body)
            if kind not in (frames.CANCEL, frames.KILL):
                continue
            try:
                worker = self.workers.get(json.loads(body[HEADER_SIZE:])["worker"])
            except (ValueError, KeyError, TypeError):
                return
            if worker is not None and kind == frames.CANCEL:
                self.spawn(worker.cancel(request))
            elif worker is not None:
                worker.kill()

    def hello(self) -> dict[str, Any]:
        """What the sidecar must know about this runtime."""
        ready = [worker for worker in self.workers.values() if worker.ready]
        kind = next((worker.kind for worker in ready), "sync")
        return {
            "max_frame": self.config.max_frame,
            "mode": self.config.mode,
            "kind": kind,
            "concurrency": self.config.concurrency if kind == "async" else 1,
            "batch_max": self.config.batch_max,
            "workers": [worker.info() for worker in ready],
            "runtime": f"asya_runtime/{__version__} {platform.python_implementation()}/{platform.python_version()}",
        }

    async def one_shot(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One message of the one-shot protocol. A sidecar that hangs up has timed out: the work is ended."""
        request = next(self.one_shot_ids)
        await self.some_ready.wait()
        worker = min((w for w in self.workers.values() if w.ready), key=lambda w: len(w.answers))
        asked = asyncio.ensure_future(worker.ask(request, body))
        hung_up = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({asked, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            asked.cancel()
            await worker.cancel(request)
            return
        hung_up.cancel()
        try:
            answer = asked.result()
        except WorkerGone as error:
            answer = OneShot.failure(error)
        writer.write(frames.plain(answer))
        await writer.drain()
        self.last_one_shot = time.monotonic()

    async def drain(self) -> None:
        """Serves on until the sidecar has gone, or the grace period is nearly over."""
        until = time.monotonic() + max(0.0, self.config.grace - MARGIN)
        while time.monotonic() < until:
            quiet = time.monotonic() - self.last_one_shot > ONE_SHOT_QUIET
            if not self.connections and (self.control is not None or not self.last_one_shot or quiet):
                return
            await asyncio.sleep(0.05)

    async def retire_all(self) -> None:
        """Ends the workers, by word and then by force."""
        for worker in list(self.workers.values()):
            worker.say(retire=True)
        until = time.monotonic() + RETIRE_GRACE
        while self.workers and time.monotonic() < until:
            await asyncio.sleep(0.01)
        self._kill_all()

    def _kill_all(self) -> None:
        for worker in list(self.workers.values()):
            worker.kill()
            worker.clean()

    def _remove_files(self) -> None:
        with suppress(FileNotFoundError):
            (self.config.socket_dir / READY_NAME).unlink()
        with suppress(FileNotFoundError):
            self.config.socket_path.unlink()


def main() -> int:
    """Runs a supervisor with the settings of the environment."""
    config = load_config()
    logging.basicConfig(level=config.log_level, format="%(levelname)s %(name)s: %(message)s")
    return asyncio.run(_main(config))


async def _main(config: Config) -> int:
    return await Supervisor(config).run()
