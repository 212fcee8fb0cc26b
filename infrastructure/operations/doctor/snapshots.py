"""Check of the snapshots: a sample is compared with the fold of the log."""

from typing import Any

from psycopg import Connection

from application.ports.diagnosis import Check, passed
from domain.snapshots import SNAPSHOTS
from infrastructure.event_log.codec import COLUMNS, UnknownFact, decode, decode_row
from infrastructure.event_log.identity import LogIdentity
from infrastructure.postgres.sql import statement

SAMPLE = 20
_EVENTS_MAX = 20_000
"""Events of a stream that the check folds: snapshots of later versions are not compared."""

_MISPLACED = statement("""
    SELECT count(*)
    FROM {schema}.snapshots AS s
    WHERE NOT EXISTS (
        SELECT
        FROM {log} AS e
        WHERE e.originator_id = s.originator_id
            AND e.originator_version = s.originator_version
            AND e.notification_id = s.notification_id
    )
""")
_SAMPLE = statement(f"""
    SELECT originator_id, originator_version, topic, state
    FROM {{schema}}.snapshots
    WHERE topic = ANY(%s) AND originator_version <= {_EVENTS_MAX}
    ORDER BY random()
    LIMIT {SAMPLE}
""")
_EVENTS = statement(f"""
    SELECT {COLUMNS}
    FROM {{log}}
    WHERE originator_id = %s AND originator_version <= %s
    ORDER BY originator_version
""")
_IDENTITY = statement("SELECT since_position, id FROM {schema}.log_identity")
_ADVICE = "Delete all rows of perezvon_1.snapshots, which loses nothing, and find out who wrote them"


def snapshots(connection: Connection) -> Check:
    """Compare up to ``SAMPLE`` snapshots with the log; report also those of versions that the log does not have."""
    row = connection.execute(_MISPLACED).fetchone()
    if row and row[0]:
        message = f"{row[0]} snapshots are of events that the log does not have: later events would be hidden"
        return Check(name="snapshots", state="fail", message=message, advice=_ADVICE)
    topics = {format_.topic: format_ for format_ in SNAPSHOTS.values()}
    identity = LogIdentity(connection.execute(_IDENTITY).fetchall())
    sample = connection.cursor(binary=True).execute(_SAMPLE, (list(topics),)).fetchall()
    wrong = [
        f"{stream}@{version}"
        for stream, version, topic, state in sample
        if _state(topic, state) != topics[topic].replay(_events(connection, stream, version, identity))
    ]
    if wrong:
        message = f"Snapshots differ from the log: {', '.join(wrong)}"
        return Check(name="snapshots", state="fail", message=message, advice=_ADVICE)
    return passed("snapshots", f"{len(sample)} of the snapshots agree with the log")


def _state(topic: str, state: bytes) -> Any:
    try:
        return decode(topic, state).state
    except UnknownFact:
        return None


def _events(connection: Connection, stream: str, version: int, identity: LogIdentity) -> list[Any]:
    rows = connection.cursor(binary=True).execute(_EVENTS, (stream, version)).fetchall()
    return [decode_row(row, identity) for row in rows]
