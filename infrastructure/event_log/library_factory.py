"""The factory that gives the ``eventsourcing`` library's applications their recorders and mapper."""

from typing import Any, TypeVar

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactoryError,
    Mapper,
    ProcessRecorder,
    Transcoder,
)
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment, EnvType, resolve_topic

from infrastructure.event_log.library_mapper import FactMapper
from infrastructure.event_log.library_recorder import EventLogProcessRecorder, EventLogRecorder, is_own_log
from infrastructure.postgres.sql import LOG_TABLE, SCHEMA

R = TypeVar("R", bound=EventLogRecorder)


class EventLogFactory(PostgresFactory):
    """The library's Postgres factory, in perezvon's schema.

    An application without a name of its own (``""`` or ``Application``) opens perezvon's log. Every other name
    gets its own tables: a log created from the same template; tracking and snapshots as in the library.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Take the library's ``POSTGRES_*`` variables; the schema is perezvon's unless one is named.

        Raises InfrastructureFactoryError unless ``ORIGINATOR_ID_TYPE`` is ``text``.
        """
        super().__init__(env)
        if self.datastore.originator_id_type != "text":
            raise InfrastructureFactoryError("Stream ids are texts, not UUIDs: set ORIGINATOR_ID_TYPE=text")
        self.datastore.schema = self.env.get(self.POSTGRES_SCHEMA, "").strip() or SCHEMA
        name = self.env.name.lower()
        if name == "stored":
            raise InfrastructureFactoryError(
                f"An application named {self.env.name!r} would use perezvon's table {LOG_TABLE}: rename it"
            )
        self._events_table = LOG_TABLE if name in {"", "application"} else f"{name}_events"
        self._tracking_table = f"{name or 'notification'}_tracking"

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[Any]] | None = None
    ) -> Mapper[Any]:
        """Return the mapper of our facts for perezvon's own log, unless another is requested."""
        is_own = is_own_log(self.datastore.schema, self._events_table)
        if mapper_class is None and is_own and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = FactMapper
        return super().mapper(transcoder, mapper_class)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Return the log's recorder for events; for any other purpose, such as snapshots, the library's."""
        return self.application_recorder() if purpose == "events" else super().aggregate_recorder(purpose)

    def application_recorder(self) -> ApplicationRecorder:
        """Return a recorder for the application's log, which is created if it does not exist."""
        recorder_class = self._class(self.APPLICATION_RECORDER_TOPIC, EventLogRecorder)
        return self._ready(recorder_class(self.datastore, events_table_name=self._events_table))

    def process_recorder(self) -> ProcessRecorder:
        """Return a recorder for the application's log and its tracking table, which are created if they do not exist."""
        recorder_class = self._class(self.PROCESS_RECORDER_TOPIC, EventLogProcessRecorder)
        return self._ready(
            recorder_class(
                self.datastore, events_table_name=self._events_table, tracking_table_name=self._tracking_table
            )
        )

    def _class(self, variable: str, ours: type[R]) -> type[R]:
        topic = self.env.get(variable)
        chosen = resolve_topic(topic) if topic else ours
        if not issubclass(chosen, ours):
            raise InfrastructureFactoryError(
                f"{variable}: {topic} must be a subclass of {ours.__name__}; it would bypass the log's append function"
            )
        return chosen

    def _ready(self, recorder: R) -> R:
        if self.env_create_table():
            recorder.create_table()
        return recorder
