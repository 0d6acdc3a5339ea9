"""`--probe`: asks the runtime of this container whether it works, for the kubelet. Needs no shell, imports little.

The question is a frame that no sidecar sends (a body of one zero byte). The supervisor refuses it with an answer and
nothing else, between two events like any other: it answers while handlers are busy, and only then.
"""

from __future__ import annotations

import os
import socket
import sys

QUESTION = b"\0\0\0\1\0"
# Longer than a supervisor on a throttled CPU takes; the kubelet's own limit (timeoutSeconds) may be shorter.
PATIENCE = 3.0


def main(arguments: list[str]) -> int:
    """`[]` asks whether messages can be handled, `["live"]` whether the runtime need not be restarted; 0 = yes."""
    if arguments not in ([], ["live"]):
        print(f"--probe {' '.join(arguments)}: must be --probe or --probe live", file=sys.stderr)
        return 64
    directory = os.environ.get("ASYA_SOCKET_DIR") or "/var/run/asya"
    if not os.path.exists(f"{directory}/runtime-ready"):
        # Loading the handler, or ending. How long it may take is the startup probe's business.
        print("not ready: the handler is not loaded yet")
        return 0 if arguments else 1
    path = f"{directory}/{os.environ.get('ASYA_SOCKET_NAME') or 'asya-runtime.sock'}"
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(path)
            sock.sendall(QUESTION)
            if sock.recv(1):
                print("ok")
                return 0
        why = "it closed the connection without an answer"
    except OSError as error:
        why = str(error)
    print(f"the runtime at {path} does not answer: {why}")
    return 1
