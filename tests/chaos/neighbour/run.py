"""Organisation B alone, then beside a hostile organisation A: `./run chaos --neighbour`.

B's 99th percentiles beside A must be at most twice those alone, or 30 ms more; its figures alone are shown too. The short
form compares medians, with wider limits: of few requests, the 99th percentile is the slowest one, and the machine of a test is
busy.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec

from tests.chaos.neighbour import hostile, without_shares
from tests.chaos.neighbour.quiet import PATIENCE_S, Figures, Quiet
from tests.chaos.neighbour.service import Service, Tenant, new_tenant, running_service
from tests.chaos.processes import CLI, log, throw_away_folder
from tests.support.receiving import receiving

SECONDS, SHORT_SECONDS = 120.0, 20.0


class Limits(NamedTuple):
    """Limits of the figures of B beside A: ``factor`` times those alone, or ``margin_ms`` more."""

    percent: int
    factor: float
    margin_ms: float


FULL, SHORT = Limits(99, 2.0, 30.0), Limits(50, 3.0, 60.0)

_PREPARE_S = 120.0


def main(*, seconds: float | None, shares: bool, is_short: bool, as_json: bool) -> int:
    """Run both halves and print the figures; return 0 if B was not disturbed."""
    folder = throw_away_folder()
    program = CLI if shares else ("-m", without_shares.__name__)
    with running_service(folder, program) as service:
        alone, beside = asyncio.run(_both(service, folder, seconds or (SHORT_SECONDS if is_short else SECONDS)))
    return show(alone, beside, allowed=SHORT if is_short else FULL, as_json=as_json)


async def _both(service: Service, folder: Path, seconds: float) -> tuple[Figures, Figures]:
    quiet_tenant, hostile_tenant = [await new_tenant(service.dsn, name) for name in ("Quiet", "Hostile")]
    timeout = aiohttp.ClientTimeout(total=30)
    async with receiving() as receiver, aiohttp.ClientSession(timeout=timeout) as session:
        quiet = Quiet(service, quiet_tenant, receiver, session)
        await quiet.prepare()
        log(f"B alone, {seconds:.0f} s")
        alone = await quiet.work(seconds)
        log("A prepares")
        with (folder / "hostile.log").open("w") as errors:
            process = await asyncio.to_thread(start_hostile, service, hostile_tenant, errors.fileno())
            try:
                log(f"B beside A, {seconds:.0f} s")
                beside = await quiet.work(seconds)
                if process.poll() is not None:
                    sys.exit(f"A ended: {(folder / 'hostile.log').read_text()[-2000:]}")
            finally:
                process.kill()
        return alone, beside


def start_hostile(service: Service, tenant: Tenant, errors: int) -> "subprocess.Popen[str]":
    """Start organisation A's process; return when it is prepared."""
    arguments = [msgspec.json.encode(value).decode() for value in (service, tenant)]
    command = [sys.executable, "-m", hostile.__name__, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout
    if process.stdout.readline() != "prepared\n":
        sys.exit("A could not prepare")
    return process


def show(alone: Figures, beside: Figures, *, allowed: Limits, as_json: bool) -> int:
    """Print both halves; return 0 if every figure beside A is within its limit."""
    percent, factor, margin_ms = allowed
    before, after = alone.percentile_ms(percent), beside.percentile_ms(percent)
    limits = {name: round(max(factor * value, value + margin_ms), 1) for name, value in before.items()}
    missing = sorted(name for name, value in before.items() if value >= 1000 * PATIENCE_S)
    if missing:
        sys.exit(f"B alone had no {', '.join(missing)}: the run says nothing")
    disturbed = sorted(name for name, limit in limits.items() if after[name] > limit)
    if as_json:
        found = {
            f"alone_p{percent}_ms": before,
            f"beside_p{percent}_ms": after,
            "limit_ms": limits,
            "disturbed": disturbed,
        }
        sys.stdout.write(json.dumps(found | {"clean": not disturbed}) + "\n")
    else:
        for name, limit in limits.items():
            log(f"{name:<11} p{percent} alone {before[name]:>8} ms, beside A {after[name]:>8} ms, limit {limit:>8} ms")
        log(f"DISTURBED: {', '.join(disturbed)}" if disturbed else "clean")
    return 1 if disturbed else 0
