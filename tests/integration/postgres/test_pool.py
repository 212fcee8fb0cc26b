"""The pool: bounded waits, silent and lost connections replaced, places in the order of the requests."""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import psycopg
import pytest
from msgspec.structs import replace

from application.errors import StorageNeedsAttention, StorageUnavailable
from application.time_budget import current_budget, end_budget, start_budget
from infrastructure.postgres import connections
from infrastructure.postgres.batching import Batcher
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.sessions import REQUEST
from infrastructure.postgres.silence import sessions_at_work
from tests.support.databases import DatabaseServer
from tests.support.relay import Relay
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

QUICK = replace(REQUEST, deadline_s=0.5, statement_s=0.45)


@pytest.fixture
async def relay(database: str) -> AsyncIterator[Relay]:
    """Yield an open relay to the database."""
    found = Relay(service_dsn(database))
    found.open()
    yield found
    found.shut()


@pytest.fixture
async def pool(relay: Relay) -> AsyncIterator[Pool]:
    """Yield a pool of two connections through the relay."""
    opened = Pool(relay.dsn, size=2, name="test", purpose=QUICK)
    yield opened
    await opened.close()


@contextmanager
def budget(seconds: float) -> Generator[None]:
    """Limit the waits of the block as those of a request."""
    token = start_budget(seconds)
    yield
    end_budget(token)


async def ask(pool: Pool, query: str = "SELECT 1", within_s: float | None = None) -> int:
    async with pool.connection(within_s) as connection:
        (value,) = await (await connection.execute(query.encode())).fetchone() or (0,)
        return value


async def test_a_connection_is_used_again(pool: Pool) -> None:
    assert await ask(pool, "SELECT pg_backend_pid()") == await ask(pool, "SELECT pg_backend_pid()")


async def test_a_silent_connection_is_closed_at_the_deadline(pool: Pool, relay: Relay) -> None:
    await ask(pool)
    relay.silence()
    with pytest.raises(StorageUnavailable, match="did not respond"):
        await ask(pool)
    assert await ask(pool) == 1


async def test_a_request_with_little_time_left_says_nothing_about_other_connections(pool: Pool, database: str) -> None:
    other = Pool(service_dsn(database), size=1, name="other")
    pid = await ask(other, "SELECT pg_backend_pid()")
    await ask(pool)  # so that the budget need not suffice for a new connection
    with budget(0.1), pytest.raises(StorageUnavailable, match="did not respond"):
        await ask(pool, "SELECT pg_sleep(60)")
    assert await ask(other, "SELECT pg_backend_pid()") == pid
    await other.close()


async def test_a_connection_that_is_held_beyond_its_deadline_without_a_query_is_no_silent_server(
    pool: Pool, database: str
) -> None:
    other = Pool(service_dsn(database), size=1, name="other")
    pid = await ask(other, "SELECT pg_backend_pid()")
    async with pool.connection() as held:

        async def ended() -> bool:
            return held.is_aborted

        await eventually_async(ended)
    assert await ask(other, "SELECT pg_backend_pid()") == pid
    assert await ask(pool) == 1
    await other.close()


async def test_a_statement_ends_in_the_server_when_its_request_has_given_up(
    pool: Pool, server: DatabaseServer, database: str
) -> None:
    if server.admin.info.server_version < 150000:
        pytest.skip("Postgres 14 watches the client's connection on some platforms only")
    await ask(pool)
    with budget(0.1), pytest.raises(StorageUnavailable, match="did not respond"):
        await ask(pool, "SELECT pg_sleep(3600)")

    async def ended() -> bool:
        async with await psycopg.AsyncConnection.connect(database) as observer:
            asked = await observer.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3600)%'")
            return await asked.fetchone() is None

    await eventually_async(ended)


