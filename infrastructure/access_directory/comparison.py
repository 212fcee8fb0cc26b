"""Compare the directory's tables with the log, without a rebuild: ids, roles, hashes and times, not the names of persons."""

from psycopg import Connection

from infrastructure.postgres.sql import load_statement

_COMPARE = load_statement(__name__, "comparison.sql")


def differing_rows(connection: Connection) -> dict[str, int]:
    """Return how many rows of each table are not what the log says; missing and additional rows count.

    Tables and log are read in one snapshot. The cost grows with the events of organisations alone.
    """
    return {table: count for table, count in connection.execute(_COMPARE).fetchall() if count}
