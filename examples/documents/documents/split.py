"""One job in, one item per document out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED = {".git", "target", "node_modules", "__pycache__", ".venv", ".asya", "dist", "build"}


@dataclass
class Job:
    """What to read: every file under `directory` with one of the suffixes, at most `limit` of them."""

    directory: str
    suffixes: list[str] = field(default_factory=lambda: [".md", ".txt", ".rs", ".py", ".json"])
    limit: int = 400


def split(job: Job) -> Iterator[dict[str, str]]:
    """Yields the documents one by one: the next actor starts while this one still walks the tree."""
    root = Path(job.directory).resolve()
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a directory; pass one that exists as 'directory'")
    found = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(files):
            if Path(name).suffix in job.suffixes:
                yield {"root": str(root), "path": str((Path(folder) / name).relative_to(root))}
                found += 1
                if found == job.limit:
                    return
    if not found:
        raise FileNotFoundError(f"no file under {root} ends in {', '.join(job.suffixes)}")
