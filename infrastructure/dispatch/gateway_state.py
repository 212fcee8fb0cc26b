"""What of a gateway's pacing outlives its leader, and what the queue board shows of it."""

import msgspec
from psycopg import AsyncConnection

from infrastructure.postgres.sql import statement

_READ = statement(
    "SELECT extract(epoch FROM nullif(paused_until, '-infinity') - clock_timestamp())::float8, pauses, is_full,"
    " (SELECT count(*) FROM {schema}.open_calls WHERE gateway = %(gateway)s)"
    " FROM {schema}.gateway_leases WHERE gateway = %(gateway)s"
)
_WRITE = statement(
    "UPDATE {schema}.gateway_leases SET pauses = %s, is_full = %s,"
    " paused_until = coalesce(clock_timestamp() + make_interval(secs => %s::float8), '-infinity')"
    " WHERE gateway = %s AND fence = %s"
)


class Standing(msgspec.Struct, frozen=True):
    """How a gateway stands: ``paused_s`` seconds before the breaker's probe, None while it is closed."""

    paused_s: float | None = None
    pauses: int = 0
    is_full: bool = False
    open_calls: int = 0


async def read_standing(connection: AsyncConnection, gateway: str) -> Standing:
    """Answer how a gateway stands that somebody has led before."""
    row = await (await connection.execute(_READ, {"gateway": gateway})).fetchone()
    return Standing(*row) if row else Standing()


async def write_standing(connection: AsyncConnection, standing: Standing, gateway: str, fence: int) -> None:
    """Put it down, unless another leads by now."""
    values = (standing.pauses, standing.is_full, standing.paused_s, gateway, fence)
    await connection.execute(_WRITE, values)
