"""Recorded answers: a file of JSON lines, one per answer, found by the hash of the request; the format of crates/llm.

{"hash":"9f86…","provider":"openai","model":"gpt-4o-mini","request":{…},"response":{…}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import Reject

Json = dict[str, Any]
Model = Callable[[Json], Json]


def canonical(request: Json) -> str:
    """A request as JSON with sorted keys; numbers as Python writes them, which is the same from 0.0001 to 1e16."""
    return json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(request: Json) -> str:
    """SHA-256 of the request, in hexadecimal: what an answer is found by."""
    return hashlib.sha256(canonical(request).encode()).hexdigest()


class Record:
    """Writes down every answer of a model. Errors are not written: the next run asks again."""

    def __init__(self, model: Model, path: str | Path, provider: str, name: str) -> None:
        self.model = model
        self.path = Path(path)
        self.provider = provider
        self.name = name

    def __call__(self, request: Json) -> Json:
        response = self.model(request)
        line = {
            "hash": digest(request),
            "provider": self.provider,
            "model": request.get("model") or self.name,
            "request": request,
            "response": response,
        }
        # One write at the end of the file: lines of several workers do not mix.
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        return response


class NotRecorded(Reject):
    """The recording has no answer to this request: another prompt, tool or answer of a tool is another hash."""


class Replay:
    """Answers from a recording, and from nothing else. Of two lines with one hash the later one counts."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.answers: dict[str, Json] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise Reject(f"the recording {path}: {error}") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                read = json.loads(line)
                self.answers[read["hash"]] = read["response"]
            except (ValueError, KeyError, TypeError) as error:
                raise Reject(f"the recording {path}: line {number}: {error!r}") from error

    def __call__(self, request: Json) -> Json:
        found = digest(request)
        try:
            answer: Json = self.answers[found]
        except KeyError:
            raise NotRecorded(f"not_recorded: {self.path} has no answer to the request {found}") from None
        return answer
