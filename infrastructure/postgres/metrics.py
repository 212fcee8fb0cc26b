"""Prometheus metrics of the connections to Postgres."""

from prometheus_client import Counter

ERRORS = Counter(
    "perezvon_database_errors",
    "Errors of Postgres, by what is to be done (retry, page, change values, fix program) and SQLSTATE",
    ["action", "sqlstate"],
)
SILENT = Counter(
    "perezvon_database_silent_connections", "Connections closed because the server did not respond in time", ["pool"]
)
