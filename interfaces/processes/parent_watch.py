"""The child's end of the pipe to its parent (interfaces/processes/supervisor.py)."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """Start a thread that sends SIGTERM to this process when its standard input ends."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="parent-watch", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass  # the content is ignored: only the end of input counts
    os.kill(os.getpid(), signal.SIGTERM)
