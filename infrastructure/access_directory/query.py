"""Lookups in the access directory: who holds a token or an operator key, and what an organisation has."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from application.ports.directory import (
    MemberRow,
    OperatorHolder,
    OperatorRow,
    OrganizationRow,
    TokenHolder,
    TokenRow,
)
from domain.organization.events import Settings
from domain.permissions import Role
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.postgres.sql import statement

_TOKENS = statement("""
    SELECT t.id, t.organization_id, t.role, t.secret_hash, t.member_id, t.expires_at, t.revoked_at, g.settings -> 'limits',
        m.role
    FROM {schema}.tokens AS t
    JOIN {schema}.organizations AS g ON g.id = t.organization_id
    LEFT JOIN {schema}.members AS m ON m.id = t.member_id
    WHERE t.id = ANY(%s)
""")
_OPERATORS = statement("""
    SELECT o.key_hash, o.organization_id, o.number, g.settings::text, o.member_id, m.name
    FROM {schema}.operators o
    JOIN {schema}.organizations g ON g.id = o.organization_id
    LEFT JOIN {schema}.members m ON m.id = o.member_id
    WHERE o.key_hash = ANY(%s)
""")
_NAMES = statement("SELECT id, name FROM {schema}.members WHERE id = ANY(%s)")
_ORGANIZATION = statement("SELECT id, name, created_at, settings::text FROM {schema}.organizations WHERE id = %s")
_ORGANIZATIONS = statement("SELECT id, name, created_at, settings::text FROM {schema}.organizations ORDER BY id")
_MEMBERS_OF = statement("SELECT id, name, role FROM {schema}.members WHERE organization_id = %s ORDER BY id")
_OPERATORS_OF = statement("""
    SELECT number, name, phone, member_id
    FROM {schema}.operators
    WHERE organization_id = %s
    ORDER BY number
""")
_TOKEN_COLUMNS = tuple(field.name for field in msgspec.structs.fields(TokenRow))
_TOKENS_OF = statement(f"""
    SELECT {", ".join(_TOKEN_COLUMNS)}
    FROM {{schema}}.tokens
    LEFT JOIN {{schema}}.token_uses ON token_id = id
    WHERE organization_id = %s
    ORDER BY id
""")
_NOTE_USE = statement("""
    INSERT INTO {schema}.token_uses (token_id, last_used_at)
    SELECT id, now() FROM {schema}.tokens WHERE id = ANY(%s) ORDER BY id
    ON CONFLICT (token_id) DO UPDATE SET last_used_at = excluded.last_used_at
""")


class PostgresDirectory:
    """The port ``Directory`` on Postgres. Lookups made at the same time share a query; nothing is cached."""

    def __init__(self, reading: Pool, lists: SharedPool) -> None:
        """Look up over ``reading``, and read lists over ``lists``."""
        self._reading = reading
        self._lists = lists
        self._tokens = Batcher[str, TokenHolder | None](self._token_batch, max_items=256)
        self._operators = Batcher[str, OperatorHolder | None](self._operator_batch, max_items=256)
        self._names = Batcher[str, str | None](self._name_batch, max_items=256)

    async def token(self, token_id: str) -> TokenHolder | None:
        """See the port."""
        return await self._tokens.submit(token_id)

    async def operator(self, key_hash: str) -> OperatorHolder | None:
        """See the port."""
        return await self._operators.submit(key_hash)

    async def member_names(self, ids: Sequence[str]) -> Mapping[str, str]:
        """See the port."""
        if len(ids) == 1:
            name = await self._names.submit(ids[0])
            return {ids[0]: name} if name else {}
        names = await self._name_batch(ids)
        return {member_id: name for member_id, name in zip(ids, names, strict=True) if name}

    async def organization(self, organization_id: int) -> OrganizationRow | None:
        """See the port."""
        rows = await self._rows(_ORGANIZATION, organization_id)
        return _organization(rows[0]) if rows else None

    async def organizations(self) -> Sequence[OrganizationRow]:
        """See the port."""
        return [_organization(row) for row in await self._rows(_ORGANIZATIONS)]

    async def members(self, organization_id: int) -> Sequence[MemberRow]:
        """See the port."""
        rows = await self._listed(_MEMBERS_OF, organization_id)
        return [MemberRow(id=member_id, name=name, role=Role(role)) for member_id, name, role in rows]

    async def operators(self, organization_id: int) -> Sequence[OperatorRow]:
        """See the port."""
        rows = await self._listed(_OPERATORS_OF, organization_id)
        return [
            OperatorRow(id=number, name=name, number=phone, member_id=member) for number, name, phone, member in rows
        ]

    async def tokens(self, organization_id: int) -> Sequence[TokenRow]:
        """See the port."""
        rows = await self._listed(_TOKENS_OF, organization_id)
        return [msgspec.convert(dict(zip(_TOKEN_COLUMNS, row, strict=True)), TokenRow, strict=False) for row in rows]

    async def note_use(self, token_ids: Sequence[str]) -> None:
        """Set when these tokens were last used to the present time."""
        async with self._reading.connection() as connection:
            await connection.execute(_NOTE_USE, (list(token_ids),))

    async def _rows(self, query: bytes, *values: int) -> list[tuple[Any, ...]]:
        async with self._reading.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def _listed(self, query: bytes, organization_id: int) -> list[tuple[Any, ...]]:
        async with self._lists.connection(organization_id) as connection:
            return await (await connection.execute(query, (organization_id,))).fetchall()

    async def _batch(self, query: bytes, keys: Sequence[str]) -> list[tuple[Any, ...]]:
        async with self._reading.connection() as connection:
            return await (await connection.execute(query, (list(set(keys)),), prepare=True)).fetchall()

    async def _token_batch(self, ids: Sequence[str]) -> Sequence[TokenHolder | None]:
        found = {
            row[0]: TokenHolder(
                token_id=row[0],
                organization_id=row[1],
                role=Role(row[2]),
                secret_hash=row[3],
                member_id=row[4],
                expires_at=row[5],
                revoked_at=row[6],
                own_limits=row[7] or {},
                member_role=row[8] and Role(row[8]),
            )
            for row in await self._batch(_TOKENS, ids)
        }
        return [found.get(token_id) for token_id in ids]

    async def _operator_batch(self, hashes: Sequence[str]) -> Sequence[OperatorHolder | None]:
        found = {
            key_hash: OperatorHolder(
                organization_id=organization_id,
                number=number,
                settings=msgspec.json.decode(settings, type=Settings),
                member_id=member_id,
                member_name=member_name,
            )
            for key_hash, organization_id, number, settings, member_id, member_name in await self._batch(
                _OPERATORS, hashes
            )
        }
        return [found.get(key_hash) for key_hash in hashes]

    async def _name_batch(self, ids: Sequence[str]) -> Sequence[str | None]:
        found = dict[str, str](await self._batch(_NAMES, ids))
        return [found.get(member_id) for member_id in ids]


def _organization(row: tuple[Any, ...]) -> OrganizationRow:
    number, name, created_at, settings = row
    return OrganizationRow(
        id=number, name=name, created_at=created_at, settings=msgspec.json.decode(settings, type=Settings)
    )
