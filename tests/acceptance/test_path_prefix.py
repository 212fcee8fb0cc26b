"""An API behind a proxy that adds a path prefix."""

import pytest
from msgspec.structs import replace

from tests.support.office import UNLIMITED, service_with_worker

pytestmark = pytest.mark.anyio


async def test_links_and_document_name_the_prefix(database: str) -> None:
    async with service_with_worker(database, replace(UNLIMITED, path_prefix="/perezvon")) as service:
        office = await service.office()
        for name in ("One", "Two"):
            await office.client.post("/client/@me/task_scheduler/", json={"name": name}, headers=office.admin)
        page = await office.client.get("/client/@me/task_scheduler/?limit=1", headers=office.admin)
        assert page.headers["Link"].startswith("</perezvon/client/%40me/task_scheduler?after=")
        document = (await office.client.get("/openapi.json")).json()
        assert document["servers"] == [{"url": "/perezvon"}]
