"""The worker stands or falls as a whole: whoever supervises it starts it again."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from interfaces.settings import Settings
from interfaces.worker import PartEnded, work

PARTS = ["run_projections", "run_deliveries", "run_dispatching"]


async def lasts(_dsn: str, stop: asyncio.Event, *_: object, **__: object) -> None:
    await stop.wait()


async def fails(*_: object, **__: object) -> None:
    raise LookupError("broken")


async def ends(*_: object, **__: object) -> None:
    pass


async def is_told_to_end(_dsn: str, stop: asyncio.Event, *_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what runs a worker whose parts last, but for those that are named."""

    def running(gateway: str | None = "simulated", **parts: object) -> None:
        for part in PARTS:
            monkeypatch.setattr(f"interfaces.worker.{part}", parts.get(part, lasts))
        work("", Settings(gateway=gateway))  # pyright: ignore[reportArgumentType] - a text here, a word there

    return running


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_ends_the_worker_with_its_error(run: Callable[..., None], part: str) -> None:
    with pytest.raises(LookupError, match="broken"):
        run(**{part: fails})


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_ends_by_itself_ends_the_worker(run: Callable[..., None], part: str) -> None:
    with pytest.raises(PartEnded):
        run(**{part: ends})


def test_all_parts_end_when_the_worker_is_told_to(run: Callable[..., None]) -> None:
    run(run_projections=is_told_to_end)


def test_without_a_gateway_nothing_is_dialled(run: Callable[..., None]) -> None:
    run(None, run_projections=is_told_to_end, run_dispatching=fails)
