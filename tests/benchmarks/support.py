"""Shared parts of all benchmarks: a Postgres server, new databases, percentiles and printing of figures."""

import atexit
import json
import random
import shutil
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from infrastructure import local_postgres

OPTIONS = "-c max_wal_size=8GB -c checkpoint_timeout=15min -c max_connections=400 -c shared_buffers=1GB"


class Bench:
    """A Postgres with durable settings (fsync and synchronous_commit on), and databases on it."""

    def __init__(self, dsn: str) -> None:
        """Use the server of ``dsn``."""
        self._dsn = dsn

    def database(self, name: str) -> str:
        """Create a new database, owned by the owner role of the service; return its DSN."""
        admin = conninfo.make_conninfo(self._dsn, user="postgres", dbname="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS bench_{name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE bench_{name} OWNER perezvon".encode())
        return conninfo.make_conninfo(self._dsn, dbname=f"bench_{name}")


def server() -> Bench:
    """Start a Postgres in a temporary folder; both are removed when the process ends."""
    home = Path(tempfile.mkdtemp(prefix="perezvon-bench-", dir="/var/tmp"))  # on disk: /tmp is often in memory
    atexit.register(
        shutil.rmtree, home, ignore_errors=True
    )  # runs after the handler that stops Postgres, which is registered later
    return Bench(local_postgres.start(home, options=OPTIONS))


def commits(dsn: str) -> int:
    """Return the number of transactions committed in the database so far."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Backends report their counts with a delay; discarding the snapshot reads the newest that they reported.
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return row[0] if row else 0


def settings_of(dsn: str) -> dict[str, str]:
    """Return the settings of the server on which the figures depend."""
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "commit_delay")
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(names),))
        return dict(rows.fetchall())


def report(name: str, result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result as one JSON object, indented unless ``as_json``."""
    sys.stdout.write(json.dumps({"bench": name, **result}, indent=None if as_json else 2, ensure_ascii=False) + "\n")


def percentile(values: list[float], q: int) -> float:
    """Return the value that ``q`` percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * q // 100) - 1)]


def spread(seconds: list[float]) -> dict[str, float]:
    """Return percentiles of seconds, in milliseconds."""
    of = {"p50": percentile(seconds, 50), "p99": percentile(seconds, 99), "longest": max(seconds)}
    return {name: round(value * 1e3, 1) for name, value in of.items()}


def random_times(begin: datetime, seconds: float, jobs: int) -> list[datetime]:
    """Return ``jobs`` random times in the ``seconds`` after ``begin``, sorted; the same ones in each run."""
    generator = random.Random(jobs)
    return sorted(begin + timedelta(seconds=generator.uniform(0, seconds)) for _ in range(jobs))


def progress(line: str) -> None:
    """Print a line of progress to standard error."""
    sys.stderr.write(f"… {line}\n")
