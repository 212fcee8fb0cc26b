"""How much of a processor's time processes take."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.chaos.processes import children

Groups = Mapping[str, Sequence[int]]

_PARENT, _OWN, _OF_THE_DEAD = 1, slice(11, 13), slice(13, 15)  # proc(5), counted from after the name


async def load(groups: Callable[[], Groups], seconds: float) -> dict[str, float]:
    """Answer how many percent of one core each group of processes takes in so many seconds from now.

    A group's first process is the parent of the others: the time of those that end meanwhile is counted as its own.
    """
    before = _taken(groups())
    await asyncio.sleep(seconds)
    after = _taken(groups())
    return {name: round((after[name] - before[name]) / seconds * 100, 1) for name in before}


def family_of_server(dsn: str) -> list[int]:
    """Answer the ids of the processes of a Postgres on this machine, the postmaster first."""
    with psycopg.connect(dsn) as connection:
        postmaster = int(_fields(connection.info.backend_pid)[_PARENT])
    return [postmaster, *children(postmaster)]


def _taken(groups: Groups) -> dict[str, float]:
    return {name: _seconds(pids) for name, pids in groups.items()}


def _seconds(pids: Sequence[int]) -> float:
    ticks = 0
    for number, pid in enumerate(pids):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended, and its parent has its time
            fields = _fields(pid)
            ticks += sum(map(int, fields[_OWN])) + (0 if number else sum(map(int, fields[_OF_THE_DEAD])))
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
