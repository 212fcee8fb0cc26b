"""Kill -9 of random workers while callbacks are dialled, and of Postgres once: `./run chaos --calls`.

Each second, for a minute, one of four workers; then Postgres, while a known rate of calls is started; then nothing more
until the last callback has finished.
"""

import asyncio
import json
import sys
import time
from random import Random

import msgspec

from infrastructure.postgres.migrations import migrate
from tests.chaos.calls_verdict import CallsVerdict, judge
from tests.chaos.processes import Postgres, log, throw_away_folder
from tests.chaos.switchboard import LIMIT, Switchboard, switchboard

WORKERS = 4

_EACH_S = 1.0
_PATIENCE_S = 600.0
_STEADY = 10  # a rate is measured over that part of the callbacks


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Calls dialled per second before and after Postgres was killed, and the seconds from its return to the first of them.

    A rate is none where too few were left to tell.
    """

    per_s_before: float | None
    per_s_after: float | None
    first_call_after_s: float


async def main(*, callbacks: int, seconds: float, seed: int, as_json: bool) -> int:
    """Run the storm, print what was found, and answer 0 if every promise was kept."""
    folder, began = throw_away_folder(), time.monotonic()

    def progress(line: str) -> None:
        log(f"{time.monotonic() - began:5.0f} s  {line}")

    postgres = Postgres(folder)
    postgres.start()
    migrate(postgres.dsn)
    async with switchboard(postgres.dsn, folder, workers=WORKERS) as board:
        await board.fill(callbacks, seed)
        await board.settled()
        progress(f"{callbacks} callbacks, {WORKERS} workers")
        kills = await storm(board, seconds, Random(seed))
        progress(f"{kills} kills, {(await board.counts()).placed} calls dialled")
        restart = await restarted(board, postgres)
        progress(f"Postgres killed, {(await board.counts()).placed} calls dialled")
        await board.over(_PATIENCE_S)
        counts = await board.counts()
        progress("over")
    verdict = await judge(postgres.dsn, counts, board.receiver.got, callbacks=callbacks, limit=LIMIT)
    show(verdict, restart, kills=kills, seconds=time.monotonic() - began, as_json=as_json)
    return 0 if verdict.clean else 1


async def storm(board: Switchboard, seconds: float, random: Random) -> int:
    """Kill a random worker each second, and restart it at once; return the number of kills."""
    kills, began = 0, time.monotonic()
    while time.monotonic() < began + seconds:
        await asyncio.sleep(_EACH_S)  # an arbitrary moment is the purpose here
        await board.kill(random.randrange(WORKERS))
        kills += 1
    return kills


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


async def rate(board: Switchboard, calls: int) -> float | None:
    """Return the calls dialled per second in a steady state, or None when too few callbacks remain."""
    await board.settled()
    began = time.monotonic()
    if await board.dialled(calls) < calls:
        return None
    return round(calls / (time.monotonic() - began), 1)


def show(verdict: CallsVerdict, restart: Restart, *, kills: int, seconds: float, as_json: bool) -> None:
    """Print the verdict: one JSON object, or lines for people."""
    found = msgspec.to_builtins(verdict) | {"kills": kills, "seconds": round(seconds, 1), "limit": LIMIT}
    if as_json:
        found |= {"restart": msgspec.to_builtins(restart), "clean": verdict.clean}
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
    log(f"{'clean' if verdict.clean else 'NOT CLEAN'}, after {seconds:.0f} s")
