"""The view `call_history`: the attempt that a call belongs to, while the call runs and afterwards."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from application.queries.call_history import Dialled
from domain.callback.events import AttemptFailed, AttemptStarted, CallbackDelayed
from infrastructure.operations.rebuild import rebuild
from infrastructure.operations.view_lag import PostgresViewLag
from infrastructure.read_models.call_history import query
from infrastructure.read_models.call_history.query import FIND, PostgresCallIndex
from infrastructure.read_models.registry import PROJECTIONS
from tests.support.histories import BUSY, CALLBACK_ID, START, call_id_of, scheduled
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

STREAM = f"callback/{CALLBACK_ID}"
FIRST, SECOND = UUID(call_id_of(1)), UUID(call_id_of(2))
TWICE = [
    scheduled(),
    AttemptStarted(attempt=1, call_id=str(FIRST)),
    AttemptFailed(attempt=1, end=BUSY),
    CallbackDelayed(due_at=START),
    AttemptStarted(attempt=2, call_id=str(SECOND)),
]


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    async with open_views(database) as opened:
        yield opened


def index_of(views: Views) -> PostgresCallIndex:
    """Return the index over the views in their current state."""
    return PostgresCallIndex(views.shared, views.positions)


async def test_the_calls_of_all_attempts_are_found(views: Views) -> None:
    await views.record(STREAM, *TWICE)
    await views.catch_up("call_history")
    index = index_of(views)
    assert await index.find(FIRST, 1) == Dialled(callback_id=CALLBACK_ID, attempt=1)
    assert await index.find(SECOND, 1) == Dialled(callback_id=CALLBACK_ID, attempt=2)


async def test_another_organisations_call_and_one_that_never_was_are_not_found(views: Views) -> None:
    await views.record(STREAM, *TWICE)
    await views.catch_up("call_history")
    index = index_of(views)
    assert await index.find(FIRST, 2) is None
    assert await index.find(uuid4(), 1) is None


async def test_a_call_is_found_while_it_runs_though_the_view_does_not_show_it(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    await views.record(STREAM, *TWICE)
    await views.do(
        "INSERT INTO perezvon_1.open_calls (call_id, callback_id, queue_id, organization_id, attempt, position, gateway,"
        " fence, started_at) VALUES (%s, %s, 65, 1, 2, 5, 'simulated', 1, now())",
        SECOND,
        CALLBACK_ID,
    )
    monkeypatch.setattr(query, "_WAIT_S", 0)
    assert await index_of(views).find(SECOND, 1) == Dialled(callback_id=CALLBACK_ID, attempt=2)
    assert await index_of(views).find(SECOND, 2) is None


class Awaited(PostgresViewLag):
    """View lag whose positions are reached by waiting for them."""

    def __init__(self, views: Views) -> None:
        super().__init__(views.pool)
        self.views = views
        self.waits: list[tuple[str, int]] = []

    async def wait_for(self, name: str, position: int, timeout_s: float) -> bool:
        assert timeout_s == 1
        self.waits.append((name, position))
        await self.views.catch_up(name)
        return True


async def test_a_call_that_ended_before_the_view_showed_it_is_waited_for(views: Views) -> None:
    position, awaited = await views.record(STREAM, *TWICE), Awaited(views)
    index = PostgresCallIndex(views.shared, awaited)
    assert await index.find(FIRST, 1) == Dialled(callback_id=CALLBACK_ID, attempt=1)
    assert awaited.waits == [("call_history", position)]
    assert await index.find(uuid4(), 1) is None
    assert len(awaited.waits) == 1  # a view that is up to date shows all calls


async def test_facts_that_are_folded_again_change_nothing(views: Views) -> None:
    await views.record(STREAM, *TWICE)
    await views.catch_up("call_history")
    before, projection = await views.dump("call_history"), PROJECTIONS["call_history"]
    await projection.handle(views.owner, await views.events(projection.subscription))
    assert await views.dump("call_history") == before
    assert len(before) == 2


async def test_a_rebuild_finds_what_was_kept(views: Views) -> None:
    await views.record(STREAM, *TWICE)
    await views.catch_up("call_history")
    before = await views.dump("call_history")
    report = await rebuild(views.dsn, "call_history", accept=False, progress=lambda _reached, _aim: None)
    assert (report.swapped, report.differs) == (True, False)
    assert await views.dump("call_history") == before
    assert await index_of(views).find(FIRST, 1) is not None


async def test_a_call_id_that_is_none_parks_its_stream_and_holds_up_no_other(views: Views) -> None:
    await views.record("callback/193", scheduled(), AttemptStarted(attempt=1, call_id="no uuid"))
    await views.record(STREAM, *TWICE)
    await views.catch_up("call_history")
    assert await views.rows("SELECT name, stream FROM perezvon_1.parked_streams") == [("call_history", "callback/193")]
    assert await index_of(views).find(SECOND, 1) is not None


async def test_a_call_is_looked_up_by_its_index_and_the_head_by_the_logs(views: Views) -> None:
    await views.do(
        "INSERT INTO perezvon_1.call_history SELECT gen_random_uuid(), 1, n, 1 FROM generate_series(1, %s) AS n", 20_000
    )
    await views.do("VACUUM ANALYZE perezvon_1.call_history")
    await views.do("SET plan_cache_mode = force_generic_plan")
    asked = FIND.decode().replace("%(call_id)s", "$1").replace("%(organization_id)s", "$2")
    await views.do(f"PREPARE asked (uuid, bigint) AS {asked}")
    lines = await views.rows(f"EXPLAIN EXECUTE asked ('{FIRST}', 1)")
    plan = "\n".join(line for (line,) in lines)
    assert "Index Scan using call_history_call on call_history" in plan
    assert "Seq Scan on call_history" not in plan
    assert "Seq Scan on stored_events" not in plan


async def test_there_is_no_index_that_no_lookup_needs(views: Views) -> None:
    found = await views.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'call_history'")
    assert found == [("call_history_call",)]
