"""Handlers of which it matters when something happens."""

import asyncio
import os
import sys
import threading
import time

from asya_runtime import context


def naps(seconds):
    time.sleep(seconds)
    return seconds


async def async_naps(seconds):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("ended")
        raise
    return seconds


async def reports(n):
    try:
        for i in range(n):
            context().progress(i / n, str(i))
            yield i
            await asyncio.sleep(0)
    finally:
        print("closed")


def _report_late():
    mine, go = context(), threading.Event()

    def run():
        mine.progress(0.5, "in time")
        mine.progress(0.5, "\ud800")
        reported.set()
        go.wait()
        mine.progress(0.9, "too late")

    reported = threading.Event()
    threading.Thread(target=run).start()
    reported.wait()
    threading.Timer(0.2, go.set).start()


def late_report(value):
    _report_late()
    return value


async def async_late_report(value):
    _report_late()
    await asyncio.sleep(0.05)
    return value


def closes(n):
    """A plain function that gives an async generator."""

    async def values():
        try:
            for i in range(n):
                yield i
            yield object()
        finally:
            print("closed")

    return values()


def lists(payloads):
    return [[p, p] for p in payloads]


def lists_or_hangs(payloads):
    if len(payloads) > 1:
        raise RuntimeError("one by one")
    if payloads == ["hang"]:
        time.sleep(60)
    return payloads


def prints_long(_):
    for _ in range(300):
        sys.stdout.write("x" * 10_000)
    print()
    os.write(1, b"r" * 3_000_000 + b"\n")
    print("after")
    return "printed"


def naps_and_says(seconds):
    print(f"naps {seconds}")
    time.sleep(seconds)
    return seconds
