"""Checks what keeps Postgres from removing dead rows: old snapshots, replication slots, prepared transactions."""

from collections.abc import Iterator

import psycopg

from application.ports.diagnosis import Check, passed

SNAPSHOT_MAX_S = 600.0
WAL_MAX_BYTES = 1 << 30

_SNAPSHOT = b"""
    SELECT pid, coalesce(nullif(application_name, ''), 'unnamed'), usename,
        extract(epoch FROM clock_timestamp() - xact_start)::float8
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
    ORDER BY xact_start
    LIMIT 1
"""
_HIDDEN = b"""
    SELECT count(*)
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND state IS NULL
"""
_PREPARED = b"""
    SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8
    FROM pg_prepared_xacts
    WHERE database = current_database()
    ORDER BY prepared
    LIMIT 1
"""
_SLOTS = b"""
    SELECT slot_name, active, xmin IS NOT NULL, coalesce(
            pg_wal_lsn_diff(
                CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                restart_lsn
            ),
            0
        )::bigint
    FROM pg_replication_slots
    WHERE database IS NULL OR database = current_database()
    ORDER BY restart_lsn NULLS LAST
"""


def examine_horizon(connection: psycopg.Connection) -> Iterator[Check]:
    """Check the oldest snapshot, and each replication slot that holds something back.

    Sessions of other users are invisible without ``pg_read_all_stats``. Raises psycopg.OperationalError.
    """
    yield _snapshot(connection)
    if row := connection.execute(_PREPARED).fetchone():
        message = f"The prepared transaction {row[0]} is {row[1]:.0f} s old: dead rows cannot be removed"
        yield Check(name="prepared", state="warn", message=message, advice="COMMIT PREPARED or ROLLBACK PREPARED it")
    for name, is_active, holds_rows, wal_bytes in connection.execute(_SLOTS).fetchall():
        if not is_active and (holds_rows or wal_bytes > WAL_MAX_BYTES):
            message = f"The replication slot {name} is not in use, and retains {wal_bytes >> 20} MiB of WAL"
            message += " and dead rows" if holds_rows else ""
            advice = f"Start its consumer, or drop it: SELECT pg_drop_replication_slot('{name}')"
            yield Check(name="slot", state="warn", message=message, advice=advice)


def _snapshot(connection: psycopg.Connection) -> Check:
    row, hidden = connection.execute(_SNAPSHOT).fetchone(), connection.execute(_HIDDEN).fetchone()
    unseen = (
        f"; {hidden[0]} sessions of other users are invisible without pg_read_all_stats" if hidden and hidden[0] else ""
    )
    if row is None:
        return passed("oldest_snapshot", f"No other session holds a snapshot{unseen}")
    pid, application, user, age_s = row
    message = f"The oldest snapshot is {age_s:.0f} s old: session {pid} ({application}, user {user}){unseen}"
    if age_s <= SNAPSHOT_MAX_S:
        return passed("oldest_snapshot", message)
    advice = "End that transaction: until then dead rows cannot be removed, and every table and index grows"
    return Check(name="oldest_snapshot", state="warn", message=message, advice=advice)
