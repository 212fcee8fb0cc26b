"""The verdict: the limit held, each attempt dialled once, every callback finished, every webhook delivered."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

import msgspec
import psycopg

from domain.callback.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CallbackCancelled,
    CallbackFact,
    CallbackFinished,
    CallEnded,
    Outcome,
)
from domain.model import Recorded
from infrastructure.gateways.simulated.network import Counts
from infrastructure.operations.rebuild import rebuild
from infrastructure.read_models.registry import PROJECTIONS
from tests.chaos.verdict import events_and_gaps, read_streams
from tests.support.callback_laws import check_history
from tests.support.receiving import Received

Told = tuple[str, int]
"""The last segment of a webhook's path, and the version of its event."""
Streams = Mapping[str, Sequence[Recorded[CallbackFact]]]

_LEFT_BEHIND = {
    "slots are taken": "SELECT coalesce(sum(taken), 0) FROM perezvon_1.queue_slots",
    "calls are open": "SELECT count(*) FROM perezvon_1.open_calls",
    "callbacks wait": "SELECT count(*) FROM perezvon_1.timetable",
    "webhooks are not delivered": "SELECT count(*) FROM perezvon_1.webhook_deliveries WHERE state <> 'delivered'",
    "streams are parked": "SELECT count(*) FROM perezvon_1.parked_streams",
}
_LEADERS = "SELECT max(fence) FROM perezvon_1.gateway_leases"


class CallsVerdict(msgspec.Struct, kw_only=True):
    """The findings: ``repeated`` webhooks came again, ``leaders`` is their number.

    ``lost`` attempts may have been dialled and spent a try; those ``not_dialled`` spent none.
    """

    callbacks: int
    attempts: int
    dialled: int
    lost: int
    not_dialled: int
    most_at_once: int
    most_dials: int
    webhooks: int
    repeated: int
    leaders: int
    events: int
    faults: list[str]

    @property
    def clean(self) -> bool:
        """Return whether all promises held."""
        return not self.faults


async def judge(dsn: str, counts: Counts, received: Sequence[Received], *, callbacks: int, limit: int) -> CallsVerdict:
    """Hold the log against what the network counted and what the receiver got; rebuild every view."""
    streams: Streams = read_streams(dsn, "callback/")
    facts = [event.fact for events in streams.values() for event in events]
    attempts = sum(isinstance(fact, AttemptStarted) for fact in facts)
    ends = [fact.end.outcome for fact in facts if isinstance(fact, AttemptFailed | CallEnded)]
    lost, not_dialled = ends.count(Outcome.LOST), ends.count(Outcome.NOT_DIALLED)
    told = first_receipts(received)
    events, gaps = events_and_gaps(dsn)
    with psycopg.connect(dsn) as connection:
        left = left_behind(connection)
        leaders = _number(connection, _LEADERS)
    faults = [
        *faults_of_calls(counts, attempts=attempts - not_dialled, lost=lost, limit=limit),
        *faults_of_histories(streams, callbacks),
        *faults_of_webhooks(streams, told),
        *left,
        *([f"{gaps} positions of the log are missing"] if gaps else []),
        *[fault async for fault in _faults_of_views(dsn)],
    ]
    webhooks = sum(map(len, told.values()))
    return CallsVerdict(
        callbacks=len(streams),
        attempts=attempts,
        dialled=counts.placed,
        lost=lost,
        not_dialled=not_dialled,
        most_at_once=counts.most,
        most_dials=counts.most_dials,
        webhooks=webhooks,
        repeated=len(received) - webhooks,
        leaders=leaders,
        events=events,
        faults=faults,
    )


def left_behind(connection: psycopg.Connection) -> list[str]:
    """Yield rows that are left although every callback has finished."""
    left = {what: _number(connection, query) for what, query in _LEFT_BEHIND.items()}
    return [f"{number} {what}" for what, number in left.items() if number]


def faults_of_calls(counts: Counts, *, attempts: int, lost: int, limit: int) -> Iterator[str]:
    """Yield wrong counters of the network; a limit that was never reached was not tested."""
    if counts.most != limit:
        yield f"{counts.most} calls were running at once, the limit is {limit}"
    if counts.dialled_again or counts.live_again:
        yield f"dialled again: {counts.dialled_again} calls, {counts.live_again} while they were running: {counts.examples}"
    if counts.placed != attempts - lost:
        yield f"{counts.placed} calls were dialled for {attempts} attempts, {lost} of them lost"
    if counts.running:
        yield f"{counts.running} calls are running"


def faults_of_histories(streams: Streams, callbacks: int) -> Iterator[str]:
    """Yield callbacks that are missing, unfinished, or whose history breaks a law of callbacks."""
    if len(streams) != callbacks:
        yield f"{len(streams)} callbacks of {callbacks} are recorded"
    for stream, events in streams.items():
        try:
            check_history(events)
        except AssertionError as error:
            yield f"{stream}: {error}"
        if not any(isinstance(event.fact, CallbackFinished) for event in events):
            yield f"{stream} has not finished"
        if sum(isinstance(event.fact, AttemptStarted) for event in events) != sum(map(_ends_a_call, events)):
            yield f"{stream}: a call has not ended"


def _ends_a_call(event: Recorded[CallbackFact]) -> bool:
    return isinstance(event.fact, AttemptFailed | CallEnded)


def faults_of_webhooks(streams: Streams, told: Mapping[str, Sequence[Told]]) -> Iterator[str]:
    """Yield webhooks that are missing, unexpected, or that came first after a later one of the same callback."""
    for stream, events in streams.items():
        wanted = [(kind, event.version) for event in events if (kind := _kind(event.fact))]
        if (got := told.get(stream, [])) != wanted:
            yield f"{stream}: received {got}, expected {wanted}"
    yield from (f"{stream} is unknown" for stream in told.keys() - streams.keys())


def _kind(fact: CallbackFact) -> str | None:
    match fact:
        case AttemptStarted(attempt=attempt):
            return "before" if attempt == 1 else "before_again"
        case AttemptSucceeded():
            return "success"
        case CallbackFinished() | CallbackCancelled():
            return "after"
        case _:
            return None


def first_receipts(received: Sequence[Received]) -> dict[str, list[Told]]:
    """Return the webhooks of each callback, in the order of their first arrival."""
    known, told = set[str](), dict[str, list[Told]]()
    for webhook in received:
        if webhook.id not in known:
            known.add(webhook.id)
            kind = webhook.path.rpartition("/")[2]
            told.setdefault(f"callback/{webhook.callback_id}", []).append((kind, webhook.sequence))
    return told


async def _faults_of_views(dsn: str) -> AsyncGenerator[str]:
    for name in PROJECTIONS:
        report = await rebuild(dsn, name, accept=False, progress=lambda _reached, _aim: None)
        if report.differs:
            yield f"{name} is not its rebuild: {report.differences}"


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0] or 0) if row else 0
