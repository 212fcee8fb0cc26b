"""The verdict: every acknowledged change is in the log, and every view equals its rebuild."""

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from domain.model import Recorded
from domain.task.task import replay
from infrastructure.event_log.codec import COLUMNS, decode_row
from infrastructure.event_log.identity import LogIdentity
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA
from tests.chaos.load import Promise


class Verdict(msgspec.Struct, kw_only=True):
    """The findings: ``broken`` lists promises that the log does not keep, ``gaps`` counts missing positions."""

    promises: int
    events: int
    broken: list[str]
    gaps: int
    differing_rows: dict[str, int]

    @property
    def clean(self) -> bool:
        """Return whether nothing was lost and no view differs."""
        return not self.broken and not self.gaps and not any(self.differing_rows.values())


def judge(dsn: str, promises: Sequence[Promise], differing_rows: dict[str, int]) -> Verdict:
    """Compare every promise with the log."""
    streams = read_streams(dsn, "task/")
    count, gaps = events_and_gaps(dsn)
    broken = [f"{promise}: {fault}" for promise in promises if (fault := _fault(promise, streams))]
    return Verdict(promises=len(promises), events=count, broken=broken, gaps=gaps, differing_rows=differing_rows)


def read_streams(dsn: str, prefix: str) -> dict[str, list[Recorded[Any]]]:
    """Return the streams whose names start with the prefix, by name."""
    streams: dict[str, list[Recorded[Any]]] = {}
    with psycopg.connect(dsn) as connection:
        identity = LogIdentity(
            connection.execute(f"SELECT since_position, id FROM {SCHEMA}.log_identity".encode()).fetchall()
        )
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM {SCHEMA}.{LOG_TABLE} WHERE originator_id ^@ %s"
            " ORDER BY originator_id, originator_version".encode(),
            (prefix,),
        )
        for row in rows:
            streams.setdefault(row[1], []).append(decode_row(row, identity))
    return streams


def events_and_gaps(dsn: str) -> tuple[int, int]:
    """Return the number of events in the log, and the number of missing positions before its last one."""
    with psycopg.connect(dsn) as connection:
        count, head = connection.execute(
            f"SELECT count(*), coalesce(max(notification_id), 0) FROM {SCHEMA}.{LOG_TABLE}".encode()
        ).fetchone() or (0, 0)
    return count, head - count


def _fault(promise: Promise, streams: dict[str, list[Any]]) -> str | None:
    events = streams.get(f"task/{promise.task_id}", [])[: promise.version]
    task = replay(events)
    if task is None or task.version < promise.version:
        return f"the log holds {len(events)} events"
    if (task.status, task.call_id) != (promise.status, promise.call_id):
        return f"the log says {task.status}, {task.call_id}"
    return None
