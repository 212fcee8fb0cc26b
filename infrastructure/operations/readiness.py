"""The check behind ``/health/ready``: over a connection of its own, so that waiting requests cannot delay it."""

from application.queries.readiness import DatabaseState
from infrastructure.operations.view_lag import read_lags
from infrastructure.postgres.connections import Pool

_ANSWER_S = 0.8
_IS_READ_ONLY = b"SELECT current_setting('transaction_read_only') = 'on'"


class PostgresReadiness:
    """The port ``Readiness`` on Postgres."""

    def __init__(self, pool: Pool) -> None:
        """Check over ``pool``, which is used for nothing else."""
        self._pool = pool

    async def check(self) -> DatabaseState:
        """See the port."""
        async with self._pool.connection(within_s=_ANSWER_S) as connection:
            is_read_only = await (await connection.execute(_IS_READ_ONLY)).fetchone() == (True,)
            return DatabaseState(lags=await read_lags(connection), is_read_only=is_read_only)
