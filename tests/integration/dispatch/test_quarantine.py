"""The dispatcher when events are lost, duplicate or late, and when the switch or Postgres is unavailable."""

from collections.abc import AsyncIterator

import pytest

from domain.callback.events import Outcome
from infrastructure.dispatch import reconciler
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Network
from tests.support.dispatching import ANSWERS, BUSY, FAST, RINGS, Exchange, open_exchange
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

SUCCEEDED = ["scheduled", "attempt_started", "attempt_succeeded", "finished", "call_ended"]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "RECONCILE_EVERY_S", 0.2)
    monkeypatch.setattr(reconciler, "RECHECK_AFTER_S", 0.05)


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


async def outcomes(exchange: Exchange, ids: list[int]) -> list[Outcome | None]:
    callbacks = [await exchange.callback(one) for one in ids]
    return [one.last_end.outcome if one.last_end else None for one in callbacks]


@pytest.mark.parametrize("faults", [Faults(double=1.0), Faults(reorder=0.5), Faults(delay=0.5, delay_s=0.3)])
async def test_news_that_is_doubled_late_or_out_of_order_changes_nothing(exchange: Exchange, faults: Faults) -> None:
    exchange.network.faults = faults
    queue = await exchange.queue(2)
    ids = await exchange.callbacks(queue, [ANSWERS, BUSY] * 4)
    exchange.dispatch()
    await exchange.all_ended(ids)
    histories = {tuple(await exchange.tags(one)) for one in ids}
    assert histories == {tuple(SUCCEEDED), ("scheduled", "attempt_started", "attempt_failed")}
    assert exchange.network.counts().most <= 2
    assert await exchange.rows("SELECT taken FROM perezvon_1.queue_slots") == [(0,)]


async def test_what_was_never_told_is_found_by_asking(exchange: Exchange) -> None:
    exchange.network.faults = Faults(lose=1.0)
    ids = await exchange.callbacks(await exchange.queue(1), [ANSWERS, BUSY])
    exchange.dispatch()
    await exchange.all_ended(ids)
    assert await outcomes(exchange, ids) == [Outcome.SUCCESS, Outcome.BUSY]
    assert await exchange.tags(ids[0]) == SUCCEEDED


async def test_a_refused_call_is_a_congestion(exchange: Exchange) -> None:
    exchange.network.faults = Faults(refuse=True)
    ids = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    exchange.dispatch()
    await exchange.all_ended(ids)
    assert await outcomes(exchange, ids) == [Outcome.CONGESTION]


async def test_a_call_of_which_the_answer_was_lost_is_adopted_and_not_dialled_again(exchange: Exchange) -> None:
    exchange.network.faults = Faults(cut_after=1)
    ids = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    exchange.dispatch()
    await exchange.all_ended(ids)
    assert await outcomes(exchange, ids) == [Outcome.SUCCESS]
    assert exchange.network.counts().placed == 1


async def test_a_call_that_never_reached_the_switch_is_lost_and_not_dialled_again(exchange: Exchange) -> None:
    exchange.network.faults = Faults(cut_before=1)
    ids = await exchange.callbacks(await exchange.queue(), [ANSWERS])
    exchange.dispatch()
    await exchange.all_ended(ids)
    assert await outcomes(exchange, ids) == [Outcome.LOST]
    assert exchange.network.counts().placed == 0


@pytest.mark.parametrize(("keep_ledger", "ended_before"), [(True, Outcome.BUSY), (False, Outcome.LOST)])
async def test_calls_that_a_restart_of_the_switch_cut_are_lost(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, ended_before: Outcome, *, keep_ledger: bool
) -> None:
    monkeypatch.setattr(reconciler, "RECONCILE_EVERY_S", 60.0)
    exchange.network.faults = Faults(lose=1.0)
    running, ended = await exchange.callbacks(await exchange.queue(), [RINGS, BUSY])
    exchange.dispatch()
    await exchange.all_started([running, ended])

    async def both_dialled() -> bool:
        return exchange.network.counts().placed == 2

    await eventually_async(both_dialled)
    async with Control(exchange.address) as control:
        await control.restart(keep_ledger=keep_ledger)
    await exchange.all_ended([running, ended])
    assert await outcomes(exchange, [running, ended]) == [Outcome.LOST, ended_before]


async def test_a_worker_that_takes_over_adopts_what_runs_and_records_what_ended_meanwhile(exchange: Exchange) -> None:
    running, ended = await exchange.callbacks(await exchange.queue(), [RINGS, ANSWERS])
    first = exchange.dispatch()
    await exchange.all_started([running, ended])
    await exchange.stop(first)

    async def one_runs() -> bool:
        return exchange.network.counts().running == 1

    await eventually_async(one_runs)
    exchange.dispatch()
    await exchange.all_ended([running, ended])
    assert await outcomes(exchange, [running, ended]) == [Outcome.NO_ANSWER, Outcome.SUCCESS]
    assert exchange.network.counts().most_dials == 1


async def test_while_the_switch_is_away_nothing_starts_and_no_attempt_is_spent(database: str) -> None:
    async with open_exchange(database, Network(speed=FAST), is_up=False) as exchange:
        ids = await exchange.callbacks(await exchange.queue(), [ANSWERS] * 3)
        exchange.dispatch()

        async def leads() -> bool:
            rows = await exchange.rows("SELECT link_up FROM perezvon_1.gateway_leases WHERE until > clock_timestamp()")
            return rows == [(False,)]

        await eventually_async(leads)
        assert {tuple(await exchange.tags(one)) for one in ids} == {("scheduled",)}
        async with exchange.network_up():
            await exchange.all_ended(ids)
            assert await exchange.rows("SELECT link_up FROM perezvon_1.gateway_leases") == [(True,)]
        later = await exchange.callbacks(await exchange.queue(), [ANSWERS])
        await eventually_async(leads)
        assert await exchange.tags(later[0]) == ["scheduled"]


async def test_after_all_its_connections_were_lost_a_dispatcher_goes_on(exchange: Exchange) -> None:
    ids = await exchange.callbacks(await exchange.queue(3), [ANSWERS, BUSY] * 20)
    exchange.dispatch()
    for started in (5, 15, 25):
        await exchange.all_started(ids[:started])
        await exchange.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'perezvon dispatcher'"
        )
    await exchange.all_ended(ids)
    counts = exchange.network.counts()
    assert (counts.most_dials, counts.most) == (1, 3)
    assert {(await exchange.callback(one)).attempt for one in ids} == {1}
