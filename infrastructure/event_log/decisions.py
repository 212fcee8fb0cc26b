"""Deciding on several streams in one transaction, in which others append to them too."""

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection

from application.errors import ConcurrentUpdate
from application.policies.decision import Decision, Facts
from application.ports.event_log import Appended
from domain.errors import Refused
from domain.model import Recorded
from infrastructure.event_log import metrics
from infrastructure.event_log.codec import COLUMNS, LogIdentity, decode_row, encode
from infrastructure.event_log.log import Command, append_batch, outcome_of, read_identity
from infrastructure.postgres.sql import statement

_READ = statement(
    f"SELECT {COLUMNS} FROM {{log}} WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version"
)
# What is appended may be told to others as soon as it is seen: it must not be lost with the server's last moments.
_DURABLY = b"SET LOCAL synchronous_commit = on"

_identities: WeakKeyDictionary[AsyncConnection, LogIdentity] = WeakKeyDictionary()


async def decide_and_append(connection: AsyncConnection, decisions: Sequence[Decision]) -> Sequence[Appended | None]:
    """Decide and append; answer what each decision recorded, None where nothing was to be recorded.

    In the open transaction of the connection (READ COMMITTED), which holds the log's lock from the first append to its
    end: rows are locked before, and at most one statement follows. Those of a stream are decided in their order, each
    upon what the one before recorded. A stream on which somebody else was faster is read and decided again: under the
    lock nobody can be faster any more. A decision that the domain refuses is counted, and records nothing.
    """
    return await _Deciding(connection, decisions).run()


async def read_streams(connection: AsyncConnection, streams: Iterable[str]) -> dict[str, Facts]:
    """Answer the facts of each stream, oldest first, in one query; none for an unknown stream. Raises UnknownFact."""
    names = sorted(set(streams))
    found: dict[str, list[Recorded[Any]]] = {name: [] for name in names}
    if names:
        identity = await _identity(connection)
        cursor = await connection.cursor(binary=True).execute(_READ, (names,), prepare=True)
        for row in await cursor.fetchall():
            found[row[1]].append(decode_row(row, identity))
    return dict(found)


class _Deciding:
    """One call of ``decide_and_append``: passes, in each of which every stream has its first waiting decision decided."""

    def __init__(self, connection: AsyncConnection, decisions: Sequence[Decision]) -> None:
        self._connection = connection
        self._decisions = decisions
        self._outcomes: list[Appended | None] = [None] * len(decisions)
        self._streams = {one.stream: one.known for one in decisions if one.known is not None}
        self._locked = False

    async def run(self) -> Sequence[Appended | None]:
        await self._read({one.stream for one in self._decisions} - self._streams.keys())
        waiting = list(range(len(self._decisions)))
        while waiting:
            now, later = self._first_of_each_stream(waiting)
            waiting = sorted([*await self._append(now), *later])
        return self._outcomes

    def _first_of_each_stream(self, waiting: Sequence[int]) -> tuple[list[int], list[int]]:
        now: dict[str, int] = {}
        for number in waiting:
            now.setdefault(self._decisions[number].stream, number)
        first = set(now.values())
        return list(now.values()), [number for number in waiting if number not in first]

    async def _append(self, numbers: Sequence[int]) -> list[int]:
        """Decide these, of different streams; answer those that must be decided again."""
        commands = [(number, command) for number in numbers if (command := self._command(self._decisions[number]))]
        if not commands:
            return []
        identity, again = await _identity(self._connection), list[int]()
        if not self._locked:
            await self._connection.execute(_DURABLY)
        verdicts = await append_batch(self._connection, [command for _, command in commands])
        for (number, command), verdict in zip(commands, verdicts, strict=True):
            outcome = outcome_of(command, verdict, identity)
            if isinstance(outcome, ConcurrentUpdate) and not self._locked:
                again.append(number)
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                self._outcomes[number] = outcome
                self._streams[command.stream] = [*self._streams[command.stream], *outcome.events]
        self._locked = True
        await self._read({self._decisions[number].stream for number in again})
        return again

    def _command(self, decision: Decision) -> Command | None:
        facts = self._streams[decision.stream]
        try:
            decided = decision.decide(facts)
        except Refused as refusal:
            metrics.REFUSED.labels(decision.envelope.actor, refusal.code).inc()
            return None
        if not decided:
            return None
        return Command(
            stream=decision.stream,
            version=len(facts),
            facts=decided,
            states=[encode(fact) for fact in decided],
            envelope=decision.envelope,
        )

    async def _read(self, streams: Iterable[str]) -> None:
        self._streams |= await read_streams(self._connection, streams)


async def _identity(connection: AsyncConnection) -> LogIdentity:
    """Answer the log's ids; a restore, which adds one, ends all connections."""
    if (known := _identities.get(connection)) is None:
        known = _identities[connection] = await read_identity(connection)
    return known
