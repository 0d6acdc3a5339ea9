"""The client for asyncio: the same, each call in a thread of a pool of its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .client import Calling, Client, Route
from .records import Envelope, Tool, Update
from .stream import Stream

T = TypeVar("T")
THREADS = 64  # what waits at the same time; more waits for a place
_END = object()


class AsyncClient:
    """`Client` with coroutines; parameters and errors are those of its methods. A coroutine that is cancelled stops
    waiting; what it has sent is not called back, and its thread ends with the request."""

    def __init__(self, client: Client, threads: int = THREADS) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(threads, "asya-client")

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> AsyncClient:
        """As `Client.from_url`."""
        return cls(Client.from_url(url, **settings))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections and threads."""
        await self._run(self._client.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(
        self,
        route: Route,
        payload: Any,
        headers: Mapping[str, Any] | None = None,
        id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        return await self._run(self._client.send, route, payload, headers, id, timeout)

    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        return await self._run(self._client.call, tool, arguments, **named)

    async def start(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> str:
        return await self._run(self._client.start, tool, arguments, **named)

    def tool(self, name: str, *, id: str | None = None, timeout: float | None = None) -> AsyncCalling:
        """As `Client.tool`."""
        return AsyncCalling(self, self._client.tool(name, id=id, timeout=timeout))

    async def tools(self) -> list[Tool]:
        return await self._run(self._client.tools)

    async def get(self, id: str) -> Envelope:
        return await self._run(self._client.get, id)

    async def wait(self, id: str, timeout: float | None = None) -> Envelope:
        return await self._run(self._client.wait, id, timeout)

    async def result(self, id: str, timeout: float | None = None) -> Any:
        return await self._run(self._client.result, id, timeout)

    async def cancel(self, id: str, reason: str | None = None) -> list[str]:
        return await self._run(self._client.cancel, id, reason)

    async def resubmit(self, id: str, *, payload: Any = ..., route: Route | None = None) -> str:
        return await self._run(self._client.resubmit, id, payload=payload, route=route)

    def stream(self, id: str, *, after: int | None = None, timeout: float | None = None) -> AsyncStream:
        """The updates, for `async for`; close it if you leave before the end."""
        return AsyncStream(self._client.stream(id, after=after, timeout=timeout), self._threads)

    async def _run(self, does: Callable[..., T], /, *given: Any, **named: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(does, *given, **named))


class AsyncCalling:
    """A tool and how it is called."""

    def __init__(self, client: AsyncClient, calling: Calling) -> None:
        self._client = client
        self._calling = calling

    async def call(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        return await self._client._run(self._calling.call, arguments, **named)

    async def start(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> str:
        return await self._client._run(self._calling.start, arguments, **named)


class AsyncStream:
    """`Stream` for asyncio."""

    def __init__(self, stream: Stream, threads: ThreadPoolExecutor) -> None:
        self._stream = stream
        self._threads = threads

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Update:
        loop = asyncio.get_running_loop()
        try:
            update = await loop.run_in_executor(self._threads, next, self._stream, _END)
        except asyncio.CancelledError:
            # Its thread would take an update that nobody gets.
            self._stream.close()
            raise
        if isinstance(update, Update):
            return update
        raise StopAsyncIteration

    async def close(self) -> None:
        """Ends the iteration."""
        self._stream.close()
