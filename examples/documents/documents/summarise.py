"""Picks the sentences that say most about a document."""

from __future__ import annotations

import re
from typing import Any

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'])")
NOISE = re.compile(r"^\s*(?://[/!]?|#+!?|\*|>|\||-|\"\"\"|```.*)\s?", re.MULTILINE)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")


class Summariser:
    """Extractive: a sentence counts as much as the document's own frequent terms in it. Made once per worker."""

    def __init__(self, sentences: int = 2) -> None:
        self.sentences = sentences

    def summarise(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with a summary instead of its text."""
        text = NOISE.sub("", document.pop("text"))
        weights = dict(document["terms"])
        candidates = [" ".join(part.split()) for part in SENTENCE.split(text)]
        candidates = [part for part in candidates if 40 <= len(part) <= 320 and "  " not in part][:200]
        ranked = sorted(range(len(candidates)), key=lambda i: self.score(candidates[i], weights, i), reverse=True)
        chosen = sorted(ranked[: self.sentences])
        document["summary"] = " ".join(candidates[i] for i in chosen)
        return document

    @staticmethod
    def score(sentence: str, weights: dict[str, int], position: int) -> float:
        """Weight of the known terms per word; sentences near the beginning count more."""
        words = WORD.findall(sentence)
        known = sum(weights.get(word.lower(), 0) for word in words)
        return known / (len(words) + 6) * (1 + 1 / (1 + position))
