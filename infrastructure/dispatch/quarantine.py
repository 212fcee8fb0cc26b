"""Quarantine of callbacks whose streams cannot be read: found by halving batches, then skipped, so that others go on."""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from infrastructure.dispatch import metrics

BATCH_MAX = 1000
QUARANTINED_FOR = timedelta(minutes=10)
"""How long a callback that cannot be read is not tried again; the sweeper of deleted queues skips it for a term."""

_logger = structlog.get_logger(__name__)


class Quarantine:
    """Callbacks to skip, and the batch limit while one of them is searched for."""

    def __init__(self) -> None:
        """Start empty."""
        self.ids: list[int] = []
        self.batch_max = BATCH_MAX

    def batch_failed(self, callback_ids: Sequence[int], error: ValueError) -> Sequence[int]:
        """Halve the next batch, for this one could not be read; quarantine the callback of a batch of one, and return it."""
        if len(callback_ids) > 1:
            self.batch_max = len(callback_ids) // 2
            return ()
        self.ids += callback_ids
        metrics.UNREADABLE.inc()
        _logger.error("callback quarantined", callbacks=list(callback_ids), error=str(error))
        return callback_ids

    def batch_succeeded(self) -> None:
        """Restore the batch limit, for a batch could be read."""
        self.batch_max = BATCH_MAX
