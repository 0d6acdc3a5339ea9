"""Which model, from the variables that the other programs of this system read: `ASYA_LLM_…` (docs/models.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from ..errors import Reject

PREFIX = "ASYA_LLM_"
# As crates/llm has them: a slow model on a busy machine answers within two minutes.
DEFAULT_TIMEOUT = 120.0
DEFAULT_CONNECT_TIMEOUT = 10.0
DEFAULT_MAX_TOKENS = 2048

T = TypeVar("T")
Fields = dict[str, Any]
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Backend:
    """A provider that speaks chat completions."""

    base: str | None = None
    key: bool = False
    model: str | None = None


BACKENDS: Mapping[str, Backend] = {
    "openai": Backend("https://api.openai.com/v1", True, "gpt-4o-mini"),
    "openai-compatible": Backend(),
    "localai": Backend("http://localhost:8080/v1"),
    "ollama": Backend("http://localhost:11434/v1", model="llama3"),
    "vllm": Backend("http://localhost:8000/v1"),
    "litellm": Backend("http://localhost:4000/v1"),
    "groq": Backend("https://api.groq.com/openai/v1", True),
    "huggingface": Backend("https://router.huggingface.co/v1", True),
    "cohere": Backend("https://api.cohere.ai/compatibility/v1", True),
}
_ALIASES = {"compatible": "openai-compatible", "lmstudio": "openai-compatible"}
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class SettingsError(Reject):
    """The variables cannot be used; all that is wrong is told at once."""


@dataclass(frozen=True)
class Settings:
    """Everything about a model. What has a default here is not part of a request, nor of its hash."""

    provider: str = "replay"
    base: str = ""
    model: str = "recorded"
    key: Callable[[], str | None] = lambda: None
    headers: Headers = ()
    proxy: str | None = None
    ca_file: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    top_p: float | None = None
    timeout: float = DEFAULT_TIMEOUT
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    record: str | None = None
    replay: str | None = None


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.wrong: list[str] = []

    def text(self, name: str) -> str | None:
        return self.environment.get(PREFIX + name, "").strip() or None

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self.text(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.wrong.append(f"{PREFIX}{name}: {error}")
            return default


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the variables. Raises SettingsError with a line for each that is wrong."""
    reader = _Reader(environment)
    for name in ("BUDGET_CALLS", "BUDGET_TOKENS", "BUDGET_SPEND"):
        if reader.text(name):
            reader.wrong.append(f"{PREFIX}{name}: is not kept by agents in Python; the header x-asya-budget is")
    common: Fields = {
        "max_tokens": reader.read("MAX_TOKENS", _positive, DEFAULT_MAX_TOKENS),
        "temperature": reader.read("TEMPERATURE", _within(2.0), None),
        "top_p": reader.read("TOP_P", _within(1.0), None),
        "timeout": reader.read("TIMEOUT", duration, DEFAULT_TIMEOUT),
        "connect_timeout": reader.read("CONNECT_TIMEOUT", duration, DEFAULT_CONNECT_TIMEOUT),
        "record": reader.text("RECORD"),
        "replay": reader.text("REPLAY"),
    }
    if common["replay"] is not None:
        if common["record"] is not None:
            reader.wrong.append(f"{PREFIX}RECORD: is set, and {PREFIX}REPLAY as well; only one of them can count")
    else:
        common.update(_provider(reader))
    if reader.wrong:
        raise SettingsError("; ".join(reader.wrong))
    return Settings(**common)


def _provider(reader: _Reader) -> Fields:
    name = reader.text("BACKEND")
    if name is None:
        name = "openai-compatible" if reader.text("BASE_URL") else "openai"
    name = _ALIASES.get(name.lower(), name.lower())
    backend = BACKENDS.get(name)
    if backend is None:
        there_are = ", ".join(BACKENDS)
        reader.wrong.append(
            f"{PREFIX}BACKEND: {name!r} does not speak chat completions; agents in Python know {there_are}. "
            "An OpenAI-compatible server such as LiteLLM may stand in front of any other"
        )
        backend = Backend("")
    key, file = reader.text("API_KEY"), reader.text("API_KEY_FILE")
    if key is not None and file is not None:
        reader.wrong.append(f"{PREFIX}API_KEY: is set, and {PREFIX}API_KEY_FILE as well; only one of them can count")
    if backend.key and key is None and file is None:
        reader.wrong.append(f"{PREFIX}API_KEY: is required by the backend {name!r} (or {PREFIX}API_KEY_FILE)")
    base = reader.read("BASE_URL", _address, backend.base)
    if base is None:
        reader.wrong.append(f"{PREFIX}BASE_URL: is required by the backend {name!r}")
    model = reader.text("MODEL") or backend.model or ""
    nothing: Headers = ()
    headers = reader.read("HEADERS", _headers, nothing)
    if organization := reader.text("ORGANIZATION"):
        headers = (*headers, ("openai-organization", organization))
    return {
        "provider": name,
        "base": base or "",
        "model": model,
        # A file is read at each call: a key that is rotated counts at once.
        "key": _from_file(file) if file is not None else (lambda: key),
        "headers": headers,
        "proxy": reader.read("PROXY", _proxy, None),
        "ca_file": reader.text("CA_FILE"),
    }


def _from_file(path: str) -> Callable[[], str | None]:
    return lambda: Path(path).read_text(encoding="utf-8").strip()


def duration(text: str) -> float:
    """Seconds of a text such as `300ms`, `2m` or `1m30s`. Raises ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    seconds = sum(float(number) * _UNIT[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise ValueError(f"{text!r} must be a time such as 300ms, 2m or 1m30s")
    return seconds


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} must be a number from 1")
    return int(text)


def _within(most: float) -> Callable[[str], float | None]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:
            raise ValueError(f"{text!r} must be a number from 0 to {most:g}")
        return value

    return parse


def _address(text: str) -> str | None:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"it must not hold a user or a password; the key is {PREFIX}API_KEY")
    if parts.query or parts.fragment:
        raise ValueError("it must end with its path: no ? and no #")
    _ = parts.port
    text = text.rstrip("/")
    return text if parts.path.strip("/") else f"{text}/v1"


def _proxy(text: str) -> str | None:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise ValueError("it must be http://[user:password@]host:port")
    _ = parts.port
    return text


def proxy_parts(proxy: str) -> tuple[str, int, str | None]:
    """Host, port, and `user:password` of a proxy."""
    parts = urlsplit(proxy)
    user = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return parts.hostname or "", parts.port or 80, user


def _headers(text: str) -> Headers:
    found = []
    for number, pair in enumerate((pair for pair in text.split(",") if pair.strip()), 1):
        name, colon, value = pair.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name.strip()) or not value.isprintable():
            raise ValueError(f"header {number}: it must be Name:value")
        found.append((name.strip(), value.strip()))
    return tuple(found)
