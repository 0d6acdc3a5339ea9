"""What the environment says, checked at once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

SOCKET_NAME = "asya-runtime.sock"
READY_NAME = "runtime-ready"
MAX_FRAME = 64 * 1024 * 1024 + 64 * 1024
HANDLER = re.compile(r"^[a-zA-Z_]\w*(\.[a-zA-Z_]\w*)+$")
# Async handlers wait for others most of the time; ten at once is useful and harms nobody's connection pool.
DEFAULT_ASYNC_CONCURRENCY = 10


@dataclass(frozen=True)
class Config:
    """The settings of one runtime."""

    handler: str
    mode: str = "payload"
    validate: bool = True
    single: bool = False
    workers: int = 1
    concurrency: int = DEFAULT_ASYNC_CONCURRENCY
    batch_max: int = 1
    batch_wait: float = 0.0
    max_requests: int = 0
    max_rss_mb: int = 0
    max_frame: int = MAX_FRAME
    grace: float = 30.0
    socket_dir: Path = Path("/var/run/asya")
    socket_name: str = SOCKET_NAME
    socket_chmod: int | None = 0o666
    log_level: str = "INFO"
    problems: list[str] = field(default_factory=list, compare=False)

    @property
    def socket_path(self) -> Path:
        """Where the sidecar connects first."""
        return self.socket_dir / self.socket_name


def cpu_limit() -> int:
    """Processors that this container may use: its cgroup's quota, else what the scheduler allows; at least 1."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def load() -> Config:
    """Reads the environment; exits with every problem named when there is one."""
    env = os.environ
    problems: list[str] = []

    def number(name: str, default: float, least: float) -> float:
        text = env.get(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            problems.append(f"{name}={text!r}: must be a number")
            return default
        if value < least:
            problems.append(f"{name}={text!r}: must be at least {least:g}")
            return default
        return value

    handler = env.get("ASYA_HANDLER", "")
    if not handler:
        problems.append("ASYA_HANDLER is not set: name the handler as module.function or module.Class.method")
    elif not HANDLER.match(handler):
        problems.append(f"ASYA_HANDLER={handler!r}: must be module.function or module.Class.method")
    mode = env.get("ASYA_HANDLER_MODE", "payload").lower()
    if mode not in ("payload", "envelope"):
        problems.append(f"ASYA_HANDLER_MODE={mode!r}: must be payload or envelope")
    workers = env.get("ASYA_WORKERS", "")
    chmod_text = env.get("ASYA_SOCKET_CHMOD", "0o666")
    chmod: int | None = None
    if chmod_text:
        try:
            chmod = int(chmod_text, 8)
        except ValueError:
            problems.append(f"ASYA_SOCKET_CHMOD={chmod_text!r}: must be octal, for example 0o666, or empty")
    config = Config(
        handler=handler,
        mode=mode,
        validate=env.get("ASYA_ENABLE_VALIDATION", "true").lower() == "true",
        single=env.get("ASYA_RESULT", "").lower() == "single",
        workers=cpu_limit() if workers == "auto" else int(number("ASYA_WORKERS", 1, 1)),
        concurrency=int(number("ASYA_CONCURRENCY", DEFAULT_ASYNC_CONCURRENCY, 1)),
        batch_max=int(number("ASYA_BATCH_MAX", 1, 1)),
        batch_wait=number("ASYA_BATCH_WAIT_MS", 0, 0) / 1000,
        max_requests=int(number("ASYA_WORKER_MAX_REQUESTS", 0, 0)),
        max_rss_mb=int(number("ASYA_WORKER_MAX_RSS_MB", 0, 0)),
        grace=number("ASYA_GRACE_SECONDS", 30, 0),
        socket_dir=Path(env.get("ASYA_SOCKET_DIR", "/var/run/asya")),
        socket_name=env.get("ASYA_SOCKET_NAME", SOCKET_NAME),
        socket_chmod=chmod,
        log_level=env.get("ASYA_LOG_LEVEL", "INFO").upper(),
    )
    if problems:
        raise SystemExit("asya_runtime: " + "; ".join(problems))
    return config
