"""`python3 -m asya_runtime`: everything is said by the environment. `--probe` and `--probe live` ask one that runs."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the runtime, or asks it; returns the exit code."""
    if sys.argv[1:2] == ["--probe"]:
        from .probe import main as probe

        return probe(sys.argv[2:])
    # Only now: a probe runs every few seconds and needs none of it.
    from . import config
    from .supervisor import Supervisor

    try:
        settings = config.read()
    except config.ConfigError as error:
        print(f"asya_runtime: {error}", file=sys.stderr)
        return error.code
    return Supervisor(settings).run()


if __name__ == "__main__":
    sys.exit(main())
