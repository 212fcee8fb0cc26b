"""Arrays as parameters: what Postgres receives is what was given."""

import pytest
from psycopg import AsyncConnection

from infrastructure.postgres.arrays import ByteaArray, Int4Array, Int8Array, TextArray

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("given", "type_name"),
    [
        (Int4Array([1, -1, 2**31 - 1, -(2**31)]), "integer[]"),
        (Int8Array([1, -1, None, 2**63 - 1, -(2**63)]), "bigint[]"),
        (TextArray(["Әйгерім", "", None, "😀", 'a"{},\\']), "text[]"),
        (ByteaArray([b"\x00\xff", b"", b'"{}']), "bytea[]"),
        (Int4Array(), "integer[]"), (Int8Array(), "bigint[]"), (TextArray(), "text[]"), (ByteaArray(), "bytea[]"),
    ],
)  # fmt: skip
async def test_postgres_receives_the_elements(database: str, given: list[object], type_name: str) -> None:
    async with await AsyncConnection.connect(database) as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute("SELECT %b, pg_typeof(%b)::text", (given, given))
        assert await cursor.fetchone() == (list(given), type_name)
