"""Pacing of a gateway: rate, channels and breaker, and what the next leader knows of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from application.policies.notify_webhooks import Message
from application.ports.call_gateway import Call, CallState, GatewayUnavailable, PlaceResult
from application.queries.queue_board import Idle
from domain.callback.events import CallEnd, Outcome
from infrastructure.dispatch import breaker, reconciler
from infrastructure.dispatch.pacing import Pace
from infrastructure.gateways.simulated.capacity import Capacity
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.faults import Faults
from infrastructure.gateways.simulated.network import Network
from tests.support.dispatching import ANSWERS, BUSY, FAST, GATEWAY, RINGS, Exchange, open_exchange
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio

CONGESTED = "+77010006001"
CONGESTED_NUMBERS = [f"+770100060{number:02}" for number in range(2, 62)]
RATE = 20.0
CALLS = 60  # the calls of three seconds: more than the network accepts at once
BEFORE = "https://example.com/before"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "RECHECK_AFTER_S", 0.05)


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


async def outcomes(exchange: Exchange, ids: Sequence[int]) -> list[Outcome | None]:
    callbacks = [await exchange.callback(one) for one in ids]
    return [one.last_end.outcome if one.last_end else None for one in callbacks]


async def started(exchange: Exchange, ids: Sequence[int]) -> list[int]:
    return [one for one in ids if (await exchange.callback(one)).attempt]


async def until(exchange: Exchange, condition: str) -> None:
    """Wait until the condition is true of the gateway's lease."""

    async def holds() -> bool:
        now = f"SELECT FROM perezvon_1.gateway_leases WHERE until > clock_timestamp() AND {condition}"
        return await exchange.rows(now) != []

    await eventually_async(holds)


async def test_calls_start_at_the_rate_that_the_switch_bears(database: str) -> None:
    async with open_exchange(database, Network(speed=FAST, capacity=Capacity(calls_per_second=RATE))) as exchange:
        ids = await exchange.callbacks(await exchange.queue(), [BUSY] * CALLS)
        exchange.dispatch(pace=Pace(calls_per_second=RATE))
        await exchange.all_ended(ids)
        assert set(await outcomes(exchange, ids)) == {Outcome.BUSY}


