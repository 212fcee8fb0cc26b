"""What all benchmarks share: a server of their own, fresh databases, and how figures are printed."""

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
        """Answer the DSN of a fresh database, owned by the service's owner role."""
        admin = conninfo.make_conninfo(self._dsn, user="postgres", dbname="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS bench_{name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE bench_{name} OWNER perezvon".encode())
        return conninfo.make_conninfo(self._dsn, dbname=f"bench_{name}")


def server() -> Bench:
    """Start a Postgres in a throw-away folder; it stops and the folder goes when the process ends."""
    home = Path(tempfile.mkdtemp(prefix="perezvon-bench-", dir="/var/tmp"))  # a disk: /tmp is often memory
    atexit.register(shutil.rmtree, home, ignore_errors=True)  # runs after the launcher's own, which came later
    return Bench(local_postgres.start(home, options=OPTIONS))


def commits(dsn: str) -> int:
    """Answer the number of transactions committed in the database so far."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Each backend reports its own counts with a delay; from here on they are as new as can be.
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return row[0] if row else 0


def settings_of(dsn: str) -> dict[str, str]:
    """Answer the server's settings that the figures depend on."""
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "commit_delay")
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(names),))
        return dict(rows.fetchall())


def report(name: str, result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result: one JSON object, or the same indented for people."""
    sys.stdout.write(json.dumps({"bench": name, **result}, indent=None if as_json else 2, ensure_ascii=False) + "\n")


def percentile(values: list[float], q: int) -> float:
    """Answer the value that ``q`` percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * q // 100) - 1)]


def spread(seconds: list[float]) -> dict[str, float]:
    """Answer percentiles of seconds, in milliseconds."""
    of = {"p50": percentile(seconds, 50), "p99": percentile(seconds, 99), "longest": max(seconds)}
    return {name: round(value * 1e3, 1) for name, value in of.items()}


def scattered(begin: datetime, seconds: float, jobs: int) -> list[datetime]:
    """Answer as many times in the seconds after ``begin``, in their order: the same ones in each run."""
    chance = random.Random(jobs)
    return sorted(begin + timedelta(seconds=chance.uniform(0, seconds)) for _ in range(jobs))


def progress(line: str) -> None:
    """Say what is being done, where people see it and programs do not read it."""
    sys.stderr.write(f"… {line}\n")
