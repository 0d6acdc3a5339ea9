#!/usr/bin/env python3
"""Counts the calls that a program made to the test cluster's API server.

usage: calls.py AUDIT_LOG [USER_AGENT_PREFIX]

Start the server with ASYA_TEST_KUBERNETES_AUDIT=1; the log is STATE/kubernetes/audit.log. A watch is one call, counted
when it begins. Prints `VERB RESOURCE[/SUBRESOURCE] COUNT`, most frequent first; without a prefix the user agent comes
before.
"""

from __future__ import annotations

import json
import sys
from collections import Counter


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 64
    prefix = sys.argv[2] if len(sys.argv) == 3 else None
    calls: Counter[tuple[str, ...]] = Counter()
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            event = json.loads(line)
            agent = event.get("userAgent", "").split(" ")[0]
            watch = event["verb"] == "watch"
            if event["stage"] != ("ResponseStarted" if watch else "ResponseComplete"):
                continue
            if prefix is not None and not agent.startswith(prefix):
                continue
            target = event.get("objectRef", {})
            parts = [target.get("resource", event["requestURI"].split("?")[0]), target.get("subresource")]
            key = (event["verb"], "/".join(part for part in parts if part))
            calls[key if prefix is not None else (agent, *key)] += 1
    for key, count in calls.most_common():
        print(*key, count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
