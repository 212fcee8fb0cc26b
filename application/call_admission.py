"""Admission of due calls: the dial policy and the quotas of their organisations, at the moment when they would be dialled.

Pure: infrastructure/dispatch/call_rules.py reads and writes the rows.
"""

from collections.abc import Container, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as clock_time

import msgspec

from application.dial_policy import DialPolicy, Rule
from application.number_quota import is_outside
from domain.callback.events import Leg
from domain.organization.limits import Limits

HOUR = timedelta(hours=1)
SHORTEST_DAY = timedelta(hours=23)
"""The next day of an organisation begins no earlier after this one began: a day has 23 hours where clocks are put forward."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A due callback: its numbers, the keys of their lines, and whether it carries out a task."""

    callback_id: int
    organization_id: int
    a_number: str
    b_number: str
    a_line: int
    b_line: int
    is_of_task: bool


class Account(msgspec.Struct, kw_only=True):
    """The rules of an organisation, and the number of ``calls`` that it has started since ``day_began``, in UTC.

    A day begins at a midnight in the organisation's time zone. As it lasts at least ``SHORTEST_DAY``, a change of the time zone
    cannot begin a new one with calls that are not counted: it makes one day longer.
    """

    policy: DialPolicy
    limits: Limits
    caller_ids: frozenset[str]
    zone: tzinfo
    day_began: datetime
    calls: int

    def begin_day(self, now: datetime) -> None:
        """Count from zero on a new day of the organisation."""
        midnight = _midnight(now.astimezone(self.zone).date(), self.zone)
        if midnight - self.day_began >= SHORTEST_DAY:
            self.day_began, self.calls = midnight, 0

    @property
    def next_day(self) -> datetime:
        """The beginning of the next day, in UTC."""
        earliest = self.day_began + SHORTEST_DAY
        day = earliest.astimezone(self.zone).date()
        midnight = _midnight(day, self.zone)
        return midnight if midnight >= earliest else _midnight(day + timedelta(days=1), self.zone)


class Admission(msgspec.Struct):
    """The decisions about a batch, by callback; those without one may start.

    ``refused``: the leg and the rule; ``postponed``: when the number may be called again; ``held``: the organisation has no
    calls left. ``held_until`` is by organisation. ``lines`` are those whose attempts are counted.
    """

    refused: dict[int, tuple[Leg, Rule]] = {}
    postponed: dict[int, datetime] = {}
    held: set[int] = set()
    held_until: dict[int, datetime] = {}
    started: dict[int, int] = {}
    lines: list[int] = []

    def may_start(self, callback_id: int) -> bool:
        """Return whether nothing was decided against the callback."""
        return not (callback_id in self.refused or callback_id in self.postponed or callback_id in self.held)


def admit(
    candidates: Iterable[Candidate],
    accounts: Mapping[int, Account],
    attempts: Mapping[int, list[datetime]],
    now: datetime,
) -> Admission:
    """Decide on each candidate, in order, and count what may start in ``accounts`` and ``attempts``.

    ``attempts`` holds the times of the last hour's attempts by line, oldest first, with an entry for every line that
    ``counted_lines`` returns.
    """
    admission = Admission()
    for candidate in candidates:
        _admit(admission, candidate, accounts[candidate.organization_id], attempts, now)
    return admission


def counted_lines(candidate: Candidate, account: Account) -> list[int]:
    """Return the lines whose attempts are limited: not extensions, caller ids, and operators of tasks."""
    if account.limits.attempts_per_number_hour is None:
        return []
    return limited_lines(candidate, account.caller_ids)


def limited_lines(candidate: Candidate, own: Container[str] = ()) -> list[int]:
    """Return the lines whose attempts may be limited, without the ``own`` numbers of the organisation."""
    legs = [(candidate.b_number, candidate.b_line)]
    if not candidate.is_of_task:
        legs.append((candidate.a_number, candidate.a_line))
    return [line for number, line in legs if is_outside(number, own)]


def refusal(candidate: Candidate, policy: DialPolicy) -> tuple[Leg, Rule] | None:
    """Return the leg that may not be called, and the rule that forbids it."""
    for leg, number in ((Leg.B, candidate.b_number), (Leg.A, candidate.a_number)):
        if rule := policy.broken_rule(number):
            return leg, rule
    return None


def _admit(
    admission: Admission,
    candidate: Candidate,
    account: Account,
    attempts: Mapping[int, list[datetime]],
    now: datetime,
) -> None:
    callback_id, organization_id = candidate.callback_id, candidate.organization_id
    if refused := refusal(candidate, account.policy):
        admission.refused[callback_id] = refused
        return
    if account.calls >= account.limits.calls_per_day:
        admission.held.add(callback_id)
        admission.held_until[organization_id] = account.next_day
        return
    lines = counted_lines(candidate, account)
    if until := _free_at([attempts[line] for line in lines], account.limits.attempts_per_number_hour, now):
        admission.postponed[callback_id] = until
        return
    account.calls += 1
    admission.started[organization_id] = admission.started.get(organization_id, 0) + 1
    for line in lines:
        attempts[line].append(now)
    admission.lines += lines


def _free_at(attempts: Iterable[list[datetime]], limit: int | None, now: datetime) -> datetime | None:
    """Return when all lines have less than ``limit`` attempts in an hour; None if that is now."""
    if limit is None:
        return None
    waits = [times[-limit] + HOUR if limit else now + HOUR for times in attempts if len(times) >= limit]
    return max(waits, default=None)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """Return when the day begins in the time zone, in UTC: differences of local times would leave out changes of the clocks."""
    return datetime.combine(day, clock_time(), zone).astimezone(UTC)
