"""The streams of organisations: facts are appended together with the directory's tables."""

from collections.abc import Sequence
from typing import Any

import msgspec

from application.ids import SHARD_BITS
from application.ports.event_log import Appended
from domain.model import Envelope, Recorded, tag_of
from domain.organization.events import OrganizationFact
from domain.streams import organization_stream
from infrastructure.event_log.append import Command, outcome_of
from infrastructure.event_log.codec import encode
from infrastructure.event_log.identity import read_identity
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.event_log.sequences import SHARD
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.sql import statement

_DRAW_NUMBER = statement("SELECT nextval('{schema}.organization_numbers')")
_RECORD_ACCESS = statement("""
    SELECT verdict, last_position, at
    FROM {schema}.record_access(
        %b::bigint, %b::bigint, %b::text[], %b::bytea[], %t::jsonb, %b::text, %b::text, %b::text, %b::text
    )
""")
_ORGANIZATION_OF_TOKEN = statement("SELECT organization_id FROM {schema}.tokens WHERE id = %s")


class PostgresOrganizations:
    """The port ``Organizations`` on Postgres."""

    def __init__(self, log: PostgresEventLog, writing: Pool, reading: Pool) -> None:
        """Read streams from ``log``; append over ``writing``, each time with the directory's tables."""
        self._log = log
        self._writing = writing
        self._reading = reading

    async def new_id(self) -> int:
        """See the port."""
        number = await self._value(_DRAW_NUMBER) or 0
        return (number << SHARD_BITS) + SHARD

    async def read(self, organization_id: int) -> Sequence[Recorded[OrganizationFact]]:
        """See the port."""
        return await self._log.read(organization_stream(organization_id))

    async def append(
        self, organization_id: int, version: int, facts: Sequence[OrganizationFact], envelope: Envelope
    ) -> Appended:
        """See the port."""
        command = Command(
            stream=organization_stream(organization_id),
            version=version,
            facts=facts,
            states=[encode(fact) for fact in facts],
            envelope=envelope,
        )
        async with self._writing.connection() as connection:
            identity = await read_identity(connection)
            cursor = await connection.cursor(binary=True).execute(_RECORD_ACCESS, _values(organization_id, command))
            (verdict,) = await cursor.fetchall()
        outcome = outcome_of(command, verdict, identity)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def organization_of_token(self, token_id: str) -> int | None:
        """See the port."""
        return await self._value(_ORGANIZATION_OF_TOKEN, token_id)

    async def _value(self, query: bytes, *values: str) -> int | None:
        async with self._reading.connection() as connection:
            row = await (await connection.execute(query, values)).fetchone()
        return row[0] if row else None


def _values(organization_id: int, command: Command) -> tuple[Any, ...]:
    envelope = command.envelope
    names = [msgspec.to_builtins(getattr(fact, "personal", None)) for fact in command.facts]
    return (
        organization_id,
        command.version,
        [tag_of(fact) for fact in command.facts],
        list(command.states),
        msgspec.json.encode(names).decode(),
        envelope.actor,
        envelope.reason,
        envelope.causation,
        envelope.correlation,
    )
