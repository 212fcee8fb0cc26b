"""Recorders of the ``eventsourcing`` library on logs that are created from perezvon's template."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    Notification,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresProcessRecorder
from eventsourcing.utils import retry
from psycopg import Cursor
from psycopg.rows import DictRow, tuple_row
from psycopg.sql import SQL, Identifier

from infrastructure.event_log.codec import COLUMNS, Row
from infrastructure.event_log.identity import LogIdentity
from infrastructure.event_log.library_mapper import StoredFact, is_fact
from infrastructure.postgres.migrations import event_log_sql
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA

_LONGEST_SUFFIX = "_claims_age"
_NO_ENVELOPE = (None,) * 5
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_retry_when_lost = retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)  # as the library does it


def is_own_log(schema: str, table: str) -> bool:
    """Return whether this is perezvon's own log, and not that of another application."""
    return (schema, table) == (SCHEMA, LOG_TABLE)


class EventLogRecorder(PostgresApplicationRecorder):
    """The library's application recorder; it appends with the log's function, and so numbers events without gaps.

    On perezvon's own log, the facts that it reads are ``StoredFact``, with their envelopes.
    """

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = LOG_TABLE) -> None:
        """Record into the table of that name in the datastore's schema.

        Raises NotSupportedError if the library's own insert function is requested, and ProgrammingError for a name
        that is too long for Postgres.
        """
        if datastore.enable_db_functions:
            raise NotSupportedError(
                "POSTGRES_ENABLE_DB_FUNCTIONS is not supported: unset it. Events enter this log through its own"
                " function, so that no reader misses an event; the library's function would bypass it"
            )
        if len((events_table_name + _LONGEST_SUFFIX).encode()) > self.MAX_IDENTIFIER_LEN:
            raise ProgrammingError(f"Identifier too long: {events_table_name}{_LONGEST_SUFFIX}")
        super().__init__(datastore, events_table_name=events_table_name)
        self.sql_create_statements.clear()
        self._is_own = is_own_log(datastore.schema, events_table_name)
        self._known_identity: LogIdentity | None = None
        log = Identifier(datastore.schema, events_table_name)
        self._log_name = log.as_string()
        self._append = SQL(
            """
            SELECT verdict, last_position
            FROM {}(
                %s::int[], %s::text[], %s::bigint[], %s::text[], %b::bytea[],
                %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[]
            )
            """
        ).format(Identifier(datastore.schema, f"{events_table_name}_append"))
        self._read = SQL("SELECT {} FROM {} WHERE ").format(SQL(COLUMNS), log)

    def _create_table(self, curs: Cursor[DictRow]) -> None:
        curs.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self._log_name,))
        super()._create_table(curs)
        curs.execute("SELECT to_regclass(%s) IS NOT NULL AS made", (self._log_name,))
        if (row := curs.fetchone()) and row["made"]:
            return
        if self._is_own:
            raise ProgrammingError("The database has no perezvon schema yet: run `perezvon migrate`")
        curs.execute(event_log_sql(self.datastore.schema, self.events_table_name).encode())

    @_retry_when_lost
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: object) -> Sequence[int] | None:
        """Append the events as one command, all or none; return their positions.

        What else the transaction writes (tracking) comes first: the log's lock is held until the transaction ends.
        Raises IntegrityError when one of the versions exists.
        """
        with self.datastore.get_connection() as connection, connection.transaction(), connection.cursor() as curs:
            self._insert_events(curs, stored_events, **kwargs)
            if not stored_events:
                return None
            self._insert_stored_events(curs, stored_events, **kwargs)
            return self._fetch_ids_after_insert_events(curs, stored_events, **kwargs)

    def _insert_stored_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **_: object) -> None:
        rows = [
            (1, event.originator_id, event.originator_version, event.topic, event.state)
            + (event.envelope if isinstance(event, StoredFact) else _NO_ENVELOPE)
            for event in stored_events
        ]
        curs.execute(self._append, [list(column) for column in zip(*rows, strict=True)], prepare=True)

    def _fetch_ids_after_insert_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **_: object
    ) -> Sequence[int]:
        row = curs.fetchone()
        if row is None or row["verdict"] != "appended":
            streams = ", ".join(sorted({str(event.originator_id) for event in stored_events}))
            raise IntegrityError(f"A version to be appended already exists: {streams}")
        last: int = row["last_position"]
        return list(range(last - len(stored_events) + 1, last + 1))

    @_retry_when_lost
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """See the library's ``AggregateRecorder``."""
        query = self._read + SQL(
            """
            originator_id = %s AND originator_version > %s AND originator_version <= %s
            ORDER BY originator_version {}
            LIMIT %s
            """
        ).format(SQL("DESC" if desc else "ASC"))
        params = (originator_id, _LEAST if gt is None else gt, _MOST if lte is None else lte, limit)
        with self.datastore.get_connection() as connection, connection.cursor(row_factory=tuple_row) as curs:
            rows: list[Row] = curs.execute(query, params, prepare=True).fetchall()
            return [self._fact(curs, row) or StoredEvent(*row[1:5]) for row in rows]

    @_retry_when_lost
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """See the library's ``ApplicationRecorder``."""
        query = self._read + SQL(
            """
            notification_id >= %s AND notification_id <= %s {}
            ORDER BY notification_id
            LIMIT %s
            """
        ).format(SQL("AND topic = ANY(%s)" if topics else ""))
        first = 1 if start is None else start + (not inclusive_of_start)
        bounds = (first, _MOST if stop is None else stop)
        params = (*bounds, list(topics), limit) if topics else (*bounds, limit)
        with self.datastore.get_connection() as connection, connection.cursor(row_factory=tuple_row) as curs:
            rows: list[Row] = curs.execute(query, params, prepare=True).fetchall()
            return [self._fact(curs, row) or Notification(*row[1:5], row[0]) for row in rows]

    def _fact(self, curs: Cursor[tuple[Any, ...]], row: Row) -> StoredFact | None:
        if not (self._is_own and is_fact(row[3])):
            return None
        if self._known_identity is None:
            rows = curs.execute(SQL("SELECT since_position, id FROM {}").format(Identifier(SCHEMA, "log_identity")))
            self._known_identity = LogIdentity(rows.fetchall())
        return StoredFact.of(row, self._known_identity)


class EventLogProcessRecorder(PostgresProcessRecorder, EventLogRecorder):
    """The library's process recorder on such a log: one transaction, the tracking row first, the append last."""
