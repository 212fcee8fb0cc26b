"""State of a gateway that outlives its leader, and that the queue board shows."""

from collections.abc import Mapping

import msgspec
from psycopg import AsyncConnection

from infrastructure.dispatch.breakers import Pause
from infrastructure.postgres.sql import statement

_READ = statement("""
    SELECT
        extract(epoch FROM nullif(paused_until, '-infinity') - clock_timestamp())::float8,
        pauses,
        is_full,
        coalesce((
            SELECT json_object_agg(organization_id, calls)
            FROM (
                SELECT organization_id, count(*) AS calls
                FROM {schema}.open_calls
                WHERE gateway = %(gateway)s
                GROUP BY organization_id
            ) AS c
        ), '{}')::text,
        coalesce((
            SELECT json_object_agg(organization_id, json_build_object(
                'paused_s', extract(epoch FROM paused_until - clock_timestamp())::float8, 'pauses', pauses
            ))
            FROM {schema}.organization_pauses
            WHERE gateway = %(gateway)s
        ), '{}')::text
    FROM {schema}.gateway_leases
    WHERE gateway = %(gateway)s
""")
_WRITE = statement("""
    WITH led AS (
        UPDATE {schema}.gateway_leases
        SET pauses = %(pauses)s,
            is_full = %(is_full)s,
            paused_until = coalesce(clock_timestamp() + make_interval(secs => %(paused_s)s::float8), '-infinity')
        WHERE gateway = %(gateway)s AND fence = %(fence)s
        RETURNING gateway
    ), closed AS (
        DELETE FROM {schema}.organization_pauses AS p
        USING led
        WHERE p.gateway = led.gateway AND p.organization_id <> ALL(%(organizations)s::bigint[])
    )
    INSERT INTO {schema}.organization_pauses (gateway, organization_id, paused_until, pauses)
    SELECT led.gateway, p.organization_id, clock_timestamp() + make_interval(secs => p.paused_s), p.pauses
    FROM led, unnest(%(organizations)s::bigint[], %(seconds)s::float8[], %(counts)s::int[])
        AS p (organization_id, paused_s, pauses)
    ON CONFLICT (gateway, organization_id) DO UPDATE
    SET paused_until = excluded.paused_until,
        pauses = excluded.pauses
""")
_OPEN_CALLS = msgspec.json.Decoder(dict[int, int], strict=False)
_PAUSED = msgspec.json.Decoder(dict[int, Pause], strict=False)


class GatewayState(msgspec.Struct, frozen=True):
    """State of a gateway: ``paused_s`` seconds until the breaker's probe, None while the breaker is closed.

    ``open_calls`` counts the open calls of each organisation; ``organizations`` are those that are paused.
    """

    paused_s: float | None = None
    pauses: int = 0
    is_full: bool = False
    open_calls: Mapping[int, int] = {}
    organizations: Mapping[int, Pause] = {}


async def read_gateway_state(connection: AsyncConnection, gateway: str) -> GatewayState:
    """Return the state that the last leader left; the initial state if the gateway has had no leader."""
    row = await (await connection.execute(_READ, {"gateway": gateway})).fetchone()
    if row is None:
        return GatewayState()
    paused_s, pauses, is_full, open_calls, paused = row
    return GatewayState(paused_s, pauses, is_full, _OPEN_CALLS.decode(open_calls), _PAUSED.decode(paused))


async def write_gateway_state(connection: AsyncConnection, state: GatewayState, gateway: str, fence: int) -> None:
    """Store the state, unless another worker leads by now."""
    paused = state.organizations
    values = {
        "pauses": state.pauses,
        "is_full": state.is_full,
        "paused_s": state.paused_s,
        "gateway": gateway,
        "fence": fence,
        "organizations": [*paused],
        "seconds": [one.paused_s for one in paused.values()],
        "counts": [one.pauses for one in paused.values()],
    }
    await connection.execute(_WRITE, values)
