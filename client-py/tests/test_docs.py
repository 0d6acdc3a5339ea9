"""The examples of docs/publish.md and docs/tools.md run as they stand."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import pytest

from support import BIN, Gateway

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_of_the_page_runs(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(from asya_client.*?)```", (DOCS / "publish.md").read_text(), re.DOTALL)
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


@pytest.mark.parametrize(("page", "tools"), [("tools", 3), ("getting-started", 1), ("gateway", 1)])
def test_the_tools_of_the_page_have_no_faults(tmp_path: Path, page: str, tools: int) -> None:
    text = (DOCS / f"{page}.md").read_text()
    [example] = re.findall(r"^tools:\n(?:[ -].*\n|routes:\n|defaults:\n)+", text, re.MULTILINE)
    (tmp_path / "tools.yaml").write_text(example)
    checked = subprocess.run([BIN / "asya-gateway", "check", tmp_path / "tools.yaml"], capture_output=True, text=True)
    assert f"{tools} tools, no faults" in checked.stdout, checked
