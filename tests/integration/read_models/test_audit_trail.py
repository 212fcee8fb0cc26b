"""The view `audit_trail`: actor, action, time and reason of the events of an organisation."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.queries.audit_trail import AuditTrailFilter, AuditTrailRow
from domain.task.events import TaskCompleted, TaskStarted
from infrastructure.read_models.audit_trail.projection import AuditTrailProjection
from tests.support.histories import filed
from tests.support.views import Views, open_views

pytestmark = pytest.mark.anyio

WHY: dict[str, Any] = {"reason": "asked to", "causation": "request/7", "correlation": "request/8"}


@pytest.fixture
async def views(database: str) -> AsyncIterator[Views]:
    """Yield views of six events of organisation 1, and of one event of another at position 4, between them."""
    async with open_views(database) as opened:
        await opened.record("task/a", filed("A"), actor="operator/1")
        await opened.record("task/b", filed("B"), actor="operator/2")
        await opened.record("task/a", TaskStarted(), version=1, actor="member/m1", **WHY)
        await opened.record("task/z", filed("Z"), organization_id=65, actor="member/m1")
        await opened.record("task/a", TaskCompleted(), version=2, actor="member/m1")
        await opened.record("task/b", TaskStarted(), TaskCompleted(), version=1, actor="member/m2")
        await opened.catch_up("audit_trail")
        yield opened


async def positions(views: Views, *, after: int = 0, limit: int = 100, **wanted: Any) -> list[int]:
    page = await views.audit_trail.page(1, AuditTrailFilter(**wanted), after=after, limit=limit)
    assert page.position == 7
    return [row.position for row in page.items]


async def test_a_row_is_the_envelope_of_its_event(views: Views) -> None:
    page = await views.audit_trail.page(1, AuditTrailFilter(), after=2, limit=1)
    ((at,),) = await views.rows("SELECT recorded_at FROM perezvon_1.stored_events WHERE notification_id = 3")
    expected = AuditTrailRow(
        position=3,
        stream="task/a",
        version=2,
        type="task.started.v1",
        recorded_at=at,
        organization_id=1,
        actor="member/m1",
        **WHY,
    )
    assert page.items == [expected]


async def test_the_trail_is_in_the_order_of_the_log_and_ones_own(views: Views) -> None:
    assert await positions(views) == [1, 2, 3, 5, 6, 7]
    other = await views.audit_trail.page(65, AuditTrailFilter(), after=0, limit=100)
    assert [row.position for row in other.items] == [4]
    assert (await views.audit_trail.page(129, AuditTrailFilter(), after=0, limit=100)).items == []


async def test_it_is_filtered_by_stream_actor_and_type(views: Views) -> None:
    assert await positions(views, stream="task/a") == [1, 3, 5]
    assert await positions(views, stream="task/z") == []
    assert await positions(views, actor="member/m1") == [3, 5]
    assert await positions(views, type="task.completed.v1") == [5, 7]
    assert await positions(views, type="task.completed.v1", actor="member/m2", stream="task/b") == [7]


async def test_it_is_filtered_by_time(views: Views) -> None:
    page = await views.audit_trail.page(1, AuditTrailFilter(), after=0, limit=100)
    at = {row.position: row.recorded_at for row in page.items}
    assert at[6] == at[7], "of one batch of the log"
    assert await positions(views, since=at[3]) == [3, 5, 6, 7]
    assert await positions(views, until=at[3]) == [1, 2]
    assert await positions(views, since=at[2], until=at[6]) == [2, 3, 5]
    assert await positions(views, since=at[7] + timedelta(microseconds=1)) == []
    assert await positions(views, until=datetime(2020, 1, 1, tzinfo=UTC)) == []
    assert await positions(views, actor="member/m1", since=at[3], until=at[5]) == [3]
    assert await positions(views, stream="task/a", since=at[2]) == [3, 5]
    assert await positions(views, stream="task/a", until=at[7] + timedelta(hours=1), after=1) == [3, 5]
    assert await positions(views, type="task.completed.v1", since=at[7] + timedelta(microseconds=1)) == []


async def test_the_last_position_seen_is_where_to_go_on(views: Views) -> None:
    assert await positions(views, limit=4) == [1, 2, 3, 5]
    assert await positions(views, after=5, limit=4) == [6, 7]
    assert await positions(views, after=6) == [7], "of the same time as the event before"
    assert await positions(views, after=4) == [5, 6, 7], "the position of another organisation's event"
    assert await positions(views, after=7) == []
    assert await positions(views, after=10**12) == []
    assert await positions(views, after=3, actor="member/m1") == [5]


async def test_events_that_are_there_already_are_not_doubled(views: Views) -> None:
    before = await views.dump("audit_trail")
    await AuditTrailProjection().handle(views.owner, await views.events())
    assert await views.dump("audit_trail") == before
    assert len(before) == 7
