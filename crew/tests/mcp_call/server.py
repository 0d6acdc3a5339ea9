"""A server of the official SDK for the tests of mcp-call: at a port of this machine, or on standard input and output.

Usage: server.py [PORT]
"""

import asyncio
import json
import os
import pathlib
import subprocess
import sys

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

server = MCPServer("tests", log_level="WARNING")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return f"{a + b}"


@server.tool(name="results.all", structured_output=False)
def every_kind() -> list:
    """Content of every kind."""
    text = TextResourceContents(uri="file:///a.txt", text="two")
    blob = BlobResourceContents(uri="file:///a.bin", mime_type="application/pdf", blob="AAAA")
    return [
        "one",
        EmbeddedResource(type="resource", resource=text),
        EmbeddedResource(type="resource", resource=blob),
        Image(data=b"123", format="png"),
    ]


@server.tool()
def structured() -> CallToolResult:
    """A result without text."""
    return CallToolResult(content=[], structured_content={"n": 1})


@server.tool()
def fail(words: str) -> CallToolResult:
    """Says that it failed."""
    return CallToolResult(content=[TextContent(type="text", text=words)], is_error=True)


@server.tool()
def echo(words: str, times: int = 1) -> str:
    """Says the same."""
    return words * times


@server.tool()
def environment() -> str:
    """What this process was told, and in which folder."""
    return json.dumps(dict(os.environ))


@server.tool()
async def slow(path: str) -> str:
    """Takes a minute, and notes that it was told to stop."""
    pathlib.Path(path).write_text("begun")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        pathlib.Path(path).write_text("cancelled")
        raise
    return "done"


@server.tool()
async def steps(context: Context, count: int, pause: float) -> str:
    """Says how far it is."""
    for step in range(1, count + 1):
        words = f"step {step}\nof {count}; token=hunter2hunter2 {os.environ.get('TOKEN')} " + "x" * 500
        await context.report_progress(step, count, words)
        await asyncio.sleep(pause)
    return "done"


@server.tool()
def die(path: str) -> str:
    """Notes that it was called, and ends this process before it answers."""
    with pathlib.Path(path).open("a") as file:
        file.write("called\n")
    os._exit(3)


@server.tool()
def processes() -> str:
    """This process, and one that it starts."""
    child = subprocess.Popen(["sleep", "600"])
    return json.dumps([os.getpid(), child.pid])


print("arguments that are not to be logged:", sys.argv[1:], file=sys.stderr)
print("a token that is not to be logged:", os.environ.get("TOKEN"), file=sys.stderr)
if sys.argv[1:] and sys.argv[1].isdigit():
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run()
