"""The order in which processes end after `up` is stopped."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from interfaces.processes.supervisor import Child, supervise
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

# On SIGTERM: wait 0.5 s for a file that must not appear, and write whether it appeared to a file.
DRAINING = """
import pathlib, signal, sys, time
begun, awaited, result = map(pathlib.Path, sys.argv[1:])
def drain(*_):
    end = time.monotonic() + 0.5
    while time.monotonic() < end and not awaited.exists():
        time.sleep(0.01)
    result.write_text("alone" if awaited.exists() else "served")
    sys.exit()
signal.signal(signal.SIGTERM, drain)
begun.touch()
while True:
    signal.pause()
"""


def draining(folder: Path, name: str, awaited: str, *, serves_others: bool = False) -> Child:
    paths = (folder / f"{name}.begun", folder / awaited, folder / name)
    command = (sys.executable, "-c", DRAINING, *map(str, paths))
    return Child(name=name, command=command, serves_others=serves_others)


async def test_who_serves_others_ends_when_these_have_drained(tmp_path: Path) -> None:
    children = (
        draining(tmp_path, "servant", "nobody", serves_others=True),
        draining(tmp_path, "worker", "servant"),
    )
    supervising = asyncio.create_task(supervise(children, (), patience=10))

    async def have_begun() -> bool:
        return all((tmp_path / f"{child.name}.begun").exists() for child in children)

    try:
        await eventually_async(have_begun)
        os.kill(os.getpid(), signal.SIGTERM)
        await supervising
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)
    assert (tmp_path / "worker").read_text() == "served"
    assert (tmp_path / "servant").exists()
