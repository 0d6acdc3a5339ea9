"""Sends envelopes to actors and follows them.

`Client.from_url` takes the address of a gateway (`http`, `gateway`), of RabbitMQ (`rabbitmq`) or of SQS (`sqs`);
`AsyncClient` (`aio`) is the same for asyncio. `records` are what a gateway tells, `errors` what goes wrong.

What must stay true: nothing is made twice. Each envelope has its id before it is sent, and a request is repeated only
where the other side knows that id, or cannot have taken it.
"""

from .aio import AsyncClient, AsyncStream
from .client import Client
from .errors import (
    AsyaError,
    Cancelled,
    Conflict,
    Denied,
    Failed,
    FieldError,
    Invalid,
    NotFound,
    Refused,
    StillRunning,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unconfirmed,
    Unsupported,
)
from .records import Envelope, Tool, Update
from .stream import Stream

__version__ = "0.1.0"
__all__ = [
    "AsyaError",
    "AsyncClient",
    "AsyncStream",
    "Cancelled",
    "Client",
    "Conflict",
    "Denied",
    "Envelope",
    "Failed",
    "FieldError",
    "Invalid",
    "NotFound",
    "Refused",
    "StillRunning",
    "Stream",
    "TooLarge",
    "Tool",
    "Unauthenticated",
    "Unavailable",
    "Unconfirmed",
    "Unsupported",
    "Update",
    "__version__",
]
