"""The limit holds while worker processes are killed: the short form of `./run chaos --calls`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.calls_verdict import judge
from tests.chaos.switchboard import LIMIT, switchboard

pytestmark = pytest.mark.anyio

CALLBACKS = 60


async def test_workers_that_are_killed_exceed_no_limit_lose_nobody_dial_nobody_twice_and_tell_everything(
    database: str,
) -> None:
    with TemporaryDirectory() as folder:
        async with switchboard(database, Path(folder), workers=2) as board:
            await board.fill(CALLBACKS, seed=1)
            for number in (0, 1, 0):
                await board.dialled(10)
                await board.kill(number)
            await board.settled()  # Postgres has completed the statements of the killed workers
            await board.expire_webhook_leases()
            await board.over(timeout=120)
            counts = await board.counts()
    verdict = await judge(database, counts, board.receiver.got, callbacks=CALLBACKS, limit=LIMIT)
    assert verdict.faults == []
    assert verdict.leaders > 1
