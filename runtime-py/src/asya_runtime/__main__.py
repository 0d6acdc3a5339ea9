"""`python3 -m asya_runtime`, or the zip file: the supervisor; with `--worker` one of its workers."""

from __future__ import annotations

import sys

USAGE = """\
usage: python3 -m asya_runtime

Serves the handler named by ASYA_HANDLER on a Unix socket in ASYA_SOCKET_DIR, for a sidecar. Configured by environment
variables: see docs/handlers.md. Example:

  ASYA_HANDLER=shout.shout ASYA_SOCKET_DIR=/tmp/shout python3 -m asya_runtime
"""


def main() -> None:
    """Decides what this process is."""
    if sys.argv[1:2] == ["--worker"]:
        from asya_runtime.worker import main as worker

        worker(sys.argv[2:])
    elif sys.argv[1:] in (["--help"], ["-h"]):
        print(USAGE, end="")
    elif sys.argv[1:] == ["--version"]:
        from asya_runtime import __version__

        print(__version__)
    elif sys.argv[1:]:
        sys.exit(f"asya_runtime: unknown arguments {sys.argv[1:]}\n{USAGE}")
    else:
        from asya_runtime.supervisor import main as supervisor

        sys.exit(supervisor())


if __name__ == "__main__":
    main()
