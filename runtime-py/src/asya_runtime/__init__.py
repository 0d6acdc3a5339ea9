"""Runs Python handlers of Asya actors.

`config` reads the environment; `supervisor` owns the processes and the socket; a worker (`worker_sync`,
`batch`, `worker_async`) answers frames (`frames`) by calling what `loader` found; `results` and `envelopes` turn
what a handler returns into what is sent; `context` is what a handler sees of its message.

What must stay true: every request that a worker has begun is answered once, or its worker's exit is reported.
"""

from .context import Context, context, contexts
from .errors import Drop, PayloadError, Reject, Retry

__version__ = "0.1.0"
__all__ = ["Context", "Drop", "PayloadError", "Reject", "Retry", "__version__", "context", "contexts"]
