"""Handlers for the tests of the bridge, run over the socket and inside the process."""

import asyncio
import dataclasses
import os
import sys
import threading
import time

from asya_runtime import Drop, Reject, Retry, context

local = threading.local()


class Broken(Exception):
    """Says where it comes from."""


class Counter:
    """Constructed once."""

    def __init__(self, start: int = 10) -> None:
        self.start = start

    def add(self, payload):
        return self.start + payload


@dataclasses.dataclass
class Order:
    item: str
    count: int = 1


def typed(order: Order):
    return {"item": order.item, "total": order.count * 2}


def plain(payload):
    if payload == "raise":
        raise ValueError("x")
    if payload == "chained":
        try:
            {}["missing"]
        except KeyError as error:
            raise Broken("outer") from error
    if payload == "exit":
        sys.exit(3)
    if payload == "retry":
        raise Retry("later", after=1.5)
    if payload == "retry by policy":
        raise Retry()
    if payload == "drop":
        raise Drop("enough")
    if payload == "reject":
        raise Reject("never")
    if payload == "set":
        return {"deep": [1, {2}]}
    if payload == "nan":
        return float("nan")
    if payload == "object":
        return object()
    if payload == "surrogate":
        return "\ud800"
    if payload == "int keys":
        return {1: "one", False: "no", None: "nothing", 1.5: "more"}
    if payload == "big":
        return [2**70, 1e300]
    if payload == "none":
        return None
    if payload == "empty":
        return []
    if payload == "tuple":
        return (1, 2)
    if payload == "nested":
        value = []
        for _ in range(100_000):
            value = [value]
        return {"value": value}
    if payload == "generator":
        return (n for n in range(3))
    if payload == "coroutine":
        return asyncio.sleep(0)
    return payload


def bare(payload):
    raise KeyboardInterrupt("bare")


def asking(payload):
    now = context()
    if payload == "all":
        return {
            "id": now.id,
            "parent": now.parent_id,
            "headers": now.headers,
            "route": [now.route.actors, now.route.current, now.route.metadata],
            "actor": now.actor,
            "attempt": now.attempt,
            "deadline": str(now.deadline),
            "remaining": now.remaining(),
            "next": now.route.next,
        }
    if payload == "insert":
        now.route.insert_next("x", "y")
    if payload == "header":
        now.set_header("color", {"name": "blå"})
    if payload == "platform":
        now.set_header("x-asya-hops", 0)
    if payload == "progress":
        now.progress(0.25, "a quarter")
        now.progress(7)
    return payload


def many(payload):
    for n in range(payload):
        context().set_header("n", n)
        yield n
    if payload == 3:
        raise KeyError("three")
    if payload == 4:
        yield {4}


def lines(payload):
    for n in range(payload):
        os.environ["BEHAVE_MADE"] = str(n + 1)
        yield "x" * 10_000


async def astream(payload):
    for n in range(payload):
        os.environ["BEHAVE_MADE"] = str(n + 1)
        yield n


async def torrent(payload):
    """Is left alone after its first item, and never waits for anything."""
    yield 0
    time.sleep(0.3)
    for n in range(1, payload):
        yield n


async def later(payload):
    if payload == "raise":
        raise ValueError("async")
    if payload == "exit":
        sys.exit(4)
    if payload == "hang":
        await asyncio.sleep(600)
    if payload == "stubborn":
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return "saved"
    if payload == "cancel myself":
        raise asyncio.CancelledError
    await asyncio.sleep(0.01)
    return payload


async def stream(payload):
    for n in range(payload):
        yield n
        await asyncio.sleep(0)
    if payload == 3:
        raise KeyError("three")


def batch(payloads):
    if "whole" in payloads:
        raise ValueError("whole")
    if "short" in payloads:
        return []
    return [ValueError(p) if p == "bad" else None if p == "none" else {1} if p == "set" else [p] for p in payloads]


def whole(envelope):
    kind = envelope["payload"]
    route = envelope["route"]
    route["current"] += 1
    if kind == "erase":
        route["actors"] = ["z"]
    if kind == "none":
        return None
    if kind == "headers":
        envelope["headers"] = {"new": 1}
    if kind == "text":
        return "text"
    if kind == "two":
        return [envelope, {**envelope, "payload": 2}]
    return envelope


def slow(payload):
    while not os.path.exists(payload):
        time.sleep(0.005)
    return "came back"


def thread(payload):
    local.count = getattr(local, "count", 0) + 1
    return [threading.current_thread() is threading.main_thread(), local.count, payload]


def deep(payload):
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    return down(payload)
