"""Callbacks whose streams cannot be read: found by halving, and left alone, so that they hold up nobody else."""

from collections.abc import Sequence

import structlog

from infrastructure.dispatch import metrics

BATCH = 1000

_logger = structlog.get_logger(__name__)


class Unreadable:
    """The callbacks that are to be left alone, and how large a batch may be while one of them is searched for."""

    def __init__(self) -> None:
        """Begin with none."""
        self.ids: list[int] = []
        self.most = BATCH

    def is_among(self, callback_ids: Sequence[int], error: ValueError) -> None:
        """Note that a batch could not be read: the next is half as large; the one of a batch of one is left alone."""
        if len(callback_ids) > 1:
            self.most = len(callback_ids) // 2
            return
        self.ids += callback_ids
        metrics.UNREADABLE.inc()
        _logger.error("a callback is left alone, it cannot be read", callbacks=list(callback_ids), error=str(error))

    def is_not_among_these(self) -> None:
        """Note that a batch could be read."""
        self.most = BATCH
