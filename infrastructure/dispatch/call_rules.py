"""Rules and quotas of the organisations whose calls are due: reads them, and counts the calls that start."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog
from psycopg import AsyncConnection

from application.call_admission import (
    HOUR,
    SHORTEST_DAY,
    Account,
    Admission,
    Candidate,
    admit,
    counted_lines,
    limited_lines,
)
from application.dial_policy import policy_of
from application.phone_line_key import line_keys
from application.policies.decision import Facts
from domain.callback.events import CallbackScheduled
from domain.organization.events import Settings
from domain.organization.limits import Limits
from infrastructure.dispatch import metrics
from infrastructure.dispatch.open_calls import OpenCall
from infrastructure.postgres.sql import statement

FRESH = timedelta(seconds=1)
"""Time after which settings and counts of an organisation are read again."""
RECHECK = timedelta(minutes=1)
"""Time after which an organisation without calls left is examined again: its limit may have been raised."""
_CLEAN_EVERY = timedelta(seconds=10)
_ACCOUNTS_MAX = 10_000
_NO_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # before the calls of an organisation that has started none

_ACCOUNTS = statement("""
    SELECT g.id, o.settings::text, c.day_began, c.calls
    FROM unnest(%s::bigint[]) AS g (id)
    LEFT JOIN {schema}.organizations AS o USING (id)
    LEFT JOIN {schema}.organization_calls AS c ON c.organization_id = g.id
""")
_ATTEMPTS = statement("""
    SELECT line, array_agg(started_at ORDER BY started_at)
    FROM {schema}.line_attempts
    WHERE line = ANY(%s) AND started_at > %s
    GROUP BY line
""")
# A leader of another gateway may still know the day, or the time zone, of a moment ago: it never begins a day again. Calls
# that start end a hold: the quota was raised, or a day began.
_COUNT_CALLS = statement(f"""
    INSERT INTO {{schema}}.organization_calls AS c (organization_id, day_began, calls, held_until)
    SELECT id, day_began, calls, coalesce(held_until, '-infinity')
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::timestamptz[]) AS g (id, day_began, calls, held_until)
    ORDER BY id
    ON CONFLICT (organization_id) DO UPDATE
    SET held_until = excluded.held_until, (day_began, calls) = (
        SELECT CASE WHEN d.is_new THEN excluded.day_began ELSE c.day_began END,
            CASE WHEN d.is_new THEN 0 ELSE c.calls END + excluded.calls
        FROM (
            SELECT excluded.day_began >= c.day_began + interval '{SHORTEST_DAY.total_seconds()} seconds' AS is_new
        ) AS d
    )
""")
_COUNT_ATTEMPTS = statement("INSERT INTO {schema}.line_attempts (line, started_at) SELECT unnest(%s::bigint[]), %s")
_CLEAN = statement("DELETE FROM {schema}.line_attempts WHERE started_at < %s")

# Attempts of an earlier day change no count. Rows are locked in the order of all transactions that count.
_GIVE_CALLS_BACK = statement("""
    WITH held AS MATERIALIZED (
        SELECT organization_id, day_began
        FROM {schema}.organization_calls
        WHERE organization_id = ANY(%(organizations)s)
        ORDER BY organization_id
        FOR UPDATE
    )
    UPDATE {schema}.organization_calls AS c
    SET calls = greatest(0, c.calls - g.calls)
    FROM (
        SELECT h.organization_id, count(*) AS calls
        FROM unnest(%(organizations)s::bigint[], %(times)s::timestamptz[]) AS a (organization_id, started_at)
        JOIN held AS h ON h.organization_id = a.organization_id AND h.day_began <= a.started_at
        GROUP BY h.organization_id
    ) AS g
    WHERE c.organization_id = g.organization_id
""")
# An attempt is counted a moment before it is recorded, by another clock. Older attempts are being deleted by the leaders.
_GIVE_ATTEMPTS_BACK = statement("""
    DELETE FROM {schema}.line_attempts
    WHERE ctid = ANY(ARRAY(
        SELECT counted.ctid
        FROM (
            SELECT line, count(*) AS attempts, max(started_at) AS last
            FROM unnest(%s::bigint[], %s::timestamptz[]) AS a (line, started_at)
            GROUP BY line
        ) AS g,
            LATERAL (
            SELECT ctid
            FROM {schema}.line_attempts
            WHERE line = g.line AND started_at BETWEEN now() - interval '59 minutes' AND g.last + interval '10 seconds'
            ORDER BY started_at DESC
            LIMIT g.attempts
        ) AS counted
    ))
