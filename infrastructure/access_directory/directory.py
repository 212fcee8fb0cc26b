"""Who may come in: the tables of 0003, written in the transaction that records an organisation's facts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

import msgspec
from psycopg import AsyncConnection, sql

from application.ports.event_log import (
    Appended,
    Envelope,
    MemberRow,
    OperatorHolder,
    OperatorRow,
    OrganizationRow,
    TokenHolder,
    TokenRow,
)
from domain.model import Recorded
from domain.organization.events import (
    MemberAdded,
    OperatorAdded,
    OperatorKeyRenewed,
    OperatorRemoved,
    OrganizationCreated,
    OrganizationFact,
    Settings,
    SettingsChanged,
    TokenIssued,
    TokenRevoked,
    WebhookSecretRotated,
)
from domain.values import Role
from infrastructure.event_log.codec import encode
from infrastructure.event_log.log import Command, PostgresEventLog, call_door, judged, read_identity
from infrastructure.postgres.batching import GroupWork
from infrastructure.postgres.connections import SCHEMA, SHARD, SHARD_BITS, Pool

TABLES = ("organizations", "members", "operators", "tokens")
_schema = sql.Identifier(SCHEMA).as_string(None)

DirectoryFact = (
    OrganizationCreated
    | SettingsChanged
    | MemberAdded
    | OperatorAdded
    | OperatorKeyRenewed
    | OperatorRemoved
    | TokenIssued
    | TokenRevoked
)


def _sql(text: str) -> bytes:
    return text.replace("{schema}", _schema).encode()


_TOKENS = _sql(
    "SELECT id, organization_id, role, secret_hash, member_id, expires_at, revoked_at"
    " FROM {schema}.tokens WHERE id = ANY(%s)"
)
_OPERATORS = _sql(
    "SELECT o.key_hash, o.organization_id, o.number, g.settings::text, o.member_id, m.name FROM {schema}.operators o"
    " JOIN {schema}.organizations g ON g.id = o.organization_id LEFT JOIN {schema}.members m ON m.id = o.member_id"
    " WHERE o.key_hash = ANY(%s)"
)
_NAMES = _sql("SELECT id, name FROM {schema}.members WHERE id = ANY(%s)")


async def apply(connection: AsyncConnection, events: Sequence[Recorded[OrganizationFact]]) -> None:
    """Bring the tables up to date with an organisation's facts, in their order."""
    for event in events:
        if isinstance(event.fact, WebhookSecretRotated):
            continue  # its secret stands elsewhere, sealed
        query, values = _statement(event.fact, int(event.stream.removeprefix("organization/")), event.recorded_at)
        await connection.execute(_sql(query), values)


