"""`python3 -m asya_runtime`: everything is said by the environment."""

from __future__ import annotations

import sys

from . import config
from .supervisor import Supervisor


def main() -> int:
    """Runs the runtime; returns its exit code."""
    try:
        settings = config.read()
    except config.ConfigError as error:
        print(f"asya_runtime: {error}", file=sys.stderr)
        return error.code
    return Supervisor(settings).run()


if __name__ == "__main__":
    sys.exit(main())
