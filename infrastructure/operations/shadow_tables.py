"""Shadow tables: a rebuild fills them beside the live ones, then swaps them in."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, sql

from application.ports.operations import Difference
from infrastructure.postgres.sql import SCHEMA
from infrastructure.subscriptions.projection import Table

NEW = "__new"
OLD = "__old"

_INDEXES = """
    SELECT c.relname, i.indisunique, pg_get_indexdef(i.indexrelid)
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = '{live}'::regclass
    ORDER BY c.relname
"""
_OPTIONS = """
    SELECT array_to_string(reloptions, ', ')
    FROM pg_class
    WHERE oid = '{live}'::regclass AND reloptions IS NOT NULL
"""
_GRANTS = """
    SELECT
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        string_agg(a.privilege_type, ', ')
    FROM pg_class AS c, aclexplode(c.relacl) AS a
    WHERE c.oid = '{live}'::regclass AND a.grantee <> c.relowner
    GROUP BY 1
"""
_COMPARE = """
    SELECT
        count(*) FILTER (WHERE live.{one} = rebuilt.{one}),
        count(*) FILTER (WHERE rebuilt.{one} IS NULL),
        count(*) FILTER (WHERE live.{one} IS NULL)
    FROM {live} AS live
    FULL JOIN {new} AS rebuilt USING ({key})
    WHERE ROW (live.*) IS DISTINCT FROM ROW (rebuilt.*)
"""


class ShadowTables:
    """The shadow tables of a projection: created, compared and swapped over the connection of the database's owner."""

    def __init__(self, connection: AsyncConnection, tables: Sequence[Table]) -> None:
        """Work on shadows of these tables."""
        self._connection = connection
        self._tables = tables

    async def create(self) -> None:
        """Create empty tables like the live ones, with the unique indexes only; drop those of earlier rebuilds."""
        for table in self._tables:
            await self._do("DROP TABLE IF EXISTS {new}, {old}", table.name)
            await self._do("CREATE TABLE {new} (LIKE {live} INCLUDING ALL EXCLUDING INDEXES)", table.name)
            for (options,) in await self._rows(_OPTIONS, table.name):
                await self._do("ALTER TABLE {new} SET ({options})", table.name, options=options)
            for grantee, privileges in await self._rows(_GRANTS, table.name):
                await self._do(
                    "GRANT {privileges} ON {new} TO {grantee}", table.name, privileges=privileges, grantee=grantee
                )
        await self._create_indexes(unique=True)

    async def finish(self) -> None:
        """Create the other indexes, now that the tables are filled, and analyse the tables for the planner."""
        await self._create_indexes(unique=False)
        for table in self._tables:
            await self._do("VACUUM (ANALYZE) {new}", table.name)

    async def compare(self) -> list[Difference]:
        """Return how each table differs from the live one; both are at the same log position."""
        found: list[Difference] = []
        for table in self._tables:
            ((differing, missing, extra),) = await self._rows(
                _COMPARE, table.name, one=table.key[0], key=", ".join(table.key)
            )
            found.append(Difference(table=table.name, differing=differing, missing=missing, extra=extra))
        return found

    async def lock(self) -> None:
        """Lock readers out until the transaction ends, in the order in which queries name the tables."""
        live = ", ".join(_qualified(table.name) for table in self._tables)
        await self._do("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE", tables=live)

    async def swap(self) -> None:
        """Rename the live tables to names that end in ``__old``, and give their names to the new ones."""
        for table in self._tables:
            indexes = await self._rows(_INDEXES, table.name)
            await self._do("ALTER TABLE {live} RENAME TO {old_name}", table.name)
            await self._do("ALTER TABLE {new} RENAME TO {name}", table.name)
            for index, *_ in indexes:
                await self._do("ALTER INDEX {live} RENAME TO {old_name}", index)
                await self._do("ALTER INDEX {new} RENAME TO {name}", index)

    async def _create_indexes(self, *, unique: bool) -> None:
        for table in self._tables:
            for index, is_unique, definition in await self._rows(_INDEXES, table.name):
                if is_unique is unique:
                    head, _, how = definition.partition(" USING ")
                    kind = head.partition(" INDEX ")[0]
                    text = "{kind} INDEX {index} ON {new} USING {how}"
                    await self._do(text, table.name, kind=kind, index=sql.Identifier(index + NEW).as_string(), how=how)

    async def _do(self, text: str, name: str = "", **fragments: str) -> AsyncCursor[tuple[Any, ...]]:
        names = {
            "live": _qualified(name),
            "new": _qualified(name + NEW),
            "old": _qualified(name + OLD),
            "name": sql.Identifier(name).as_string() if name else "",
            "old_name": sql.Identifier(name + OLD).as_string(),
        }
        return await self._connection.execute(text.format(**names, **fragments).encode(), prepare=False)

    async def _rows(self, text: str, name: str, **fragments: str) -> list[tuple[Any, ...]]:
        return await (await self._do(text, name, **fragments)).fetchall()


def _qualified(name: str) -> str:
    return sql.Identifier(SCHEMA, name).as_string()