def _statement(fact: DirectoryFact, organization_id: int, at: datetime) -> tuple[str, tuple[Any, ...]]:
    match fact:
        case OrganizationCreated(name=name, settings=settings):
            query = "INSERT INTO {schema}.organizations (id, name, settings, created_at) VALUES (%s, %s, %s, %s)"
            return query, (organization_id, name, _json(settings), at)
        case SettingsChanged(settings=settings):
            return "UPDATE {schema}.organizations SET settings = %s WHERE id = %s", (_json(settings), organization_id)
        case MemberAdded(member_id=member_id, role=role, personal=person):
            query = "INSERT INTO {schema}.members (id, organization_id, name, role) VALUES (%s, %s, %s, %s)"
            return query, (member_id, organization_id, person.name, role)
        case OperatorAdded(operator_number=number, key_hash=key_hash, member_id=member_id, personal=details):
            query = (
                "INSERT INTO {schema}.operators (organization_id, number, key_hash, name, phone, member_id)"
                " VALUES (%s, %s, %s, %s, %s, %s)"
            )
            return query, (organization_id, number, key_hash, details.name, details.number, member_id)
        case OperatorKeyRenewed(operator_number=number, key_hash=key_hash):
            query = "UPDATE {schema}.operators SET key_hash = %s WHERE organization_id = %s AND number = %s"
            return query, (key_hash, organization_id, number)
        case OperatorRemoved(operator_number=number):
            query = "DELETE FROM {schema}.operators WHERE organization_id = %s AND number = %s"
            return query, (organization_id, number)
        case TokenIssued():
            query = (
                "INSERT INTO {schema}.tokens (id, organization_id, name, role, secret_hash, member_id, issued_at,"
                " expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            )
            values = (fact.token_id, organization_id, fact.name, fact.role, fact.secret_hash, fact.member_id)
            return query, (*values, at, fact.expires_at)
        case TokenRevoked(token_id=token_id):
            return "UPDATE {schema}.tokens SET revoked_at = %s WHERE id = %s", (at, token_id)
        case _:
            assert_never(fact)


def _json(settings: Settings) -> str:
    return msgspec.json.encode(settings).decode()


class PostgresDirectory:
    """The port ``Directory`` on Postgres. What is asked at the same time shares a query; nothing is cached."""

    def __init__(self, reading: Pool) -> None:
        """Read over ``reading``."""
        self._reading = reading
        self._tokens = GroupWork[str, TokenHolder | None](self._token_batch, most=256)
        self._operators = GroupWork[str, OperatorHolder | None](self._operator_batch, most=256)
        self._names = GroupWork[str, str | None](self._name_batch, most=256)

    async def token(self, token_id: str) -> TokenHolder | None:
        """See the port."""
        return await self._tokens.ask(token_id)

    async def operator(self, key_hash: str) -> OperatorHolder | None:
        """See the port."""
        return await self._operators.ask(key_hash)

    async def member_names(self, ids: Sequence[str]) -> Mapping[str, str]:
        """See the port."""
        if len(ids) == 1:
            name = await self._names.ask(ids[0])
            return {ids[0]: name} if name else {}
        names = await self._name_batch(ids)
        return {member_id: name for member_id, name in zip(ids, names, strict=True) if name}

    async def organization(self, organization_id: int) -> OrganizationRow | None:
        """See the port."""
        rows = await self._organization_rows("WHERE id = %s", (organization_id,))
        return rows[0] if rows else None

    async def organizations(self) -> Sequence[OrganizationRow]:
        """See the port."""
        return await self._organization_rows("", ())

    async def members(self, organization_id: int) -> Sequence[MemberRow]:
        """See the port."""
        query = "SELECT id, name, role FROM {schema}.members WHERE organization_id = %s ORDER BY id"
        rows = await self._rows(query, (organization_id,))
        return [MemberRow(id=member_id, name=name, role=Role(role)) for member_id, name, role in rows]

    async def operators(self, organization_id: int) -> Sequence[OperatorRow]:
        """See the port."""
        query = (
            "SELECT number, name, phone, member_id FROM {schema}.operators WHERE organization_id = %s ORDER BY number"
        )
        rows = await self._rows(query, (organization_id,))
        return [
            OperatorRow(id=number, name=name, number=phone, member_id=member) for number, name, phone, member in rows
        ]

    async def tokens(self, organization_id: int) -> Sequence[TokenRow]:
        """See the port."""
        query = (
            "SELECT id, name, role, member_id, issued_at, expires_at, revoked_at, last_used_at"
            " FROM {schema}.tokens WHERE organization_id = %s ORDER BY id"
        )
        names = ("id", "name", "role", "member_id", "issued_at", "expires_at", "revoked_at", "last_used_at")
        rows = await self._rows(query, (organization_id,))
        return [msgspec.convert(dict(zip(names, row, strict=True)), TokenRow, strict=False) for row in rows]

    async def note_use(self, token_ids: Sequence[str]) -> None:
        """Note that these tokens were used just now."""
        query = "UPDATE {schema}.tokens SET last_used_at = now() WHERE id = ANY(%s)"
        async with self._reading.connection() as connection:
            await connection.execute(_sql(query), (list(token_ids),))

    async def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        async with self._reading.connection() as connection:
            return await (await connection.execute(_sql(query), values)).fetchall()

    async def _organization_rows(self, where: str, values: tuple[Any, ...]) -> list[OrganizationRow]:
        query = f"SELECT id, name, created_at, settings::text FROM {{schema}}.organizations {where} ORDER BY id"
        rows = await self._rows(query, values)
        return [
            OrganizationRow(id=number, name=name, created_at=at, settings=msgspec.json.decode(text, type=Settings))
            for number, name, at, text in rows
        ]

    async def _token_batch(self, ids: Sequence[str]) -> Sequence[TokenHolder | None]:
        async with self._reading.connection() as connection:
            rows = await (await connection.execute(_TOKENS, (list(set(ids)),), prepare=True)).fetchall()
        found = {
            row[0]: TokenHolder(
                token_id=row[0],
                organization_id=row[1],
                role=Role(row[2]),
                secret_hash=row[3],
                member_id=row[4],
                expires_at=row[5],
                revoked_at=row[6],
            )
            for row in rows
        }
        return [found.get(token_id) for token_id in ids]

    async def _operator_batch(self, hashes: Sequence[str]) -> Sequence[OperatorHolder | None]:
        async with self._reading.connection() as connection:
            rows = await (await connection.execute(_OPERATORS, (list(set(hashes)),), prepare=True)).fetchall()
        found = {
            key_hash: OperatorHolder(
                organization_id=organization_id,
                number=number,
                settings=msgspec.json.decode(settings, type=Settings),
                member_id=member_id,
                member_name=member_name,
            )
            for key_hash, organization_id, number, settings, member_id, member_name in rows
        }
        return [found.get(key_hash) for key_hash in hashes]

    async def _name_batch(self, ids: Sequence[str]) -> Sequence[str | None]:
        async with self._reading.connection() as connection:
            rows = await (await connection.execute(_NAMES, (list(set(ids)),), prepare=True)).fetchall()
        found = dict[str, str](rows)
        return [found.get(member_id) for member_id in ids]


class PostgresOrganizations:
    """The port ``Organizations`` on Postgres."""

    def __init__(self, log: PostgresEventLog, writing: Pool, reading: Pool) -> None:
        """Read streams from ``log``; append over ``writing``, each time with the directory's tables."""
        self._log = log
        self._writing = writing
        self._reading = reading

    async def new_id(self) -> int:
        """See the port."""
        async with self._reading.connection() as connection:
            row = await (await connection.execute(_sql("SELECT nextval('{schema}.organization_numbers')"))).fetchone()
        return ((row[0] if row else 0) << SHARD_BITS) + SHARD

    async def read(self, organization_id: int) -> Sequence[Recorded[OrganizationFact]]:
        """See the port."""
        return await self._log.read(f"organization/{organization_id}")

    async def append(
        self, organization_id: int, version: int, facts: Sequence[OrganizationFact], envelope: Envelope
    ) -> Appended:
        """See the port."""
        command = Command(
            stream=f"organization/{organization_id}",
            version=version,
            facts=facts,
            states=[encode(fact) for fact in facts],
            envelope=envelope,
        )
        async with self._writing.connection() as connection:
            identity = await read_identity(connection)
            async with connection.transaction():
                (verdict,) = await call_door(connection, [command])
                outcome = judged(command, verdict, identity)
                if isinstance(outcome, Exception):
                    raise outcome
                await apply(connection, outcome.events)
        return outcome

    async def organization_of_token(self, token_id: str) -> int | None:
        """See the port."""
        query = _sql("SELECT organization_id FROM {schema}.tokens WHERE id = %s")
        async with self._reading.connection() as connection:
            row = await (await connection.execute(query, (token_id,))).fetchone()
        return row[0] if row else None
