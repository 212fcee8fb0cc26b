"""The process ``work``: keeps the views up with the log, has due callbacks dialled, and delivers webhooks."""

import asyncio
import gc
import signal
from collections.abc import Awaitable

import structlog
from prometheus_client import start_http_server

from interfaces.bootstrap.worker import worker_parts
from interfaces.config.settings import Settings
from interfaces.processes.event_loop import loop_factory
from interfaces.processes.sockets import CannotListen

# Batches make and drop facts by the thousand, none of them in cycles: looking for such took a third of the processor.
_COLLECTING = (50_000, 50, 100)

_log = structlog.get_logger("perezvon.work")


class PartEnded(Exception):
    """A part of the worker ended although nobody wanted it to; the supervisor is to start the whole again."""


def work(dsn: str, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then finish the batches that are under way. A lost database is waited for.

    ``dsn`` is for the service's role. With ``metrics_port`` set, the metrics are served there to everybody. Without a
    ``gateway`` nothing is dialled. Raises CannotListen when that port is in use, and whatever ended a part of it.
    """
    if settings.metrics_port is not None:
        _show_metrics(settings.metrics_port)
    gc.freeze()  # what is imported stays
    gc.set_threshold(*_COLLECTING)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_working(dsn, settings))


def _show_metrics(port: int) -> None:
    try:
        start_http_server(port)
    except OSError as error:
        raise CannotListen(f"PEREZVON_METRICS_PORT {port}: {error.strerror}") from error


async def _working(dsn: str, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("working", gateway=settings.gateway)
    try:
        async with asyncio.TaskGroup() as group:
            for name, part in worker_parts(dsn, settings, stop).items():
                group.create_task(_lasting(name, part, stop), name=name)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    _log.info("drained")


async def _lasting(name: str, part: Awaitable[None], stop: asyncio.Event) -> None:
    """Run a part that is to end when it is told to, and not before."""
    try:
        await part
    except Exception:
        _log.exception("a part of the worker failed", part=name)
        raise
    if not stop.is_set():
        raise PartEnded(f"The part {name} of the worker ended by itself")
