"""A worker process, from its fork to its exit."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import sys
import traceback

from . import output
from .batch import BatchWorker
from .board import Board
from .call import Callee
from .channel import Channel
from .config import Config
from .errors import LoadError
from .loader import load
from .worker_async import AsyncWorker
from .worker_sync import SyncWorker

# Exit code of a worker whose handler does not load; it has said why on its standard error.
LOAD_FAILED = 78
_PR_SET_PDEATHSIG = 1


def main(config: Config, number: int, channel: Channel, board: Board, parent: int) -> int:
    """Runs a worker in this process; returns its exit code."""
    _die_with(parent)
    output.install()
    os.environ["ASYA_WORKER_ID"] = str(number)
    try:
        if os.getcwd() not in sys.path and "" not in sys.path:
            # A zipapp's path is the zip alone; handlers lie where the process was started.
            sys.path.append(os.getcwd())
        loaded = load(config.handler, batch=config.batch_max > 1)
        callee = Callee(loaded, config)
    except LoadError as error:
        print(f"cannot load the handler: {error}", file=sys.stderr)
        return LOAD_FAILED
    except ImportError as error:
        print(f"ASYA_JSON={config.json}: {error}", file=sys.stderr)
        return LOAD_FAILED
    listener = _listen(config, number)
    try:
        if config.batch_max > 1:
            BatchWorker(config, callee, channel, board, listener).run()
        elif loaded.is_async:
            AsyncWorker(config, callee, channel, board, listener).run()
        else:
            SyncWorker(config, callee, channel, board, listener).run()
    except BaseException:
        print(f"the worker failed, not the handler:\n{traceback.format_exc()}", file=sys.stderr)
        return 70
    finally:
        # The process ends without the interpreter's own end, which would run the supervisor's clean-up too.
        atexit._run_exitfuncs()
        output.finish()
    return 0


def _listen(config: Config, number: int) -> socket.socket:
    path = str(config.worker_socket(number))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener.bind(path)
    if config.chmod is not None:
        os.chmod(path, config.chmod)
    listener.listen(16)
    return listener


def _die_with(parent: int) -> None:
    """Makes the kernel kill this process when the supervisor is gone, whatever the handler is doing."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        except (OSError, AttributeError):
            # Without it the end of the channel says the same, once the handler returns.
            pass
    if os.getppid() != parent:
        os._exit(0)
