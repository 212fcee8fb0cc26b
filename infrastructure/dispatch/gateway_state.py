"""State of a gateway that outlives its leader, and that the queue board shows."""

import msgspec
from psycopg import AsyncConnection

from infrastructure.postgres.sql import statement

_READ = statement("""
    SELECT
        extract(epoch FROM nullif(paused_until, '-infinity') - clock_timestamp())::float8,
        pauses,
        is_full,
        (SELECT count(*) FROM {schema}.open_calls WHERE gateway = %(gateway)s)
    FROM {schema}.gateway_leases
    WHERE gateway = %(gateway)s
""")
_WRITE = statement("""
    UPDATE {schema}.gateway_leases
    SET pauses = %s,
        is_full = %s,
        paused_until = coalesce(clock_timestamp() + make_interval(secs => %s::float8), '-infinity')
    WHERE gateway = %s AND fence = %s
""")


class GatewayState(msgspec.Struct, frozen=True):
    """State of a gateway: ``paused_s`` seconds until the breaker's probe, None while the breaker is closed."""

    paused_s: float | None = None
    pauses: int = 0
    is_full: bool = False
    open_calls: int = 0


async def read_gateway_state(connection: AsyncConnection, gateway: str) -> GatewayState:
    """Return the state that the last leader left; the initial state if the gateway has had no leader."""
    row = await (await connection.execute(_READ, {"gateway": gateway})).fetchone()
    return GatewayState(*row) if row else GatewayState()


async def write_gateway_state(connection: AsyncConnection, state: GatewayState, gateway: str, fence: int) -> None:
    """Store the state, unless another worker leads by now."""
    values = (state.pauses, state.is_full, state.paused_s, gateway, fence)
    await connection.execute(_WRITE, values)
