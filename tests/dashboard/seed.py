"""Fills a gateway's SQLite database, as `asya-gateway migrate` left it, with what a busy month leaves behind.

usage: seed.py DATABASE ENVELOPES

The newest envelope is `failed-one`; three of four succeeded. Dead letters are of `ocr` and `embed`.
"""

import json
import sqlite3
import sys
import time

ROUTE = ["split", "ocr", "embed"]
SECOND = 1_000_000
ERROR = 'ValueError: page 12 has no text layer\n  File "/app/handlers.py", line 41, in ocr'
LETTERS = 25


def main(path: str, count: int) -> None:
    now = int(time.time()) * SECOND
    database = sqlite3.connect(path)
    rows = (envelope(number, now) for number in range(count))
    columns = (
        "id, status, route_actors, route_current, payload, result, error, code, created_at, updated_at, ended_at, "
        "progress_percent, current_actor_idx, current_actor_name, actors_completed, total_actors, attempt, tool, sender"
    )
    insert = f"INSERT INTO envelopes ({columns}) VALUES ({', '.join('?' * 19)})"
    database.executemany(insert, rows)
    database.execute(insert, failed(now))
    database.executemany(
        "INSERT INTO envelope_updates (envelope_id, status, error, timestamp, progress_percent, actor, "
        "current_actor_idx, envelope_state, attempt, duration_ms) VALUES ('failed-one', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        updates(now),
    )
    database.executemany(
        "INSERT INTO dead_letters (id, envelope_id, actor, code, error, attempts, body, dead_since) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (letter(number, now) for number in range(LETTERS)),
    )
    database.commit()


def envelope(number: int, now: int) -> tuple[object, ...]:
    ended = number % 4 != 3
    created = now - (number + 60) * SECOND
    failed = number % 8 == 7
    status = "succeeded" if ended else "failed" if failed else "running"
    final = created + (number % 90) * 40_000 if status != "running" else None
    return (
        f"{number:06}-0197e3a2-7d3a-9a51",
        status,
        json.dumps(ROUTE),
        2,
        json.dumps({"page": number}),
        json.dumps({"words": number % 700}) if ended else None,
        ERROR if failed else None,
        "processing_error" if failed else None,
        created,
        final or created,
        final,
        100.0 if ended else 50.0,
        2 if ended else 1,
        ROUTE[2 if ended else 1],
        3 if ended else 1,
        3,
        1,
        "summarise" if number % 3 else None,
        "anna",
    )


def failed(now: int) -> tuple[object, ...]:
    created = now - 30 * SECOND
    end = created + 1_900_000
    document = {"url": "https://example.org/a.pdf", "page": 12, "language": "en"}
    return (
        "failed-one", "failed", json.dumps(ROUTE), 1, json.dumps(document), None, ERROR, "processing_error",
        created, end, end, 50.0, 1, "ocr", 1, 3, 3, "summarise", "anna",
    )  # fmt: skip


def updates(now: int) -> list[tuple[object, ...]]:
    start = now - 30 * SECOND
    return [
        ("pending", None, start, 0.0, None, None, None, 0, None),
        ("running", None, start + 9_000, 3.3, "split", 0, "received", 1, None),
        ("running", None, start + 12_000, 16.7, "split", 0, "processing", 1, None),
        ("running", None, start + 84_000, 33.3, "split", 0, "completed", 1, 71),
        ("running", None, start + 302_000, 36.7, "ocr", 1, "received", 1, None),
        ("running", None, start + 640_000, 50.0, "ocr", 1, "processing", 2, None),
        ("running", None, start + 1_250_000, 50.0, "ocr", 1, "processing", 3, None),
        ("failed", ERROR, start + 1_900_000, 50.0, "ocr", 1, None, 3, None),
    ]


def letter(number: int, now: int) -> tuple[object, ...]:
    """As `error-end` stores it: the error envelope wraps what failed. The newest is of `failed-one`."""
    actor, code = ("embed", "timeout") if number % 5 == 4 else ("ocr", "processing_error")
    failed = "failed-one" if number == 0 else f"{number * 8 + 7:06}-0197e3a2-7d3a-9a51"
    body = {
        "id": failed,
        "route": {"actors": ROUTE, "current": ROUTE.index(actor)},
        "payload": {"error": code, "details": {"message": ERROR}, "original_payload": {"page": number}},
    }
    error = f"no answer within 30 s, page {number}" if code == "timeout" else ERROR
    since = now - number * 60 * SECOND
    return f"letter-{number}", failed, actor, code, error, 1 + number % 3, json.dumps(body).encode(), since


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
