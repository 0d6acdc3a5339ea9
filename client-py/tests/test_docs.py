"""The example of docs/publish.md runs as it stands."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from support import Gateway

PAGE = Path(__file__).parents[2] / "docs" / "publish.md"


def test_the_example_of_the_page_runs(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(from asya_client.*?)```", PAGE.read_text(), re.DOTALL)
    over = threading.Event()

    def actors() -> None:
        while not over.wait(0.01):
            for envelope in gateway.ask("/api/v1/envelopes?status=pending,running")["envelopes"]:
                gateway.succeed(envelope["id"], {"from": envelope["actors"]})

    thread = threading.Thread(target=actors)
    thread.start()
    try:
        exec(example.replace("http://localhost:8089", gateway.url), {})
    finally:
        over.set()
        thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "{'from': ['greet']}"
    assert lines[-1] == "{'from': ['split', 'read']}"
    assert any(line.startswith("100.0 ") for line in lines), lines
