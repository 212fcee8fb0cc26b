"""What ``perezvon doctor`` asks the database of the switches that workers dial: does each do its work?"""

from collections.abc import Iterator
from datetime import datetime

import msgspec
import psycopg
from psycopg.rows import class_row

from application.ports.diagnosis import Check, passed
from infrastructure.postgres.sql import statement

_OVERDUE_S = 30

_GATEWAYS = statement(
    "SELECT gateway, coalesce(until >= clock_timestamp(), false) AS is_led, coalesce(link_up, false) AS link_up,"
    " link_since, coalesce(pauses, 0) AS pauses, coalesce(calls, 0) AS calls,"
    " extract(epoch FROM nullif(paused_until, '-infinity') - clock_timestamp())::float8 AS paused_s"
    " FROM {schema}.gateway_leases FULL JOIN"
    " (SELECT gateway, count(*) AS calls FROM {schema}.open_calls GROUP BY gateway) AS o USING (gateway) ORDER BY gateway"
)
_WAITING = statement(
    "SELECT count(*) FROM {schema}.timetable AS t JOIN {schema}.queue_slots AS s USING (queue_id)"
    f" WHERE s.is_on AND NOT s.is_deleted AND t.due_at < now() - interval '{_OVERDUE_S} s'"
)


class _Gateway(msgspec.Struct, frozen=True, kw_only=True):
    gateway: str
    is_led: bool
    link_up: bool
    link_since: datetime | None
    pauses: int
    calls: int
    paused_s: float | None


def examine_dispatch(dsn: str) -> Iterator[Check]:
    """Ask about each switch that was ever dialled, and whether what is due is dialled at all. Nothing is changed.

    Raises psycopg.OperationalError.
    """
    with psycopg.connect(dsn, connect_timeout=5, autocommit=True) as connection:
        gateways = connection.cursor(row_factory=class_row(_Gateway)).execute(_GATEWAYS).fetchall()
        waiting = connection.execute(_WAITING).fetchone() or (0,)
    yield from (_of(gateway) for gateway in gateways if gateway.is_led or gateway.calls)
    if waiting[0] and not any(gateway.is_led for gateway in gateways):
        message = f"{waiting[0]} callbacks are due, and no worker dials"
        advice = "Set PEREZVON_GATEWAY for `perezvon work` (docs/settings.md)"
        yield Check(name="dialling", state="fail", message=message, advice=advice)


def _of(gateway: _Gateway) -> Check:
    name, calls = f"gateway {gateway.gateway}", f"{gateway.calls} calls are open"
    if not gateway.is_led:
        message = f"{calls}, and nobody leads it: nobody learns how they end, and their slots stay taken"
        advice = f"Run a `perezvon work` with PEREZVON_GATEWAY={gateway.gateway} too, until they are on record"
        return Check(name=name, state="fail", message=message, advice=advice)
    if not gateway.link_up:
        since = f" since {gateway.link_since:%Y-%m-%d %H:%M:%S%z}" if gateway.link_since else ""
        message = f"The switch is away{since}: nothing is started; {calls}"
        advice = f"`perezvon doctor` with the worker's PEREZVON_GATEWAY={gateway.gateway} tells why"
        return Check(name=name, state="fail", message=message, advice=advice)
    if gateway.paused_s is not None:
        message = (
            f"Nothing is started for {max(0.0, gateway.paused_s):.0f} s, but a probe then: pause {gateway.pauses} in a"
            f" row; {calls}"
        )
        advice = "Calls met congestion, or the switch was restarted: see that its trunks are registered and carry calls"
        return Check(name=name, state="warn", message=message, advice=advice)
    return passed(name, f"It is led, and the switch is reached; {calls}")
