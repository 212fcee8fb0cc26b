"""The scenarios with active calls: the worker is killed, the switch is killed, the link between them is cut."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from random import Random

import msgspec
import psycopg

from tests.benchmarks.callbacks import number_in
from tests.chaos.call_centre import CallCentre
from tests.chaos.phones import Planned, several
from tests.support.waiting import eventually

UP = 30
"""How many calls are up, at least, when something is done to them."""

_CALLED = 60
_UNHEARD = 6  # calls that end while the worker receives no events
_DUE_MEANWHILE = 12
_PATIENCE_S = 30.0

_OPEN = b"SELECT call_id::text FROM perezvon_1.open_calls"
_STARTED = "SELECT count(*) FROM perezvon_1.stored_events WHERE topic = 'callback.attempt_started.v1'"


class Kind(StrEnum):
    """The kind of a scenario."""

    WORKER_KILLED = "worker killed"
    SWITCH_KILLED = "switch killed"
    LINK_CUT = "link cut"


class FaultScenario(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario and its people: ``up`` are the ids of the calls that were open then.

    ``back_at`` is when, by the clock of this machine, the worker reached the switch again; ``back_after_s`` how long
    that took from when it could have. While the link was cut, ``started`` attempts were started, and the queue board
    said that the queue was ``idle`` for that reason.
    """

    kind: Kind
    queues: Sequence[int]
    people: Sequence[Planned]
    up: frozenset[str]
    back_at: float
    back_after_s: float
    idle: str | None = None
    started: int = 0


def kill_worker(centre: CallCentre, people: Iterator[Planned], random: Random) -> FaultScenario:
    """Kill the worker while it dials: some calls are active, some recorded but not placed, some not started."""
    called = several(people, _CALLED)
    queue = centre.call(called)
    enough = random.randint(_CALLED * 2 // 3, _CALLED)
    eventually(lambda: centre.rung(called) >= enough, timeout=_PATIENCE_S)
    centre.kill_worker()
    up, began = _open_calls(centre), time.monotonic()
    centre.start_worker()
    centre.reached()
    return FaultScenario(
        kind=Kind.WORKER_KILLED,
        queues=[queue],
        people=called,
        up=up,
        back_at=time.time(),
        back_after_s=time.monotonic() - began,
    )


def kill_switch(centre: CallCentre, people: Iterator[Planned], _: Random) -> FaultScenario:
    """Kill and restart Asterisk with active calls, after some had ended without an event reaching the worker."""
    called, queue = _all_up(centre, people)
    up = _open_calls(centre)
    centre.cut()
    _wait_for_rows(centre, up)
    centre.asterisk.kill()
    centre.asterisk.start()
    began = time.monotonic()
    centre.mend()
    return FaultScenario(
        kind=Kind.SWITCH_KILLED,
        queues=[queue],
        people=called,
        up=up,
        back_at=time.time(),
        back_after_s=time.monotonic() - began,
    )


def cut_link(centre: CallCentre, people: Iterator[Planned], _: Random) -> FaultScenario:
    """Cut the link while calls are active and others become due; restore it after some had ended."""
    called, queue = _all_up(centre, people)
    up = _open_calls(centre)
    centre.cut()
    before = number_in(centre.dsn, _STARTED)
    due = several(people, _DUE_MEANWHILE)
    waiting = centre.call(due)
    _wait_for_rows(centre, up)
    idle = centre.desk.why_idle(waiting)
    started = number_in(centre.dsn, _STARTED) - before
    rung = centre.rung(due)
    began = time.monotonic()
    centre.mend()
    return FaultScenario(
        kind=Kind.LINK_CUT,
        queues=[queue, waiting],
        people=[*called, *due],
        up=up,
        back_at=time.time(),
        back_after_s=time.monotonic() - began,
        idle=idle,
        started=max(started, rung),
    )


FAULT_SCENARIOS: Mapping[Kind, Callable[[CallCentre, Iterator[Planned], Random], FaultScenario]] = {
    Kind.WORKER_KILLED: kill_worker,
    Kind.SWITCH_KILLED: kill_switch,
    Kind.LINK_CUT: cut_link,
}


def _all_up(centre: CallCentre, people: Iterator[Planned]) -> tuple[Sequence[Planned], int]:
    called = several(people, _CALLED)
    queue = centre.call(called)
    eventually(lambda: centre.rung(called) == _CALLED, timeout=_PATIENCE_S)
    return called, queue


def _wait_for_rows(centre: CallCentre, up: frozenset[str]) -> None:
    """Wait until some of these calls have ended, and the switch has made sure of their rows."""
    eventually(lambda: len(up & centre.ledger().keys()) >= _UNHEARD, timeout=_PATIENCE_S)
    centre.asterisk.commit_ledger()


def _open_calls(centre: CallCentre) -> frozenset[str]:
    with psycopg.connect(centre.dsn) as connection:
        return frozenset(call_id for (call_id,) in connection.execute(_OPEN).fetchall())
