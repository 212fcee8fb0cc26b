"""One API over one database for all tests of a process; each test has an organisation of its own in it."""

from collections.abc import AsyncGenerator

import pytest

from tests.support.databases import DatabaseServer
from tests.support.office import Office, Service, service_with_worker


@pytest.fixture(scope="session")
async def service(anyio_backend: str, server: DatabaseServer, template: str) -> AsyncGenerator[Service]:
    """Yield the API, with a worker and without rate limits."""
    name = f"{template}_api"
    dsn = server.create(name, template=template)
    async with service_with_worker(dsn) as found:
        yield found
    server.drop(name)


@pytest.fixture
async def office(service: Service) -> Office:
    """Return a new organisation for the test."""
    return await service.office()


@pytest.fixture
async def foreign(service: Service) -> Office:
    """Return another new organisation."""
    return await service.office()