""")

_logger = structlog.get_logger(__name__)


class CallRules:
    """Decides which due callbacks may be called; remembers accounts of organisations for a second."""

    def __init__(self, limits: Limits) -> None:
        """Apply ``limits`` to organisations that have none of their own."""
        self._limits = limits
        self._accounts: dict[int, Account] = {}
        self._read_at: dict[int, datetime] = {}
        self._cleaned_at: datetime | None = None
        self._unknown_zones: dict[int, str] = {}

    async def admit(self, connection: AsyncConnection, candidates: Sequence[Candidate], now: datetime) -> Admission:
        """Decide on each candidate, and count those that may start, in the open transaction."""
        accounts = await self._current_accounts(connection, {one.organization_id for one in candidates}, now)
        lines = {line for one in candidates for line in counted_lines(one, accounts[one.organization_id])}
        attempts: dict[int, list[datetime]] = {line: [] for line in lines}
        if lines:
            rows = await (await connection.execute(_ATTEMPTS, (list(lines), now - HOUR))).fetchall()
            attempts |= dict(rows)
        admission = admit(candidates, accounts, attempts, now)
        await self._count(connection, admission, now)
        _report(admission)
        return admission

    async def _current_accounts(
        self, connection: AsyncConnection, organization_ids: Iterable[int], now: datetime
    ) -> dict[int, Account]:
        ids = sorted(organization_ids)
        if stale := [one for one in ids if one not in self._read_at or now - self._read_at[one] >= FRESH]:
            if len(self._accounts) > _ACCOUNTS_MAX:
                self._accounts.clear()
                self._read_at.clear()
                stale = ids
            for row in await (await connection.execute(_ACCOUNTS, (stale,), prepare=True)).fetchall():
                self._accounts[row[0]] = self._account(*row)
                self._read_at[row[0]] = now
        accounts = {one: self._accounts[one] for one in ids}
        for account in accounts.values():
            account.begin_day(now)
        return accounts

    def _account(
        self, organization_id: int, text: str | None, day_began: datetime | None, calls: int | None
    ) -> Account:
        settings = msgspec.json.decode(text, type=Settings) if text else Settings()
        return Account(
            policy=policy_of(settings),
            limits=self._limits.with_own(settings.limits),
            caller_ids=frozenset(settings.caller_ids),
            zone=self._zone(organization_id, settings.timezone),
            day_began=day_began or _NO_DAY,
            calls=calls or 0,
        )

    def _zone(self, organization_id: int, name: str) -> tzinfo:
        """Return the time zone whose midnight ends the day; UTC, with a line in the log, if this machine does not know it.

        The API has checked the name, so the time zone data of this machine is older than that of the API's machine, or missing.
        """
        try:
            zone: tzinfo = UTC if name == "UTC" else ZoneInfo(name)
        except ZoneInfoNotFoundError:
            if self._unknown_zones.get(organization_id) != name:
                self._unknown_zones[organization_id] = name
                _logger.exception(
                    "time zone unknown",
                    organization_id=organization_id,
                    timezone=name,
                    effect="calls_per_day is counted from midnight UTC",
                    remedy="update the package tzdata on this machine, then restart the worker",
                )
            return UTC
        self._unknown_zones.pop(organization_id, None)
        return zone

    async def _count(self, connection: AsyncConnection, admission: Admission, now: datetime) -> None:
        if organizations := [*(admission.started | admission.held_until)]:
            values = (
                organizations,
                [self._accounts[one].day_began for one in organizations],
                [admission.started.get(one, 0) for one in organizations],
                [admission.held_until.get(one) for one in organizations],
            )
            await connection.execute(_COUNT_CALLS, values, prepare=True)
        if admission.lines:
            await connection.execute(_COUNT_ATTEMPTS, (admission.lines, now))
            if self._cleaned_at is None or now - self._cleaned_at >= _CLEAN_EVERY:
                await connection.execute(_CLEAN, (now - HOUR,))
                self._cleaned_at = now

    def forget(self) -> None:
        """Read all accounts again: a transaction failed, and what was counted in memory may not be stored."""
        self._accounts.clear()
        self._read_at.clear()


async def give_back(connection: AsyncConnection, undialled: Iterable[tuple[OpenCall, Facts]]) -> None:
    """Remove attempts that were certainly not dialled from the quotas: they are free, and another attempt follows."""
    organizations: list[int] = []
    times: list[datetime] = []
    attempts: list[tuple[int, datetime]] = []
    for call, facts in undialled:
        started_at = next((one.recorded_at for one in facts if one.position == call.position), None)
        if started_at is None:
            continue
        organizations.append(call.organization_id)
        times.append(started_at)
        if isinstance(scheduled := facts[0].fact, CallbackScheduled):
            keys = line_keys(call.organization_id, scheduled.personal.a_number, scheduled.personal.b_number)
            candidate = candidate_of(call.callback_id, call.organization_id, scheduled, keys)
            attempts += [(line, started_at) for line in limited_lines(candidate)]
    if organizations:
        await connection.execute(_GIVE_CALLS_BACK, {"organizations": organizations, "times": times})
    if attempts:
        await connection.execute(_GIVE_ATTEMPTS_BACK, tuple(map(list, zip(*attempts, strict=True))))


def candidate_of(
    callback_id: int, organization_id: int, scheduled: CallbackScheduled, lines: tuple[int, int]
) -> Candidate:
    """Return the callback as the rules see it; ``lines`` are the keys of the lines of A and B."""
    details = scheduled.personal
    return Candidate(
        callback_id=callback_id,
        organization_id=organization_id,
        a_number=details.a_number,
        b_number=details.b_number,
        a_line=lines[0],
        b_line=lines[1],
        is_of_task=scheduled.task_id is not None,
    )


def _report(admission: Admission) -> None:
    for callback_id, (leg, rule) in admission.refused.items():
        metrics.REFUSED_NUMBERS.labels(rule).inc()
        _logger.warning("callback refused", callback_id=callback_id, leg=leg, rule=rule)
    metrics.QUOTA_HOLDS.labels("attempts_per_number_hour").inc(len(admission.postponed))
    for organization_id, until in admission.held_until.items():
        metrics.QUOTA_HOLDS.labels("calls_per_day").inc()
        _logger.warning("organisation has no calls left", organization_id=organization_id, until=until.isoformat())
