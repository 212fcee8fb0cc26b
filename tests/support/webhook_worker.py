"""A worker that only delivers webhooks; its argument is the DSN. SIGTERM ends it; ``PROFILE`` names a file for its profile."""

import asyncio
import cProfile
import os
import signal
import sys
from contextlib import nullcontext

from interfaces.config.settings import from_environment
from interfaces.config.webhooks import webhook_options
from interfaces.processes.event_loop import loop_factory
from tests.support.worker_parts import deliver


async def main(dsn: str) -> None:
    """Deliver until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await deliver(dsn, stop, webhook_options(from_environment()))


if __name__ == "__main__":
    path = os.environ.get("PROFILE")
    profile = cProfile.Profile() if path else None
    with asyncio.Runner(loop_factory=loop_factory()) as runner, profile or nullcontext():
        runner.run(main(sys.argv[1]))
    if path and profile:
        profile.dump_stats(path)
