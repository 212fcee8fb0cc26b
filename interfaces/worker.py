"""The process ``work``: keeps the views up with the log."""

import asyncio
import signal

import structlog
from prometheus_client import start_http_server

from interfaces.bootstrap import run_projections
from interfaces.listening import CannotListen
from interfaces.loop import loop_factory
from interfaces.settings import Settings

_log = structlog.get_logger("perezvon.work")


def work(dsn: str, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then finish the batches that are under way. A lost database is waited for.

    ``dsn`` is for the service's role. With ``metrics_port`` set, the metrics are served there to everybody. Raises
    CannotListen when that port is in use.
    """
    if settings.metrics_port is not None:
        _show_metrics(settings.metrics_port)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_working(dsn))


def _show_metrics(port: int) -> None:
    try:
        start_http_server(port)
    except OSError as error:
        raise CannotListen(f"PEREZVON_METRICS_PORT {port}: {error.strerror}") from error


async def _working(dsn: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("working")
    await run_projections(dsn, stop)
    _log.info("drained")
