"""Rules and quotas at the moment of the dial: refused without a ring, or held at no cost for other organisations."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from application.phone_line_key import line_key
from application.ports.call_gateway import CallOver
from application.queries.queue_board import Idle
from domain.callback.events import CallbackDetails, CallbackScheduled, CallEnd, FinishResult, Leg, Outcome
from domain.organization.events import Settings
from domain.organization.limits import Limits
from infrastructure.dispatch.attempt_starter import AttemptStarter
from infrastructure.dispatch.call_rules import CallRules, candidate_of
from infrastructure.dispatch.open_lines import PostgresOpenLines
from infrastructure.dispatch.organization_turns import read_turns
from infrastructure.dispatch.outcome_recorder import OutcomeRecorder
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.shared_pool import SharedPool
from tests.support.dispatching import ANSWERS, BUSY, CALL_CENTRE, Exchange, open_exchange

pytestmark = pytest.mark.anyio


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    async with open_exchange(database) as opened:
        yield opened


async def organization(exchange: Exchange, organization_id: int = 1, **settings: Any) -> None:
    """Give an organisation settings, in place of those that it had."""
    await exchange.do(
        "INSERT INTO perezvon_1.organizations (id, name, settings, created_at) VALUES (%s, 'Acme', %s, now())"
        " ON CONFLICT (id) DO UPDATE SET settings = excluded.settings",
        organization_id,
        msgspec.json.encode(Settings(**settings)).decode(),
    )


async def started(exchange: Exchange, limits: Limits, limit: int = 10) -> list[int]:
    """Start what a new leader can start; return the callbacks."""
    async with exchange.leading() as term:
        starter = AttemptStarter(term, limits)
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        begun: list[int] = []
        while await starter.seconds_to_next() <= 0:
            begun += [one.open_call.callback_id for one in (await starter.start(limit)).started]
        return begun


async def test_a_number_that_may_no_longer_be_called_finishes_its_callback_without_a_ring(exchange: Exchange) -> None:
    queue = await exchange.queue(slots=1)
    await organization(exchange, dial_regions=["UZ"])
    refused, allowed = await exchange.callbacks(queue, [ANSWERS, "2001"])
    assert await started(exchange, Limits()) == [allowed]
    assert await exchange.tags(refused) == ["scheduled", "finished"]
    callback = await exchange.callback(refused)
    assert (callback.finish_result, callback.finish_comment) == (
        FinishResult.FAILED,
        "CANCEL a refused (region_not_allowed)",
    )
    assert (callback.call_id, callback.due_at) == (None, None)
    assert await exchange.rows("SELECT callback_id FROM perezvon_1.open_calls") == [(allowed,)]
    assert await exchange.rows("SELECT callback_id FROM perezvon_1.timetable") == []


async def test_an_organisation_without_calls_left_is_held_and_nothing_is_finished(exchange: Exchange) -> None:
    await organization(exchange, limits={"calls_per_day": 2}, timezone="Asia/Almaty")
    await organization(exchange, 2)
    own = await exchange.callbacks(await exchange.queue(), [ANSWERS] * 5)
    others = await exchange.callbacks(await exchange.queue(organization_id=2), [ANSWERS] * 5, organization_id=2)
    assert sorted(await started(exchange, Limits())) == sorted([*own[:2], *others])
    assert [await exchange.tags(one) for one in own[2:]] == [["scheduled"]] * 3
    counted = (
        "SELECT organization_id, calls, held_until = day_began + interval '1 day' AND held_until > now()"
        " FROM perezvon_1.organization_calls ORDER BY 1"
    )
    assert await exchange.rows(counted) == [(1, 2, True), (2, 5, False)]
    assert await started(exchange, Limits()) == []
    assert await exchange.rows(counted) == [(1, 2, True), (2, 5, False)]
    await organization(exchange, limits={"calls_per_day": 4}, timezone="Asia/Almaty")
    assert await started(exchange, Limits(), limit=1) == own[2:4]
    assert await exchange.rows(counted) == [(1, 4, True), (2, 5, False)]
    await organization(exchange, limits={"calls_per_day": 5}, timezone="Asia/Almaty")
    assert await started(exchange, Limits()) == own[4:]
    assert await exchange.rows(counted) == [(1, 5, False), (2, 5, False)]


async def test_the_next_day_ends_a_hold(exchange: Exchange) -> None:
    await organization(exchange, limits={"calls_per_day": 1})
    ids = await exchange.callbacks(await exchange.queue(), [ANSWERS] * 3)
    assert await started(exchange, Limits()) == ids[:1]
    await exchange.do("UPDATE perezvon_1.organization_calls SET day_began = day_began - interval '1 day'")
    assert await started(exchange, Limits(), limit=1) == ids[1:2]
    (row,) = await exchange.rows("SELECT calls, held_until > now() FROM perezvon_1.organization_calls")
    assert row == (1, True)


async def test_a_time_zone_that_this_machine_does_not_know_is_reported_once_and_counts_from_midnight_utc(
    exchange: Exchange,
) -> None:
    await organization(exchange, limits={"calls_per_day": 2}, timezone="Asia/Atlantis")
    rules, now = CallRules(Limits()), datetime(2026, 11, 27, 12, tzinfo=UTC)
    details = CallbackDetails(subject="callback/7", a_number="1001", b_number=ANSWERS)
    scheduled = CallbackScheduled(queue_id=1, try_count=1, try_again_pause=60, start_time=now, personal=details)
    due = candidate_of(7, 1, scheduled, (8, 9))
    with capture_logs() as logs:
        for seconds in (0, 2, 4):
            await rules.admit(exchange.owner, [due], now + timedelta(seconds=seconds))
    unknown = [line for line in logs if line["event"] == "time zone unknown"]
    assert [(line["organization_id"], line["timezone"]) for line in unknown] == [(1, "Asia/Atlantis")]
    (row,) = await exchange.rows(
        "SELECT (day_began AT TIME ZONE 'UTC')::date, calls FROM perezvon_1.organization_calls"
    )
    assert row == (now.date(), 2)


async def test_a_change_of_the_time_zone_gives_no_calls_back(exchange: Exchange) -> None:
    waiting = await exchange.callbacks(await exchange.queue(), [ANSWERS] * 5)
    begun: list[int] = []
    for zone in ("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "UTC", "Pacific/Kiritimati", "UTC"):
        await organization(exchange, limits={"calls_per_day": 2}, timezone=zone)
        begun += await started(exchange, Limits())
    assert begun == waiting[:2]


async def test_a_leader_with_an_older_day_counts_on_the_day_that_is_stored(exchange: Exchange) -> None:
    await exchange.callbacks(await exchange.queue(), [ANSWERS] * 3)
    await exchange.do("INSERT INTO perezvon_1.organization_calls VALUES (1, '2000-01-01', 7)")
    async with exchange.leading() as term:
        starter = AttemptStarter(term, Limits())
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        assert await starter.seconds_to_next() <= 0
        assert len((await starter.start(1)).started) == 1
        assert await exchange.rows("SELECT calls FROM perezvon_1.organization_calls") == [(1,)]
        await exchange.do(
            "UPDATE perezvon_1.organization_calls SET day_began = day_began + interval '1 day', calls = 5"
        )
        assert len((await starter.start(1)).started) == 1
        assert await exchange.rows("SELECT calls, day_began > now() FROM perezvon_1.organization_calls") == [(6, True)]


async def test_a_held_organisation_is_not_examined_again_before_a_minute(exchange: Exchange) -> None:
    await organization(exchange, limits={"calls_per_day": 0})
    queue = await exchange.queue()
    await exchange.callbacks(queue, [ANSWERS])
    async with exchange.leading() as term:
        starter = AttemptStarter(term)
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        assert await starter.seconds_to_next() <= 0
        assert (await starter.start(10)).started == []
        await exchange.callbacks(queue, [ANSWERS])
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        assert 30 < await starter.seconds_to_next() <= 60


async def test_attempts_to_one_number_are_limited_in_an_hour_over_queues_and_leaders(exchange: Exchange) -> None:
    limits = Limits(attempts_per_number_hour=2)
    one, two = await exchange.queue(), await exchange.queue()
    first = await exchange.callbacks(one, [ANSWERS, ANSWERS, BUSY])
    assert sorted(await started(exchange, limits)) == sorted(first)
    second = await exchange.callbacks(two, [ANSWERS])
    assert await started(exchange, limits) == []
    (row,) = await exchange.rows(
        "SELECT callback_id, due_at BETWEEN now() + interval '50 minutes' AND now() + interval '1 hour', held_by"
        " FROM perezvon_1.timetable"
    )
    assert row == (second[0], True, Idle.NUMBER_QUOTA)
    await exchange.do("UPDATE perezvon_1.line_attempts SET started_at = started_at - interval '1 hour'")
    await exchange.do("UPDATE perezvon_1.timetable SET due_at = now()")
    assert await started(exchange, limits) == second


async def test_callbacks_that_wait_ring_or_wait_for_a_busy_line_are_open_on_both_legs(exchange: Exchange) -> None:
    queue = await exchange.queue(slots=1)
    client, extension = line_key(1, ANSWERS), line_key(1, CALL_CENTRE)  # extensions have no quota
    pool = Pool(service_dsn(exchange.dsn), size=1, name="test")
    lines_of = PostgresOpenLines(SharedPool(pool, size=1, resource="lists"))

    async def is_open(*lines: int, at_most: int = 9) -> dict[int, int]:
        found = (await lines_of.count(lines, at_most, queue)).by_line
        return {line: calls for line, calls in found.items() if calls}

    try:
        await exchange.callbacks(queue, [ANSWERS, ANSWERS, BUSY])
        assert await is_open(client, extension, 7) == {client: 2}
        (rings,) = await started(exchange, Limits())
        assert await exchange.rows("SELECT callback_id FROM perezvon_1.open_calls") == [(rings,)]
        assert await is_open(client) == {client: 2}
        assert (await is_open(client, at_most=2))[client] >= 2
        await exchange.do("UPDATE perezvon_1.queue_slots SET client_leg = 'a', slots = 9")
        await exchange.do("UPDATE perezvon_1.open_calls SET client_line = a_line")
        await started(exchange, Limits())
        assert await exchange.rows("SELECT count(*) FROM perezvon_1.line_waits") == [(1,)]
        assert await is_open(client) == {client: 2}
        assert (await lines_of.count([client], 9, queue)).client_leg is Leg.A
        await exchange.do("DELETE FROM perezvon_1.open_calls")
        assert await is_open(client) == {client: 1}
    finally:
        await pool.close()


async def test_an_attempt_that_was_not_dialled_counts_in_no_quota(exchange: Exchange) -> None:
    limits = Limits(attempts_per_number_hour=1, calls_per_day=1)
    queue = await exchange.queue(slots=2)
    (first,) = await exchange.callbacks(queue, [ANSWERS])
    other = await exchange.queue(organization_id=2)
    counts = "SELECT organization_id, calls FROM perezvon_1.organization_calls ORDER BY 1"
    async with exchange.leading() as term:
        starter, recorder = AttemptStarter(term, limits), OutcomeRecorder(term)
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        (one,) = (await starter.start(10)).started
        (lines,) = await exchange.rows("SELECT array_agg(line) FROM perezvon_1.line_attempts")
        await exchange.do("UPDATE perezvon_1.organization_calls SET calls = 5")
        await exchange.do(
            "INSERT INTO perezvon_1.line_attempts SELECT unnest(%s), now() - interval '5 minutes'", *lines
        )
        recorder.add(CallOver(one.call.id, CallEnd(outcome=Outcome.NOT_DIALLED)))
        await recorded(recorder)
        assert await exchange.rows(counts) == [(1, 4)]
        assert await exchange.rows("SELECT now() - started_at > '4 minutes' FROM perezvon_1.line_attempts") == [
            (True,)
        ] * len(lines[0])
        assert (await exchange.callback(first)).last_end == CallEnd(outcome=Outcome.NOT_DIALLED)
        await exchange.callbacks(other, [BUSY], organization_id=2)
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        (one,) = (await starter.start(10)).started
        recorder.add(CallOver(one.call.id, CallEnd(outcome=Outcome.BUSY)))
        await recorded(recorder)
        assert await exchange.rows(counts) == [(1, 4), (2, 1)]


async def test_an_attempt_of_an_earlier_day_is_given_back_to_none(exchange: Exchange) -> None:
    await exchange.callbacks(await exchange.queue(), [ANSWERS])
    async with exchange.leading() as term:
        starter, recorder = AttemptStarter(term, Limits()), OutcomeRecorder(term)
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        (one,) = (await starter.start(10)).started
        await exchange.do("UPDATE perezvon_1.organization_calls SET calls = 5, day_began = now() + interval '1 second'")
        recorder.add(CallOver(one.call.id, CallEnd(outcome=Outcome.NOT_DIALLED)))
        await recorded(recorder)
        assert await exchange.rows("SELECT calls FROM perezvon_1.organization_calls") == [(5,)]


async def recorded(recorder: OutcomeRecorder) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run())
        await recorder.drain()
        task.cancel()


async def test_without_a_quota_no_attempt_is_kept(exchange: Exchange) -> None:
    await exchange.callbacks(await exchange.queue(), [ANSWERS] * 30)
    assert len(await started(exchange, Limits(), 100)) == 30
    assert await exchange.rows("SELECT FROM perezvon_1.line_attempts") == []


async def test_an_extension_is_called_after_its_number(exchange: Exchange) -> None:
    await exchange.callbacks(await exchange.queue(), [f"{ANSWERS};ext=12"])
    async with exchange.leading() as term:
        async with term.pool.connection() as connection:
            term.turns.load(await read_turns(connection))
        ((one,), _) = ((await AttemptStarter(term).start(1)).started, None)
        assert (one.call.a_number, one.call.a_digits, one.call.b_sees) == (ANSWERS, "12", ANSWERS)
