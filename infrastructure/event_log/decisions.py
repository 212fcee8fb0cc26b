"""Decisions on several streams in one transaction, while others append to them too."""

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection

from application.errors import ConcurrentUpdate
from application.policies.decision import Decision, Facts
from application.ports.event_log import Appended
from domain.errors import Refused
from infrastructure.event_log import metrics
from infrastructure.event_log.append import Command, append_batch, outcome_of
from infrastructure.event_log.codec import encode
from infrastructure.event_log.identity import LogIdentity, read_identity
from infrastructure.event_log.streams import load_streams

# Receivers and switches may be notified of an event as soon as it is visible: a crash of the server must not lose it.
_DURABLY = b"SET LOCAL synchronous_commit = on"

_identities: WeakKeyDictionary[AsyncConnection, LogIdentity] = WeakKeyDictionary()


async def decide_and_append(connection: AsyncConnection, decisions: Sequence[Decision]) -> Sequence[Appended | None]:
    """Decide and append; return what each decision recorded, None where there was nothing to record.

    Runs in the connection's open transaction (READ COMMITTED), which holds the log's lock from the first append to its
    end: lock rows before, and execute at most one statement after. Decisions on one stream are made in their order,
    each upon what the one before recorded. A stream to which another process has appended meanwhile is read and
    decided again, with the lock held, so a second attempt cannot conflict. A decision that the domain refuses is counted, and
    records nothing.
    """
    return await _DecisionRun(connection, decisions).run()


async def read_streams(connection: AsyncConnection, streams: Iterable[str]) -> dict[str, Facts]:
    """Return the facts of each stream, oldest first, or a snapshot and the facts after it, in one query.

    An unknown stream has none. Raises UnknownFact.
    """
    names = set(streams)
    if not names:
        return {}
    found = await load_streams(connection, names, await _identity(connection))
    return {name: loaded.events for name, loaded in found.items()}


class _DecisionRun:
    """One call of ``decide_and_append``, in passes; a pass makes the first pending decision of each stream."""

    def __init__(self, connection: AsyncConnection, decisions: Sequence[Decision]) -> None:
        self._connection = connection
        self._decisions = decisions
        self._outcomes: list[Appended | None] = [None] * len(decisions)
        self._streams = {one.stream: one.known for one in decisions if one.known is not None}
        self._locked = False

    async def run(self) -> Sequence[Appended | None]:
        await self._read({one.stream for one in self._decisions} - self._streams.keys())
        pending = list(range(len(self._decisions)))
        while pending:
            now, later = self._first_of_each_stream(pending)
            pending = sorted([*await self._append(now), *later])
        return self._outcomes

    def _first_of_each_stream(self, pending: Sequence[int]) -> tuple[list[int], list[int]]:
        now: dict[str, int] = {}
        for number in pending:
            now.setdefault(self._decisions[number].stream, number)
        first = set(now.values())
        return list(now.values()), [number for number in pending if number not in first]

    async def _append(self, numbers: Sequence[int]) -> list[int]:
        """Make these decisions, each on another stream; return those that must be made again."""
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
        known = self._streams[decision.stream]
        try:
            facts = decision.decide(known)
        except Refused as refusal:
            metrics.REFUSED.labels(decision.envelope.actor, refusal.code).inc()
            return None
        if not facts:
            return None
        return Command(
            stream=decision.stream,
            version=known[-1].version if known else 0,
            facts=facts,
            states=[encode(fact) for fact in facts],
            envelope=decision.envelope,
        )

    async def _read(self, streams: Iterable[str]) -> None:
        self._streams |= await read_streams(self._connection, streams)


async def _identity(connection: AsyncConnection) -> LogIdentity:
    """Return the log's ids, cached for each connection: they change only with a restore, which ends all connections."""
    if (known := _identities.get(connection)) is None:
        known = _identities[connection] = await read_identity(connection)
    return known
