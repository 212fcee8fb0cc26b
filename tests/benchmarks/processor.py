"""CPU time of groups of processes, read from `/proc`."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.chaos.processes import children

Groups = Mapping[str, Sequence[int]]

_PARENT, _OWN, _ENDED_CHILDREN = (
    1,
    slice(11, 13),
    slice(13, 15),
)  # fields of proc(5), counted from the one after the name


async def cpu_percent(groups: Callable[[], Groups], seconds: float) -> dict[str, float]:
    """Measure for ``seconds``; return the percentage of one core that each group of processes uses.

    The first process of a group is the parent of the others: it accounts for the CPU time of those that end meanwhile.
    """
    before = _cpu_seconds(groups())
    await asyncio.sleep(seconds)
    after = _cpu_seconds(groups())
    return {name: round((after[name] - before[name]) / seconds * 100, 1) for name in before}


def server_pids(dsn: str) -> list[int]:
    """Return the process ids of a Postgres server on this machine, the postmaster first."""
    with psycopg.connect(dsn) as connection:
        postmaster = int(_fields(connection.info.backend_pid)[_PARENT])
    return [postmaster, *children(postmaster)]


def _cpu_seconds(groups: Groups) -> dict[str, float]:
    return {name: _seconds(pids) for name, pids in groups.items()}


def _seconds(pids: Sequence[int]) -> float:
    ticks = 0
    for number, pid in enumerate(pids):
        with suppress(FileNotFoundError, ProcessLookupError):  # the process has ended; its parent accounts for its time
            fields = _fields(pid)
            ticks += sum(map(int, fields[_OWN])) + (0 if number else sum(map(int, fields[_ENDED_CHILDREN])))
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
