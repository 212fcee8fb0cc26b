"""Garbage collection of the long-running processes."""

import gc

# Requests and batches create and drop objects by the thousand, almost none of them in reference cycles.
_THRESHOLDS = (50_000, 50, 100)


def limit_garbage_collection() -> None:
    """Exclude all objects that exist now from garbage collection, and collect new ones less often.

    Call it when the process is prepared. A full collection would examine the modules, the application and its routes each
    time: 100 ms in which the event loop of the API serves no request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
