"""A handler that loads fast once, and whose worker dies of its first message."""

import os
import time

if os.path.exists(os.environ["ASYA_SOCKET_DIR"] + "/slow"):
    time.sleep(3)


async def f(_):
    os._exit(1)
