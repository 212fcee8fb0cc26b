"""A child's end of the pipe to its parent (interfaces/supervisor.py)."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """From now on, end this process as SIGTERM does once its standard input ends."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass  # whatever was said: only the end counts
    os.kill(os.getpid(), signal.SIGTERM)
