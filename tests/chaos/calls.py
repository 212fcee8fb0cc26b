"""Kill -9 of random workers while callbacks are dialled, and of Postgres once: `./run chaos --calls`.

Each second, for a minute, one of four workers; then Postgres, while a known rate of calls is started; then nothing more
until the last callback has come to its end.
"""

import asyncio
import json
import sys
import time
from random import Random

import msgspec

from infrastructure.database import migrate
from tests.chaos.calls_verdict import CallsVerdict, judge
from tests.chaos.processes import Postgres, log, show_logs, throw_away_folder
from tests.chaos.switchboard import LIMIT, Switchboard, switchboard

WORKERS = 4

_EACH_S = 1.0
_PATIENCE_S = 300.0
_STEADY = 20  # a rate is measured over that part of the callbacks
_FULL_RATE = 0.5  # the calls of two such parts differ by chance


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Calls dialled per second before and after Postgres was killed, and the seconds from its return to the first of them."""

    per_s_before: float
    per_s_after: float
    first_call_after_s: float

    @property
    def full(self) -> bool:
        """Whether the workers came back at full rate."""
        return self.per_s_after >= _FULL_RATE * self.per_s_before


async def main(*, callbacks: int, seconds: float, seed: int, as_json: bool) -> int:
    """Run the storm, print what was found, and answer 0 if every promise was kept."""
    folder, began = throw_away_folder(), time.monotonic()
    postgres = Postgres(folder)
    postgres.start()
    migrate(postgres.dsn)
    async with switchboard(postgres.dsn, folder, workers=WORKERS) as board:
        try:
            await board.fill(callbacks, seed)
            kills = await storm(board, seconds, Random(seed))
            log(f"{kills} workers killed in {seconds:g} s, {(await board.counts()).placed} calls dialled")
            restart = await restarted(board, postgres)
            log(f"Postgres killed: {restart}")
            await board.over(_PATIENCE_S)
        except BaseException:
            show_logs(folder)
            raise
        counts = await board.counts()
    verdict = await judge(postgres.dsn, counts, board.receiver.got, callbacks=callbacks, limit=LIMIT)
    show(verdict, restart, kills=kills, seconds=time.monotonic() - began, as_json=as_json)
    return 0 if verdict.clean and restart.full else 1


async def storm(board: Switchboard, seconds: float, random: Random) -> int:
    """Kill a random worker each second, and start it again at once; answer how many were killed."""
    await board.settled()
    kills, began = 0, time.monotonic()
    while time.monotonic() < began + seconds:
        await asyncio.sleep(_EACH_S)  # whatever is going on at that moment is the point here
        await kill(board, random.randrange(len(board.workers)))
        kills += 1
    return kills


async def kill(board: Switchboard, number: int) -> None:
    """Kill a worker, and start it again."""
    await asyncio.to_thread(board.workers[number].kill)
    await asyncio.to_thread(board.workers[number].start)


async def restarted(board: Switchboard, postgres: Postgres) -> Restart:
    """Kill Postgres with all its backends and start it again, in the middle of a steady run."""
    part = max(1, board.callbacks // _STEADY)
    before = await rate(board, part)
    await asyncio.to_thread(postgres.kill)
    await asyncio.to_thread(postgres.start)
    back_at = time.monotonic()
    await board.dialled(1)
    first = time.monotonic() - back_at
    return Restart(per_s_before=before, per_s_after=await rate(board, part), first_call_after_s=round(first, 2))


async def rate(board: Switchboard, calls: int) -> float:
    """Answer how many calls a second are dialled once everything has settled."""
    await board.settled()
    began = time.monotonic()
    await board.dialled(calls)
    return round(calls / (time.monotonic() - began), 1)


def show(verdict: CallsVerdict, restart: Restart, *, kills: int, seconds: float, as_json: bool) -> None:
    """Print the verdict: one JSON object, or lines for people."""
    clean = verdict.clean and restart.full
    found = msgspec.to_builtins(verdict) | {"kills": kills, "seconds": round(seconds, 1), "limit": LIMIT}
    if as_json:
        found |= {"restart": msgspec.to_builtins(restart), "clean": clean}
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        return
    log(
        f"{verdict.callbacks} callbacks, {verdict.attempts} attempts, {verdict.dialled} dialled, {verdict.lost} lost before"
        f" they were; {verdict.leaders} leaders, {kills} kills"
    )
    log(f"most calls at once: {verdict.most_at_once}, the limit is {LIMIT}; most dials of a call: {verdict.most_dials}")
    log(f"{verdict.webhooks} webhooks received, {verdict.repeated} of them again; {verdict.events} events")
    log(
        f"Postgres killed: {restart.per_s_before}/s before, first call {restart.first_call_after_s} s after its return,"
        f" then {restart.per_s_after}/s"
    )
    for line in verdict.faults[:10]:
        log(f"FAULT {line}")
    log(f"{'clean' if clean else 'NOT CLEAN'}, after {seconds:.0f} s")
