"""Handlers that behave and misbehave, for the tests."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from asya_runtime import Drop, Reject, Retry, context, contexts


def identity(value):
    return value


def text(_):
    return "str"


def pair(_):
    return (1, 2)


def none(_):
    return None


def empty(_):
    return []


def raises(_):
    raise ValueError("x")


def do(what):
    """Does what its payload says."""
    if what == "object":
        return object()
    if what == "nan":
        return {"a": [1.0, float("nan")]}
    if what == "set":
        return {"deep": [{"er": {1}}]}
    if what == "bytes":
        return b"x"
    if what == "cycle":
        cycle = []
        cycle.append(cycle)
        return {"c": cycle}
    if what == "hang":
        while True:
            time.sleep(60)
    if what == "exit":
        os._exit(3)
    if what == "sys.exit":
        sys.exit(4)
    if what == "print":
        for _ in range(40):
            sys.stdout.write("y" * 100_000 + "\n")
        print("the end")
        os.write(1, b"past python\n")
        return "printed"
    if what == "fork":
        return subprocess.Popen(["sleep", "60"], close_fds=False).pid
    if what == "pid":
        return os.getpid()
    if what == "retry":
        raise Retry("busy", after=1.5)
    if what == "drop":
        raise Drop("old")
    if what == "reject":
        raise Reject("no")
    if what == "surrogate":
        return "\ud800"
    if what == "huge":
        return "z" * 3_000_000
    if isinstance(what, dict) and "sleep" in what:
        time.sleep(what["sleep"])
    return what


def seen(_):
    here = context()
    here.progress(0.5, "half")
    here.set_header("t", 2)
    here.route.insert_next("x", "y")
    remaining = here.remaining()
    return {
        "id": here.id, "parent": here.parent_id, "actor": here.actor, "attempt": here.attempt,
        "headers": here.headers, "actors": list(here.route.actors),
        "remaining": None if remaining is None else remaining > 1000,
    }  # fmt: skip


def count(n):
    yield from range(n)


def fails_after(n):
    yield from range(n)
    raise KeyError("late")


def big_items(n):
    for i in range(n):
        with open(os.environ["ASYA_SOCKET_DIR"] + "/produced", "w") as file:
            file.write(str(i))
        yield "b" * 100_000


async def async_big_items(n):
    for i in range(n):
        with open(os.environ["ASYA_SOCKET_DIR"] + "/produced", "w") as file:
            file.write(str(i))
        yield "b" * 100_000


async def async_do(what):
    if what == "hang":
        await asyncio.sleep(60)
    if what == "stubborn":
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    if what == "block":
        time.sleep(60)
    if what == "context":
        await asyncio.sleep(0.05)
        return context().id
    if isinstance(what, dict) and "sleep" in what:
        await asyncio.sleep(what["sleep"])
    return what


async def async_count(n):
    for i in range(n):
        yield i


def batch(payloads):
    if "spoil" in payloads:
        raise RuntimeError("spoilt")
    if "exit" in payloads:
        os._exit(5)
    if "hang" in payloads:
        time.sleep(60)
    if "short" in payloads:
        return payloads[1:]
    assert len(contexts()) == len(payloads)
    return [ValueError("mine alone") if p == "bad" else {"of": len(payloads), "p": p} for p in payloads]


class Model:
    def __init__(self, factor=2):
        self.factor = factor
        self.calls = 0

    def process(self, n):
        self.calls += 1
        return {"n": n * self.factor, "calls": self.calls}


class Needs:
    def __init__(self, weights):
        pass

    def process(self, n):
        return n


@dataclass
class Order:
    name: str
    lines: "list[Line]"
    note: "str | None" = None


@dataclass
class Line:
    sku: str
    count: int = 1


def typed(order: Order):
    assert isinstance(order.lines[0], Line)
    return order


def advance(envelope):
    envelope["route"]["current"] += 1
    return envelope


def erase(envelope):
    envelope["route"]["actors"] = envelope["route"]["actors"][1:]
    envelope["route"]["current"] = 0
    return envelope


def end(_):
    return {}
