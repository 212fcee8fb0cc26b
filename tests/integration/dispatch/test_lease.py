"""One worker leads a gateway: others wait, take over when its lease expires, and fence off what it still does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from application.policies.notify_webhooks import Message
from domain.callback.events import CallEnd, Outcome
from infrastructure.dispatch import lease as leases
from infrastructure.dispatch import reconciler
from infrastructure.dispatch.attempt_starter import AttemptStarter
from infrastructure.dispatch.handover import Handover
from infrastructure.dispatch.lease import Fenced, Lease
from infrastructure.postgres.connections import Pool, service_dsn
from tests.support.dispatching import ANSWERS, Exchange, Starting, open_exchange
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    opened = Pool(service_dsn(database), size=4, name="test")
    yield opened
    await opened.close()


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


async def run_out(dsn: str) -> None:
    """Expire the current lease, by the clock of Postgres."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as owner:
        await owner.execute("UPDATE perezvon_1.gateway_leases SET until = clock_timestamp() - interval '1 s'")


async def test_while_one_leads_nobody_else_does(pool: Pool) -> None:
    one, other = Lease(pool, "g"), Lease(pool, "g")
    assert await one.acquire()
    assert one.is_held
    assert not await other.acquire()
    assert not other.is_held


async def test_gateways_are_led_apart(pool: Pool) -> None:
    assert await Lease(pool, "g").acquire()
    assert await Lease(pool, "h").acquire()


async def test_a_released_lease_is_free_at_once_and_the_next_fence_is_higher(pool: Pool) -> None:
    one, other = Lease(pool, "g"), Lease(pool, "g")
    assert await one.acquire()
    await one.release()
    assert not one.is_held
    assert await other.acquire()
    assert other.fence == one.fence + 1


async def test_a_lease_that_ran_out_is_taken_and_the_late_leader_is_refused(pool: Pool, database: str) -> None:
    late, next_one = Lease(pool, "g"), Lease(pool, "g")
    assert await late.acquire()
    await run_out(database)
    assert await next_one.acquire()
    async with pool.connection() as connection, connection.transaction():
        await next_one.check(connection)
        with pytest.raises(Fenced):
            await late.check(connection)
    with pytest.raises(Fenced):
        await late.keep()
    await late.release()
    assert not await Lease(pool, "g").acquire()


async def test_a_takeover_waits_for_what_the_leader_before_is_committing(pool: Pool, database: str) -> None:
    late, next_one = Lease(pool, "g"), Lease(pool, "g")
    assert await late.acquire()
    await run_out(database)
    async with pool.connection() as connection:
        async with connection.transaction():
            await late.check(connection)
            taking = asyncio.create_task(next_one.acquire())
            await eventually_async(lambda: _somebody_waits_for_a_lock(pool))
            assert not taking.done()
        assert await taking


async def _somebody_waits_for_a_lock(pool: Pool) -> bool:
    async with pool.connection() as connection:
        rows = await connection.execute("SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        return await rows.fetchone() is not None


async def test_a_leader_renews_while_its_transactions_are_open(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    lease = Lease(pool, "g")
    assert await lease.acquire()

    async def renewed() -> bool:
        async with pool.connection() as other:
            rows = await other.execute("SELECT FROM perezvon_1.gateway_leases WHERE xmin <> %s::xid", before)
            return await rows.fetchone() is not None

    async with pool.connection() as connection, connection.transaction():
        before = await (await connection.execute("SELECT xmin::text FROM perezvon_1.gateway_leases")).fetchone()
        await lease.check(connection)
        keeping = asyncio.create_task(lease.keep())
        await eventually_async(renewed)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert keeping.cancelled()


async def test_without_postgres_a_lease_lasts_until_it_runs_out(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.3)
    monkeypatch.setattr(leases, "RENEW_S", 0.01)
    pool = Pool(service_dsn(database), size=1, name="test")
    lease = Lease(pool, "g")
    assert await lease.acquire()
    async with pool.connection():  # all others wait for a connection
        with pytest.raises(Fenced):
            await lease.keep()
    assert not lease.is_held
    assert not lease.permits_command()
    await pool.close()


async def test_a_leader_that_another_followed_can_start_nothing(exchange: Exchange) -> None:
    (one,) = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    async with exchange.leading() as late:
        await run_out(exchange.dsn)
        async with exchange.leading():
            with pytest.raises(Fenced):
                await AttemptStarter(late).start(1)
    assert await exchange.tags(one) == ["scheduled"]


async def test_a_leader_whose_lease_ran_out_says_nothing_to_the_switch_and_says_so_to_the_next(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    monkeypatch.setattr(Lease, "is_held", property(lambda lease: lease.fence > 1))
    monkeypatch.setattr(reconciler, "RECHECK_AFTER_S", 0.05)
    first = exchange.dispatch()
    await exchange.all_started([one])
    await exchange.stop(first)
    exchange.dispatch()
    await exchange.all_ended([one])
    assert exchange.network.counts().placed == 0
    assert (await exchange.callback(one)).last_end == CallEnd(outcome=Outcome.NOT_DIALLED)


async def test_attempts_that_a_term_left_undialled_are_free_whoever_leads_by_then(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expire the lease before the calls are sent, as a pause of Postgres does; another term begins."""

    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(reconciler, "RECHECK_AFTER_S", 3.0)
    ids = await exchange.callbacks(await exchange.queue(), [ANSWERS] * 13, url_before="https://example.com/before")
    first = exchange.dispatch(announce=announce)
    await exchange.all_started(ids)
    await exchange.do("UPDATE perezvon_1.gateway_leases SET fence = fence + 1, until = '-infinity'")
    await exchange.all_ended(ids)
    assert {(await exchange.callback(one)).last_end for one in ids} == {CallEnd(outcome=Outcome.NOT_DIALLED)}
    assert exchange.network.counts().placed == 0
    first.cancel()


async def test_a_mark_of_another_fence_says_nothing(exchange: Exchange, pool: Pool) -> None:
    (one,) = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    async with exchange.leading() as term:
        (started,) = await Starting(term).start(1)
        handover = Handover(pool, term.lease.gateway)
        for fence, marked in ((term.lease.fence - 1, []), (term.lease.fence, [(one,)])):
            handover.leave(fence, [started.call.id])
            await handover.mark()
            rows = await exchange.rows("SELECT callback_id FROM perezvon_1.open_calls WHERE is_undialled")
            assert rows == marked


async def test_a_dispatcher_that_stops_lets_another_lead_at_once(exchange: Exchange) -> None:
    first = exchange.dispatch()
    queue = await exchange.queue()
    ids = await exchange.callbacks(queue, [ANSWERS])
    await exchange.all_ended(ids)
    await exchange.stop(first)
    rows = await exchange.rows("SELECT until < clock_timestamp(), link_up FROM perezvon_1.gateway_leases")
    assert rows == [(True, False)]
