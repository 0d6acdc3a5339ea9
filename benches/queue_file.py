#!/usr/bin/env python3
"""Counts what waits in one queue of a queue file, and makes the queue if it is not there.

usage: queue_file.py FILE QUEUE

Ends with an error if the file is not there yet.
"""

from __future__ import annotations

import sqlite3
import sys


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 64
    file = sqlite3.connect(f"file:{sys.argv[1]}?mode=rw", uri=True, timeout=30)
    with file:
        file.execute("INSERT OR IGNORE INTO queues (name) VALUES (?)", (sys.argv[2],))
    counted = "SELECT count(*) FROM messages JOIN queues ON queues.id = queue WHERE name = ?"
    print(file.execute(counted, (sys.argv[2],)).fetchone()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
