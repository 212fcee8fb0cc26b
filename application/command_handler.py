"""Handling of commands: load a stream, decide on it, append the facts.

Every use case that changes something goes through ``change`` or ``Idempotency.run``. Both append with the version that the
decision was made on (optimistic concurrency); ``change`` starts over when another command was recorded first.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec

from application.callers import Request
from application.errors import ConcurrentUpdate, IdempotencyKeyTaken, KeyReused, PreconditionFailed
from application.ports.event_log import Appended, EventLog, IdempotencyKey
from domain.catalogue import ENDINGS
from domain.errors import HistoryFull
from domain.limits import HISTORY_BYTES_MAX
from domain.model import Fact, Recorded, Snapshot

ATTEMPTS = 8
"""Times that a command is decided before it gives up because of other commands on the same stream."""

F = TypeVar("F", bound=Fact)
P = ParamSpec("P")


class CommandResult(msgspec.Struct, Generic[F], frozen=True):
    """A handled command: the stream's events up to the last one that the command recorded, as ``EventLog.read`` returns them.

    ``is_replay``: an earlier request with the same idempotency key recorded them.
    """

    events: Sequence[Recorded[F]]
    is_replay: bool = False


class Idempotency:
    """The idempotency key of a request, if it has one: its command is recorded once, and replayed for 24 hours."""

    def __init__(self, log: EventLog, request: Request, scope: str) -> None:
        """Look up in ``log`` what the key has done; ``scope`` names the owner of the key."""
        self._log = log
        self.key = _key_of(request, scope)

    def run(
        self, command: Callable[P, Awaitable[CommandResult[Any]]], *arguments: P.args, **keywords: P.kwargs
    ) -> Awaitable[CommandResult[Any]]:
        """Run a command that appends with ``key``, or return what the key's command recorded before.

        Raises KeyReused when the key belongs to another request, and ConcurrentUpdate when a command with this key is
        still being recorded.
        """
        if self.key is None:  # no coroutine of its own: most commands have no key, and each takes 50 µs in all
            return command(*arguments, **keywords)
        return self._run_once(partial(command, *arguments, **keywords))

    async def _run_once(self, command: Callable[[], Awaitable[CommandResult[Any]]]) -> CommandResult[Any]:
        if earlier := await self._replay():
            return earlier
        try:
            return await command()
        except IdempotencyKeyTaken as error:
            if earlier := await self._replay():
                return earlier
            raise ConcurrentUpdate from error

    async def _replay(self) -> CommandResult[Any] | None:
        record = await self._log.idempotency_record(self.key.digest) if self.key else None
        if self.key is None or record is None:
            return None
        if record.fingerprint != self.key.fingerprint:
            raise KeyReused
        return CommandResult(await self._log.read_until(record.stream, version=record.version), is_replay=True)


async def change(
    load: Callable[[], Awaitable[Sequence[Recorded[F]]]],
    decide: Callable[[Sequence[Recorded[F]]], Sequence[F]],
    append: Callable[[int, Sequence[F]], Awaitable[Appended]],
    *,
    if_match: int | None = None,
    idempotency: Idempotency | None = None,
    attempts: int = ATTEMPTS,
    bytes_max: int = HISTORY_BYTES_MAX,
) -> CommandResult[F]:
    """Load a stream, decide on its events and append the new facts after the version that was decided on.

    ``load`` returns at least one event, or raises. A decision without facts appends nothing, unless an idempotency key has
    to be recorded. When the stream has moved on meanwhile, it is loaded and decided again, ``attempts`` times in all.

    Raises PreconditionFailed when the stream's version is not ``if_match``, HistoryFull when the stream takes ``bytes_max``
    bytes already and the facts end nothing, KeyReused, ConcurrentUpdate, and what ``load``, ``decide`` and ``append`` raise. A stream that does not exist is reported before a reused key, and a replay
    comes before ``if_match``: the first response may have been lost.
    """
    loaded = await load()

    async def record() -> CommandResult[F]:
        events = loaded
        for _ in range(attempts):
            if if_match is not None and if_match != events[-1].version:
                raise PreconditionFailed(events[-1].version)
            facts = decide(events)
            if not facts and (idempotency is None or idempotency.key is None):
                return CommandResult(events)
            _check_room(events[0].fact, facts, bytes_max)
            try:
                appended = await append(events[-1].version, facts)
            except ConcurrentUpdate:
                events = await load()
            else:
                return CommandResult([*events, *appended.events])
        raise ConcurrentUpdate

    return await (idempotency.run(record) if idempotency else record())


def _check_room(first: Fact | Snapshot[Any], facts: Sequence[Fact], bytes_max: int) -> None:
    """Raise HistoryFull if the stream is full according to its snapshot: a stream without one is short."""
    if (
        isinstance(first, Snapshot)
        and first.bytes >= bytes_max
        and not all(isinstance(fact, ENDINGS) for fact in facts)
    ):
        raise HistoryFull(bytes_max)


def _key_of(request: Request, scope: str) -> IdempotencyKey | None:
    if request.idempotency_key is None:
        return None
    digest = hashlib.sha256(f"{scope}\0{request.idempotency_key}".encode()).digest()
    return IdempotencyKey(digest=digest, fingerprint=request.fingerprint)