async def test_quiet_connections_that_became_silent_fail_no_request(
    pool: Pool, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PROVED_S", 0.0)
    monkeypatch.setattr(connections, "_PING_S", 0.1)
    async with pool.connection(), pool.connection():
        pass
    relay.silence()
    assert await ask(pool, within_s=10) == 1


async def test_a_silent_connection_ends_the_long_waits_of_all_others_that_do_not_respond(
    pool: Pool, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PROVED_S", 0.1)
    patient = Pool(relay.dsn, size=2, name="batch", purpose=replace(REQUEST, deadline_s=600))
    async with asyncio.timeout(60):
        await ask(pool)
        async with patient.connection(), patient.connection():
            pass
        relay.silence()
        waiting = [asyncio.create_task(ask(patient)) for _ in range(2)]
        with pytest.raises(StorageUnavailable, match="did not respond"):
            await ask(pool)
        for one in waiting:
            with pytest.raises(StorageUnavailable, match="did not respond"):
                await one
        assert await ask(patient) == 1
    await patient.close()


async def test_a_session_that_works_is_told_from_one_that_waits_for_its_client(database: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(database) as holder,
        await psycopg.AsyncConnection.connect(database) as other,
        await psycopg.AsyncConnection.connect(database) as ended,
    ):
        await holder.execute("LOCK TABLE perezvon_1.tokens")
        blocked = asyncio.create_task(other.execute("SELECT FROM perezvon_1.tokens"))
        pids = [one.info.backend_pid for one in (holder, other, ended)]
        await ended.close()

        async def found() -> bool:
            return await sessions_at_work(database, pids) == {other.info.backend_pid}

        assert await eventually_async(found)
        await holder.rollback()
        await blocked


async def test_the_deadline_includes_the_wait_for_a_connection(pool: Pool) -> None:
    async with pool.connection(within_s=30), pool.connection(within_s=30):
        with pytest.raises(StorageUnavailable, match="No connection was free"):
            await ask(pool, within_s=0.1)
    assert await ask(pool) == 1


async def test_a_request_that_waits_gets_the_next_free_connection(pool: Pool) -> None:
    order: list[int] = []

    async def one(number: int) -> None:
        await ask(pool, within_s=10)
        order.append(number)

    async with pool.connection(), asyncio.TaskGroup() as group, pool.connection():
        tasks = [group.create_task(one(number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[1].cancel()
    assert order == [0, 2, 3, 4]


async def test_a_server_that_is_away_refuses_at_once_and_serves_again(pool: Pool, relay: Relay) -> None:
    await ask(pool)
    relay.shut()
    with pytest.raises(StorageUnavailable):
        await ask(pool)
    relay.open()
    assert await ask(pool) == 1


async def test_a_connection_that_the_server_closed_fails_no_request(pool: Pool, database: str) -> None:
    pid = await ask(pool, "SELECT pg_backend_pid()")
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    assert await ask(pool, "SELECT pg_backend_pid()") != pid


async def test_a_connection_in_a_transaction_is_not_used_again(pool: Pool) -> None:
    async with pool.connection() as connection:
        pid = connection.info.backend_pid
        await connection.execute("BEGIN")
    assert await ask(pool, "SELECT pg_backend_pid()") != pid


async def test_a_cancelled_request_gives_its_place_back(pool: Pool) -> None:
    for _ in range(3):
        asking = asyncio.create_task(ask(pool, "SELECT pg_sleep(60)", within_s=60))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    assert await ask(pool) == 1


async def test_a_request_spends_one_budget_over_all_its_queries(pool: Pool) -> None:
    with budget(0.3):
        await ask(pool)
        with pytest.raises(StorageUnavailable, match="did not respond"):
            await ask(pool, "SELECT pg_sleep(60)")
        with pytest.raises(StorageUnavailable, match="No time is left"):
            await ask(pool)
    await ask(pool)


async def test_a_batch_has_not_the_budget_of_who_began_it(pool: Pool) -> None:
    going = asyncio.Event()

    async def work(items: object) -> list[bool]:
        await going.wait()
        return [current_budget() is None for _ in range(len([items]))]

    batcher = Batcher[int, bool](work, max_items=1)
    with budget(0.05), pytest.raises(StorageUnavailable, match="in time"):
        await batcher.submit(1)
    with budget(60):
        second = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0)
    going.set()
    assert await second


async def test_a_read_only_database_needs_attention(pool: Pool) -> None:
    async def write() -> None:
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION READ ONLY")
            await connection.execute("DELETE FROM perezvon_1.tokens")

    with pytest.raises(StorageNeedsAttention, match="read-only") as raised:
        await write()
    assert raised.value.sqlstate == "25006"


async def test_a_locked_table_is_an_error_of_the_server_and_keeps_the_connection(database: str) -> None:
    pool = Pool(service_dsn(database), size=1, name="test", purpose=replace(REQUEST, lock_s=0.1))
    pid = await ask(pool, "SELECT pg_backend_pid()")
    async with await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("LOCK TABLE perezvon_1.tokens")
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            await ask(pool, "SELECT count(*) FROM perezvon_1.tokens")
    assert await ask(pool, "SELECT pg_backend_pid()") == pid
    await pool.close()


async def test_closing_waits_for_nobody_and_closes_all(database: str) -> None:
    pool = Pool(service_dsn(database), size=2, name="closing test")

    async def open_ones() -> bool:
        async with await psycopg.AsyncConnection.connect(database) as other:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'perezvon closing test'"
            return await (await other.execute(query)).fetchone() == (0,)

    async with pool.connection():
        await ask(pool)
        await pool.close()
    assert await eventually_async(open_ones)
