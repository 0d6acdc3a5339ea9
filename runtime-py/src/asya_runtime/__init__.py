"""Runs plain Python handlers behind an asya-rs sidecar.

A handler needs nothing from here. What it may use: `context()`, and the exceptions `Retry`, `Drop` and `Reject`.
"""

from .context import Context, Route, context
from .errors import Drop, Reject, Retry, ValidationError

__version__ = "0.1.0"
__all__ = ["Context", "Drop", "Reject", "Retry", "Route", "ValidationError", "__version__", "context"]
