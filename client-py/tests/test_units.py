"""What needs no server."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from typing import Any

import pytest

from asya_client import brokers, records, sse
from asya_client.http import retry_after


def test_events_are_read_as_the_standard_says() -> None:
    text = b": hi\r\nevent: update\nid: 7\ndata: one\ndata:two\n\nretry: 5\n\nid\ndata\n\ndata: cut"
    assert list(sse.events(io.BytesIO(text))) == [sse.Event("update", "7", "one\ntwo"), sse.Event("message", "", "")]


@pytest.mark.parametrize(("text", "micro"), [("", 0), (".5", 500_000), (".123456789", 123_456), (".000001", 1)])
def test_times_are_read_with_any_number_of_digits(text: str, micro: int) -> None:
    wanted = datetime(2026, 11, 21, 15, 0, 0, micro, timezone.utc)
    assert records._time(f"2026-11-21T15:00:00{text}Z") == wanted
    assert records._time(f"2026-11-21T15:00:00{text}+00:00") == wanted
    assert records._time(None) is None


@pytest.mark.parametrize(
    ("value", "least", "most"), [(None, 0, 0), ("", 0, 0), ("2", 2, 2), ("soon", 0, 0), ("-1", 0, 0)]
)
def test_retry_after_is_seconds_or_nothing(value: str | None, least: float, most: float) -> None:
    assert least <= retry_after(value) <= most


def test_an_envelope_has_what_publishing_asks_for() -> None:
    id, actor, message = brokers.envelope("first, second", {"text": "Zürich"}, {"tenant": "a"}, None, 60)
    read = json.loads(message)
    assert actor == "first"
    assert read["id"] == id
    assert read["route"] == {"actors": ["first", "second"], "current": 0}
    assert (read["payload"], read["headers"]) == ({"text": "Zürich"}, {"tenant": "a"})
    left = datetime.fromisoformat(read["deadline"].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert 55 < left.total_seconds() <= 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"route": []},
        {"route": "a,,b"},
        {"route": ["a", ""]},
        {"route": ["a", "happy-end"]},
        {"headers": {"X-Asya-Actor": "b"}},
        {"id": ""},
        {"timeout": 0},
        {"payload": float("inf")},
    ],
)
def test_what_no_actor_would_take_is_not_made(wrong: dict[str, Any]) -> None:
    given = {"route": ["a"], "payload": 1, "headers": None, "id": None, "timeout": None, **wrong}
    with pytest.raises(ValueError, match=r".+"):
        brokers.envelope(**given)


def test_queues_are_named_by_the_template() -> None:
    assert brokers.queue("asya-{actor}", None, "ocr") == "asya-ocr"
    assert brokers.queue("asya-{namespace}-{actor}", "prod", "ocr") == "asya-prod-ocr"
    for template in ("asya-{namespace}-{actor}", "asya"):
        with pytest.raises(ValueError, match="template"):
            brokers.queue(template, None, "ocr")
