"""Reads one document and measures it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = 512 * 1024
WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")
SENTENCE = re.compile(r"[^.!?]+[.!?]")
LANGUAGES = {".md": "Markdown", ".txt": "Text", ".rs": "Rust", ".py": "Python", ".json": "JSON"}
COMMON = frozenset(
    "a an and are as at be been but by can could do does for from had has have how i if in into is it its may "
    "more must no not of on one only or other our out should so than that the their them then there these they "
    "this to up use used was we were what when where which while who will with would you your let self pub fn "
    "mut impl str def return import none true false".split()
)


@dataclass
class Document:
    """Where a document is."""

    root: str
    path: str


class UnreadableDocument(ValueError):
    """The document cannot be analysed; trying again would not help."""


def analyse(document: Document) -> dict[str, Any]:
    """Text, language, size, words, sentence length and the terms that stand out."""
    path = Path(document.root) / document.path
    text = read(path)
    words = WORD.findall(text)
    terms = Counter(word.lower() for word in words if word.lower() not in COMMON and len(word) > 2)
    sentences = SENTENCE.findall(text)
    return {
        "path": document.path,
        "language": LANGUAGES.get(path.suffix, "Text"),
        "bytes": path.stat().st_size,
        "lines": text.count("\n") + 1,
        "words": len(words),
        "words_per_sentence": round(len(words) / max(1, len(sentences)), 1),
        "terms": terms.most_common(12),
        "text": text[:20_000],
    }


def read(path: Path) -> str:
    """The text of a file, or a reason that helps whoever has to mend the file."""
    size = path.stat().st_size
    if size == 0:
        raise UnreadableDocument(f"{path.name} is empty")
    if size > LARGEST:
        raise UnreadableDocument(f"{path.name} has {size} bytes; documents over {LARGEST} bytes are not text")
    data = path.read_bytes()
    if b"\0" in data:
        at = data.index(b"\0")
        raise UnreadableDocument(f"{path.name} is not text: it has a zero byte at offset {at}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UnreadableDocument(
            f"{path.name} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}; "
            f"convert it, for example with iconv -f latin1 -t utf-8"
        ) from error
    if path.suffix == ".json":
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            raise UnreadableDocument(f"{path.name} is not JSON: {error}") from error
    return text
