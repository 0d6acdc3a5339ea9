"""The environment, read once into one typed value; every mistake is reported at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

DEFAULT_DIRECTORY = "/var/run/asya"
DEFAULT_SOCKET = "asya-runtime.sock"
# Enough to overlap waiting on the network, few enough that a handler unaware of it does not flood a service.
DEFAULT_CONCURRENCY = 10
# Kubernetes' own default.
DEFAULT_GRACE = 30.0
DEFAULT_BATCH_WAIT_MS = 5.0
# The kernel's limit for the path of a Unix socket is 104 bytes on macOS, 108 on Linux, with a final zero.
MAX_SOCKET_PATH = 103


# `sysexits.h`: the command was used wrongly. Only a missing handler is 1, as it has always been.
EXIT_WRONG, EXIT_NO_HANDLER = 64, 1


class ConfigError(Exception):
    """Variables that cannot be used; one line for each. `code` is the exit code that says so."""

    def __init__(self, wrong: list[str], code: int) -> None:
        super().__init__("\n".join(wrong))
        self.code = code


@dataclass(frozen=True)
class Config:
    """Everything that the environment decides."""

    handler: str
    mode: str
    directory: Path
    socket_name: str
    chmod: int | None
    validation: bool
    workers: int
    concurrency: int
    batch_max: int
    batch_wait: float
    single_result: bool
    json: str
    max_requests: int
    max_rss: int
    grace: float
    log_level: str
    log_format: str
    uvloop: bool

    @property
    def socket(self) -> Path:
        """Where sidecars connect."""
        return self.directory / self.socket_name

    @property
    def ready(self) -> Path:
        """The file that says that every worker has loaded the handler."""
        return self.directory / "runtime-ready"

    def worker_socket(self, worker: int) -> Path:
        """Where the sidecar sends the requests of one worker."""
        return self.directory / f"asya-w{worker}.sock"


def read(env: Mapping[str, str] = os.environ) -> Config:
    """Reads `ASYA_*`. Raises ConfigError."""
    wrong: list[str] = []

    def get(name: str, default: str, parse: Callable[[str], T]) -> T:
        text = env.get(name, default).strip()
        try:
            return parse(text)
        except ValueError as error:
            wrong.append(f"{name}={text!r}: {error}")
            return parse(default)

    directory = Path(env.get("ASYA_SOCKET_DIR") or DEFAULT_DIRECTORY)
    config = Config(
        handler=env.get("ASYA_HANDLER", "").strip(),
        mode=get("ASYA_HANDLER_MODE", "payload", _one_of("payload", "envelope")),
        directory=directory,
        socket_name=env.get("ASYA_SOCKET_NAME") or DEFAULT_SOCKET,
        chmod=get("ASYA_SOCKET_CHMOD", "0o666", _octal),
        validation=env.get("ASYA_ENABLE_VALIDATION", "true").lower() == "true",
        workers=get("ASYA_WORKERS", "1", _workers),
        concurrency=get("ASYA_CONCURRENCY", str(DEFAULT_CONCURRENCY), _positive),
        batch_max=get("ASYA_BATCH_MAX", "1", _positive),
        batch_wait=get("ASYA_BATCH_WAIT_MS", str(DEFAULT_BATCH_WAIT_MS), _seconds) / 1000,
        single_result=get("ASYA_RESULT", "many", _one_of("many", "single")) == "single",
        json=get("ASYA_JSON", "stdlib", _json),
        max_requests=get("ASYA_WORKER_MAX_REQUESTS", "0", _natural),
        max_rss=get("ASYA_WORKER_MAX_RSS_MB", "0", _natural) * 1024 * 1024,
        grace=get("ASYA_GRACE_SECONDS", str(DEFAULT_GRACE), _seconds),
        log_level=get("ASYA_LOG_LEVEL", "info", _one_of("debug", "info", "warning", "error")),
        log_format=get("ASYA_LOG_FORMAT", "text" if sys.stderr.isatty() else "json", _one_of("json", "text")),
        uvloop=get("ASYA_UVLOOP", "auto", _one_of("auto", "off")) == "auto",
    )
    longest = max((str(config.socket), str(config.worker_socket(10**6))), key=len)
    if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
        wrong.append(f"ASYA_SOCKET_DIR: {longest} is longer than a socket's path can be ({MAX_SOCKET_PATH})")
    code = EXIT_WRONG if wrong else EXIT_NO_HANDLER
    if not config.handler:
        wrong.append("ASYA_HANDLER is not set; it names the handler: module.function or module.Class.method")
    if wrong:
        raise ConfigError(wrong, code)
    return config


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        text = {"warn": "warning", "critical": "error"}.get(text.lower(), text.lower())
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _json(text: str) -> str:
    text = _one_of("stdlib", "orjson")(text)
    if text == "orjson" and find_spec("orjson") is None:
        raise ValueError("orjson is not installed")
    return text


def _octal(text: str) -> int | None:
    if not text:
        return None
    mode = int(text, 8)
    if not 0 <= mode <= 0o777:
        raise ValueError("must be from 0 to 0o777")
    return mode


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError("must be from 1 to 65535")
    return number


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e9:
        raise ValueError("must be a number from 0")
    return number


def _workers(text: str) -> int:
    return cpu_limit() if text.lower() == "auto" else _positive(text)


def cpu_limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole CPUs that this container may use: the cgroup's quota, else those that it may be scheduled on."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:
        available = os.cpu_count() or 1
    quota: float | None = None
    try:
        limit, period = (root / "cpu.max").read_text().split()
        quota = None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        try:
            micros = int((root / "cpu/cpu.cfs_quota_us").read_text())
            period_micros = int((root / "cpu/cpu.cfs_period_us").read_text())
            quota = micros / period_micros if micros > 0 else None
        except (OSError, ValueError):
            pass
    return max(1, min(available, round(quota + 0.49))) if quota else max(1, available)
