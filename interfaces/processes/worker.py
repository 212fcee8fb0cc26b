"""The process ``work``: updates the views, dials due callbacks, and delivers webhooks."""

import asyncio
import signal
import socket
from collections.abc import Awaitable

import structlog

from interfaces.bootstrap.worker import worker_parts
from interfaces.config.settings import Settings
from interfaces.processes.event_loop import loop_factory
from interfaces.processes.garbage_collection import limit_garbage_collection
from interfaces.processes.metrics_server import serving_metrics

_log = structlog.get_logger("perezvon.work")


class PartEnded(Exception):
    """A part of the worker ended without being stopped; the supervisor must restart the whole process."""


def work(dsn: str, settings: Settings, metrics: socket.socket) -> None:
    """Run until SIGTERM or SIGINT, then finish the current batches. Wait for a database that is lost.

    ``dsn`` is for the service's role. Metrics are served on the listening socket ``metrics``, without authentication.
    Without a ``gateway`` nothing is dialled. Raises the error that ended a part.
    """
    limit_garbage_collection()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(dsn, settings, metrics))


async def _run(dsn: str, settings: Settings, metrics: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("worker ready", gateway=settings.gateway)
    try:
        async with (
            serving_metrics(metrics, "work"),
            worker_parts(dsn, settings, stop) as parts,
            asyncio.TaskGroup() as group,
        ):
            for name, part in parts.items():
                group.create_task(_run_part(name, part, stop), name=name)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    _log.info("worker drained")


async def _run_part(name: str, part: Awaitable[None], stop: asyncio.Event) -> None:
    """Run a part. Raises PartEnded when it ends before ``stop`` is set."""
    try:
        await part
    except Exception:
        _log.exception("worker part failed", part=name)
        raise
    if not stop.is_set():
        raise PartEnded(f"The part {name!r} of the worker ended before the worker was stopped")
