"""Readers beside a hostile neighbour: one organisation's searches, lists and histories leave places for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest

from application.errors import ShareExhausted
from infrastructure.postgres import shared_pool
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.read_models.task_list.query import PostgresTaskList
from tests.support.office import Office

pytestmark = pytest.mark.anyio


class Places:
    """The places of readers that an organisation holds."""

    def __init__(self, office: Office, held: AsyncExitStack) -> None:
        view = cast("PostgresTaskList", office.services.task_list)
        self.lists, self.searches = view._reading, view._searching
        self._held, self._organization_id = held, office.organization_id

    async def hold_all(self, pool: SharedPool) -> None:
        """Hold all places of ``pool`` that the organisation is given, as its slow queries would."""
        while pool.share.room(self._organization_id):
            await self._held.enter_async_context(pool.connection(self._organization_id))


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncExitStack]:
    """Hold connections until the test ends; who finds no place is refused soon."""
    monkeypatch.setattr(shared_pool, "WAIT_S", 0.05)
    async with AsyncExitStack() as stack:
        yield stack


async def test_searches_of_one_take_no_places_of_lists_and_no_searches_of_others(
    office: Office, foreign: Office, held: AsyncExitStack
) -> None:
    places = Places(office, held)
    await places.hold_all(places.searches)
    waiting = [asyncio.create_task(office.get("/api/tasks", search="ab")) for _ in range(40)]
    await asyncio.sleep(0)
    for path in ("/api/tasks", "/api/tasks?search=ab", "/api/tasks?status=pending"):
        assert (await foreign.get(path)).status_code == 200
    assert (await office.get("/api/tasks")).status_code == 200
    refused = await asyncio.gather(*waiting)
    assert {response.status_code for response in refused} == {503}
    assert all(response.headers["Retry-After"] == "1" for response in refused)


async def test_lists_and_histories_of_one_leave_places_for_others(
    office: Office, foreign: Office, held: AsyncExitStack
) -> None:
    own, other = await office.file_task(), await foreign.file_task()
    queue = await foreign.create_queue()
    places = Places(office, held)
    await places.hold_all(places.lists)
    for path in (f"/api/tasks/{other['id']}/history", "/api/tasks", queue, f"{queue}/task"):
        assert (await foreign.get(path, foreign.admin)).status_code == 200
    for path in ("/v1/audit-trail", "/v1/tokens", "/v1/queue-board", "/v1/webhook-deliveries"):
        assert (await foreign.get(path, foreign.admin)).status_code == 200
    for path in ("/api/tasks", f"/api/tasks/{own['id']}/history", "/v1/audit-trail", "/v1/tokens", "/v1/queue-board"):
        assert (await office.get(path, office.admin)).status_code == 503
    assert (await office.get(f"/api/tasks/{own['id']}")).status_code == 200


async def test_a_place_is_free_again_after_its_query(office: Office, held: AsyncExitStack) -> None:
    places = Places(office, held)
    await places.hold_all(places.lists)
    with pytest.raises(ShareExhausted):
        async with places.lists.connection(office.organization_id):
            pass
    await held.aclose()
    assert (await office.get("/api/tasks")).status_code == 200
