"""Checks of the gateways that workers dial, by what their leaders store in the database."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from psycopg.rows import class_row

from application.ports.diagnosis import Check, passed
from infrastructure.postgres.sessions import BATCH, open_blocking_connection
from infrastructure.postgres.sql import statement

_OVERDUE_S = 30

_GATEWAYS = statement("""
    SELECT
        gateway,
        coalesce(until >= clock_timestamp(), false) AS is_led,
        coalesce(link_up, false) AS link_up,
        link_since,
        coalesce(pauses, 0) AS pauses,
        coalesce(calls, 0) AS calls,
        extract(epoch FROM nullif(paused_until, '-infinity') - clock_timestamp())::float8 AS paused_s,
        coalesce(paused_organizations, '{}') AS paused_organizations
    FROM {schema}.gateway_leases
    FULL JOIN (SELECT gateway, count(*) AS calls FROM {schema}.open_calls GROUP BY gateway) AS o USING (gateway)
    LEFT JOIN (
        SELECT gateway, array_agg(organization_id ORDER BY organization_id) AS paused_organizations
        FROM {schema}.organization_pauses
        GROUP BY gateway
    ) AS p USING (gateway)
    ORDER BY gateway
""")
_OVERDUE = statement(f"""
    SELECT count(*)
    FROM {{schema}}.timetable AS t
    JOIN {{schema}}.queue_slots AS s USING (queue_id)
    WHERE s.is_on AND NOT s.is_deleted AND t.due_at < now() - interval '{_OVERDUE_S} s'
""")


class _Gateway(msgspec.Struct, frozen=True, kw_only=True):
    gateway: str
    is_led: bool
    link_up: bool
    link_since: datetime | None
    pauses: int
    calls: int
    paused_s: float | None
    paused_organizations: list[int]


def examine_dispatch(dsn: str) -> Iterator[Check]:
    """Check each gateway that has a leader or open calls, and whether a worker dials due callbacks.

    Nothing is changed. Raises StorageUnavailable.
    """
    with open_blocking_connection(dsn, BATCH, "doctor") as connection:
        gateways = connection.cursor(row_factory=class_row(_Gateway)).execute(_GATEWAYS).fetchall()
        overdue = connection.execute(_OVERDUE).fetchone() or (0,)
    yield from (_check(gateway) for gateway in gateways if gateway.is_led or gateway.calls)
    if overdue[0] and not any(gateway.is_led for gateway in gateways):
        message = f"{overdue[0]} callbacks are due, and no worker dials"
        advice = "Set PEREZVON_GATEWAY for `perezvon work` (docs/settings.md)"
        yield Check(name="dialling", state="fail", message=message, advice=advice)


def _check(gateway: _Gateway) -> Check:
    name, calls = f"gateway {gateway.gateway}", f"{gateway.calls} calls are open"
    if not gateway.is_led:
        message = f"{calls}, and no worker leads the gateway: their ends are not recorded, and their slots stay taken"
        advice = f"Also run a `perezvon work` with PEREZVON_GATEWAY={gateway.gateway}, until their ends are recorded"
        return Check(name=name, state="fail", message=message, advice=advice)
    if not gateway.link_up:
        since = f" since {gateway.link_since:%Y-%m-%d %H:%M:%S%z}" if gateway.link_since else ""
        message = f"The switch is unreachable{since}: no calls start; {calls}"
        advice = f"Run `perezvon doctor` with the worker's PEREZVON_GATEWAY={gateway.gateway} to find the cause"
        return Check(name=name, state="fail", message=message, advice=advice)
    if gateway.paused_s is not None:
        message = (
            f"No calls start for {max(0.0, gateway.paused_s):.0f} s, then one as a probe: pause {gateway.pauses} in a row;"
            f" {calls}"
        )
        advice = (
            "Calls met congestion, or the switch was restarted: check that its trunks are registered and carry calls"
        )
        return Check(name=name, state="warn", message=message, advice=advice)
    if gateway.paused_organizations:
        paused = ", ".join(map(str, gateway.paused_organizations))
        message = f"Calls of the organisations {paused} met congestion: they start none but a probe; {calls}"
        advice = "The calls of other organisations get through: check the numbers that these organisations call"
        return Check(name=name, state="warn", message=message, advice=advice)
    return passed(name, f"A worker leads the gateway, and the switch is connected; {calls}")