async def test_calls_whose_webhooks_end_together_are_dialled_at_the_rate_all_the_same(database: str) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await everybody.wait()

    everybody = asyncio.Event()
    async with open_exchange(database, Network(speed=FAST, capacity=Capacity(calls_per_second=RATE))) as exchange:
        ids = await exchange.callbacks(await exchange.queue(), [BUSY] * (CALLS // 2), url_before=BEFORE)
        exchange.dispatch(announce=announce, pace=Pace(calls_per_second=RATE))
        await exchange.all_started(ids)
        everybody.set()
        await exchange.all_ended(ids)
        assert set(await outcomes(exchange, ids)) == {Outcome.BUSY}


async def test_no_more_channels_are_taken_than_there_are_also_by_the_leader_that_follows(exchange: Exchange) -> None:
    pace, queue = Pace(channels=7), await exchange.queue()
    ids = await exchange.callbacks(queue, [RINGS] * 3 + [ANSWERS] * 12)
    first = exchange.dispatch(pace=pace)
    await exchange.all_started(ids[:3])
    await until(exchange, "is_full")
    await exchange.stop(first)
    exchange.dispatch(pace=pace)
    await exchange.all_ended(ids)
    assert exchange.network.counts().most == 3
    await until(exchange, "NOT is_full")

    async def none_is_counted() -> bool:
        return REGISTRY.get_sample_value("perezvon_open_calls") == 0

    await eventually_async(none_is_counted)


async def test_an_organisation_that_uses_its_share_of_the_channels_is_stored_for_the_board(exchange: Exchange) -> None:
    await exchange.queue(organization_id=2)
    await exchange.callbacks(await exchange.queue(), [RINGS] * 5)
    exchange.dispatch(pace=Pace(channels=8))
    await until(exchange, "full_for = '{1}' AND NOT is_full")
    await until(exchange, "full_for = '{}'")


async def congested_everywhere(exchange: Exchange, slots: int = 1) -> list[int]:
    """Schedule callbacks of two organisations to congested numbers, three each; return their ids."""
    ids: list[int] = []
    for organization_id in (1, 2):
        queue = await exchange.queue(slots, organization_id=organization_id)
        ids += await exchange.callbacks(queue, CONGESTED_NUMBERS[:3], organization_id=organization_id)
    return ids


async def test_congestions_of_several_organisations_and_nothing_more_starts(exchange: Exchange) -> None:
    ids = await congested_everywhere(exchange)
    first = exchange.dispatch()
    await until(exchange, "pauses = 1 AND paused_until > clock_timestamp() + interval '20 s'")
    tried = await started(exchange, ids)
    assert len(tried) in {5, 6}
    assert REGISTRY.get_sample_value("perezvon_gateway_breaker_open", {"gateway": GATEWAY}) == 1
    await exchange.stop(first)
    others = await exchange.callbacks(await exchange.queue(organization_id=3), [ANSWERS], organization_id=3)
    exchange.dispatch()
    await until(exchange, "link_up")
    (swept,) = await exchange.callbacks(await _deleted_queue(exchange), [ANSWERS])

    async def is_swept() -> bool:
        return await exchange.tags(swept) == ["scheduled", "cancelled"]

    await eventually_async(is_swept)
    assert await started(exchange, [*ids, *others]) == tried


async def test_what_one_organisation_meets_stops_no_other(exchange: Exchange) -> None:
    """Dial the call of one organisation while another one floods congested numbers."""
    flood = await exchange.queue(20, organization_id=1)
    again = await exchange.callbacks(flood, [CONGESTED] * 50, organization_id=1, try_count=50, try_again_pause=0)
    many = await exchange.callbacks(flood, CONGESTED_NUMBERS, organization_id=1)
    exchange.dispatch(pace=Pace(calls_per_second=200.0, channels=20))
    paused = "SELECT organization_id FROM perezvon_1.organization_pauses WHERE paused_until > clock_timestamp()"

    async def one_is_paused() -> bool:
        return await exchange.rows(paused) == [(1,)]

    await eventually_async(one_is_paused)
    (theirs,) = await exchange.callbacks(await exchange.queue(organization_id=2), [ANSWERS], organization_id=2)
    await exchange.all_ended([theirs])
    assert await outcomes(exchange, [theirs]) == [Outcome.SUCCESS]
    dialled = [one for one in await outcomes(exchange, [*again, *many]) if one is Outcome.CONGESTION]
    assert 5 <= len(dialled) <= 60
    await until(exchange, "paused_until = '-infinity'")


async def test_a_congested_number_waits_for_all_queues_of_its_organisation(exchange: Exchange) -> None:
    first, second = await exchange.queue(1), await exchange.queue(1)
    ids = await exchange.callbacks(first, [CONGESTED] * 9)
    exchange.dispatch()
    await exchange.all_ended(ids[:5])
    more = await exchange.callbacks(second, [CONGESTED, ANSWERS])
    await exchange.all_ended(more[1:])
    assert await started(exchange, [*ids, *more]) == [*ids[:5], more[1]]
    later = "SELECT bool_and(due_at > clock_timestamp() + interval '10 s'), min(held_by), max(held_by)"
    reason = Idle.NUMBER_CONGESTED
    assert await exchange.rows(f"{later} FROM perezvon_1.timetable") == [(True, reason, reason)]


async def _deleted_queue(exchange: Exchange) -> int:
    queue = await exchange.queue()
    await exchange.do("UPDATE perezvon_1.queue_slots SET is_deleted = true WHERE queue_id = %s", queue)
    return queue


async def test_after_a_pause_one_call_tries_and_once_one_got_through_all_start(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE_S", 0.1)
    await congested_everywhere(exchange)
    exchange.dispatch()
    await until(exchange, "pauses >= 1")
    queue = await exchange.queue(1, organization_id=3)
    ids = await exchange.callbacks(queue, [ANSWERS] * 3, organization_id=3)
    await exchange.all_ended(ids)
    assert await outcomes(exchange, ids) == [Outcome.SUCCESS] * 3
    await until(exchange, "pauses = 0 AND paused_until = '-infinity'")


async def test_a_probe_of_which_nothing_is_told_is_asked_after(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(reconciler, "RECONCILE_EVERY_S", 0.2)
    await congested_everywhere(exchange)
    exchange.dispatch()
    await until(exchange, "pauses >= 1")
    exchange.network.faults = Faults(lose=1.0)
    others = await exchange.callbacks(await exchange.queue(1, organization_id=3), [BUSY] * 3, organization_id=3)
    await exchange.all_ended(others)
    await until(exchange, "pauses = 0")


async def test_a_switch_that_refuses_again_and_again_is_left_alone(exchange: Exchange) -> None:
    exchange.network.faults = Faults(refuse=True)
    ids = await congested_everywhere(exchange)
    exchange.dispatch()
    await until(exchange, "pauses = 1")

    async def five_met_congestion() -> bool:
        return (await outcomes(exchange, ids)).count(Outcome.CONGESTION) >= 5

    await eventually_async(five_met_congestion)


async def test_a_switch_that_was_restarted_has_time_to_register_its_trunks(exchange: Exchange) -> None:
    queue = await exchange.queue()
    ids = await exchange.callbacks(queue, [RINGS])
    exchange.dispatch()
    await exchange.all_started(ids)
    async with Control(exchange.address) as control:
        await control.restart(keep_ledger=True)
    await until(exchange, "link_up AND pauses = 1 AND paused_until > clock_timestamp() + interval '20 s'")
    await exchange.all_ended(ids)
    later = await exchange.callbacks(queue, [ANSWERS])
    await until(exchange, "link_up")
    assert await started(exchange, later) == []


async def test_when_a_link_that_was_cut_is_back_calls_go_on_at_once(exchange: Exchange) -> None:
    exchange.network.faults = Faults(cut_after=1)
    ids = await exchange.callbacks(await exchange.queue(1), [BUSY] * 8)
    exchange.dispatch()
    await exchange.all_ended(ids)
    assert set(await outcomes(exchange, ids)) == {Outcome.BUSY}
    await until(exchange, "pauses = 0 AND paused_until = '-infinity'")


async def test_an_attempt_whose_webhook_was_told_waits_for_the_link_and_is_not_burnt(database: str) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await released.wait()

    released = asyncio.Event()
    async with open_exchange(database, is_up=False) as exchange:
        queue = await exchange.queue()
        async with exchange.network_up():
            ids = await exchange.callbacks(queue, [ANSWERS] * 4, url_before=BEFORE)
            exchange.dispatch(announce=announce)
            await exchange.all_started(ids)
        await until(exchange, "NOT link_up")
        released.set()
        async with exchange.network_up():
            await exchange.all_ended(ids)
            assert set(await outcomes(exchange, ids)) == {Outcome.SUCCESS}
            assert exchange.network.counts().most_dials == 1


async def test_who_stops_while_an_attempt_waits_for_the_link_records_that_it_was_not_dialled(database: str) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await released.wait()

    released = asyncio.Event()
    async with open_exchange(database, is_up=False) as exchange:
        async with exchange.network_up():
            ids = await exchange.callbacks(await exchange.queue(), [ANSWERS], url_before=BEFORE)
            first = exchange.dispatch(announce=announce)
            await exchange.all_started(ids)
        await until(exchange, "NOT link_up")
        released.set()
        await exchange.stop(first)
        assert (await exchange.callback(ids[0])).last_end == CallEnd(outcome=Outcome.NOT_DIALLED)
        assert exchange.network.counts().placed == 0


async def test_calls_in_hand_go_back_when_the_breaker_opens(exchange: Exchange) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await released.wait()

    released = asyncio.Event()
    queue = await exchange.queue(organization_id=3)
    in_hand = await exchange.callbacks(queue, [ANSWERS] * 3, organization_id=3, url_before=BEFORE)
    exchange.dispatch(announce=announce)
    await exchange.all_started(in_hand)
    await congested_everywhere(exchange)
    await until(exchange, "pauses = 1")
    released.set()
    await exchange.all_ended(in_hand)
    assert await outcomes(exchange, in_hand) == [Outcome.NOT_DIALLED] * 3


class Faltering(SimulatedGateway):
    """A client whose link was lost a moment ago, and refuses; no LinkDown was published yet."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.refused = 0
        self.is_back = False

    async def place(self, call: Call) -> PlaceResult:
        if self.is_back:
            return await super().place(call)
        self.refused += 1
        return PlaceResult.REFUSED

    async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
        if self.is_back:
            return await super().find(call_ids)
        self.is_back = self.refused == 2
        raise GatewayUnavailable("no link")


async def test_what_is_refused_for_want_of_a_link_is_no_congestion(exchange: Exchange) -> None:
    gateway = Faltering(exchange.address)
    ids = await exchange.callbacks(await exchange.queue(1), [ANSWERS])
    exchange.dispatch(connect=lambda: gateway)
    await exchange.all_ended(ids)
    assert (gateway.refused, await outcomes(exchange, ids)) == (2, [Outcome.SUCCESS])


async def test_a_callback_that_is_deleted_while_it_waits_for_the_link_is_never_dialled(database: str) -> None:
    async def announce(messages: Sequence[Message], leased_to: UUID) -> None:
        await released.wait()

    released = asyncio.Event()
    async with open_exchange(database, is_up=False) as exchange:
        async with exchange.network_up():
            ids = await exchange.callbacks(await exchange.queue(), [ANSWERS], url_before=BEFORE)
            exchange.dispatch(announce=announce)
            await exchange.all_started(ids)
        await until(exchange, "NOT link_up")
        released.set()
        await exchange.do("UPDATE perezvon_1.open_calls SET hang_up = true")
        await exchange.notify()
        await exchange.all_ended(ids)
        assert await outcomes(exchange, ids) == [Outcome.CANCELLED]
        assert exchange.network.counts().placed == 0


async def test_a_call_that_lasts_longer_than_any_may_is_hung_up_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "RECONCILE_EVERY_S", 0.1)
    monkeypatch.setattr(reconciler, "CALL_AGE_MAX_S", 0.5)
    hung_up: list[str] = []
    queries: list[int] = []

    class Counting(SimulatedGateway):
        async def hang_up(self, call_id: str) -> None:
            hung_up.append(call_id)

        async def find(self, call_ids: Sequence[str]) -> Sequence[CallState]:
            queries.append(len(hung_up))
            return await super().find(call_ids)

    async with open_exchange(database, Network(speed=1.0)) as exchange:
        await exchange.callbacks(await exchange.queue(), [RINGS])
        exchange.dispatch(connect=lambda: Counting(exchange.address))

        async def was_asked_after_again_and_again() -> bool:
            return len(queries) > queries.count(0) + 3

        await eventually_async(was_asked_after_again_and_again)
        assert len(hung_up) == 1
