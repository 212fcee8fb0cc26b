"""The supervisor of ``perezvon up``: restarts processes that end, and ends them when it ends.

A child is started with a pipe as its standard input. The parent never writes to it. When the parent ends, for any reason, the
input ends, and the child drains and stops (interfaces/processes/parent_watch.py).
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pwd import struct_passwd

import msgspec
import structlog

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
_SETTLED = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = structlog.get_logger("perezvon.up")


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep running. ``descriptors`` are the open files that it inherits besides its output.

    ``environment`` overrides variables of the parent. A child that ``serves_others`` is stopped after the others drained.
    ``user`` is the user to run it as, None for the parent's.
    """

    name: str
    command: Sequence[str]
    descriptors: tuple[int, ...] = ()
    environment: Mapping[str, str] = {}
    serves_others: bool = False
    user: struct_passwd | None = None


async def supervise(
    children: Sequence[Child],
    chores: Sequence[Callable[[], Awaitable[None]]],
    *,
    patience: float,
) -> None:
    """Keep the children and the chores running until SIGINT, SIGTERM or SIGHUP; then stop all of them.

    Args:
        children: processes, started at once; one that ends is restarted after a backoff of 0.2 s that doubles up to 30 s.
        chores: coroutines to run meanwhile; a chore that fails stops everything.
        patience: seconds that a child may take to stop before it is killed.

    Raises:
        ExceptionGroup: the error of a chore.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_done(chore)) for chore in chores]
        servants: list[asyncio.Task[None]] = []
        for child in children:
            (servants if child.serves_others else tasks).append(group.create_task(_keep(child, patience)))
        await stopping.wait()
        _log.info("stopping")
        for ending in filter(None, (tasks, servants)):
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)


async def _done(chore: Callable[[], Awaitable[None]]) -> None:
    await chore()


async def _keep(child: Child, patience: float) -> None:
    pause = _FIRST_PAUSE
    while True:
        began = time.monotonic()
        process = await _started(child)
        try:
            code = await process.wait()
        finally:
            await _ended(child, process, patience)
        if time.monotonic() - began > _SETTLED:
            pause = _FIRST_PAUSE
        _log.warning("process ended, restarting", process=child.name, code=code, pause_s=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _started(child: Child) -> Process:
    user = child.user
    process = await asyncio.create_subprocess_exec(
        *child.command,
        stdin=PIPE,
        stdout=sys.stderr.fileno(),  # only the parent writes to standard output
        pass_fds=child.descriptors,
        env={**os.environ, **({"HOME": user.pw_dir} if user else {}), **child.environment},
        process_group=0,  # Ctrl-C reaches only the parent, which then stops its children
        user=user and user.pw_uid,
        group=user and user.pw_gid,
        extra_groups=[] if user else None,
        cwd="/" if user else None,
    )
    _log.info("started", process=child.name, pid=process.pid)
    return process


async def _ended(child: Child, process: Process, patience: float) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        _log.warning("process did not stop, killing it", process=child.name, patience_s=patience)
        process.kill()
        await process.wait()
