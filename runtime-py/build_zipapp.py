"""Builds the runtime as one file: `python3 build_zipapp.py [OUTPUT]`, by default dist/asya_runtime.pyz.

The same sources give the same bytes, on any machine: fixed order, times and modes, nothing compressed. The file may
have any name, asya_runtime.py too: Python looks for the archive, not at the suffix.
"""

from __future__ import annotations

import stat
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
# The earliest time that a zip file can hold.
TIME = (1980, 1, 1, 0, 0, 0)
# The first line tells the operator what it may ask of this file: a runtime without it gets no `--probe`.
# A probe runs every few seconds: it must not import the runtime, not even its package.
MAIN = b"""# asya-runtime-features: probe shutdown
import sys

if sys.argv[1:2] == ["--probe"]:
    from asya_probe import main

    sys.exit(main(sys.argv[2:]))
from asya_runtime.__main__ import main

sys.exit(main())
"""


def build(output: Path) -> Path:
    """Writes the archive."""
    output.parent.mkdir(parents=True, exist_ok=True)
    files = {"__main__.py": MAIN, "asya_probe.py": (SOURCES / "asya_runtime" / "probe.py").read_bytes()}
    for path in sorted((SOURCES / "asya_runtime").rglob("*")):
        if path.suffix == ".py" or path.name == "py.typed":
            files[path.relative_to(SOURCES).as_posix()] = path.read_bytes()
    with output.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in sorted(files.items()):
                info = zipfile.ZipInfo(name, TIME)
                info.create_system = 3
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(info, content)
    output.chmod(0o755)
    return output


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dist" / "asya_runtime.pyz"))
