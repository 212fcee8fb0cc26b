"""One API over one database for all tests of a process; each test has an organisation of its own in it."""

from collections.abc import AsyncGenerator

import pytest

from tests.support.databases import DatabaseServer
from tests.support.office import Office, Service, service_with_worker


@pytest.fixture(scope="session")
async def service(anyio_backend: str, server: DatabaseServer, template: str) -> AsyncGenerator[Service]:
    """Lend the API, with a worker beside it and without rate limits."""
    name = f"{template}_api"
    dsn = server.create(name, template=template)
    async with service_with_worker(dsn) as found:
        yield found
    server.drop(name)


@pytest.fixture
async def office(service: Service) -> Office:
    """Lend an organisation of the test's own."""
    return await service.office()


@pytest.fixture
async def foreign(service: Service) -> Office:
    """Lend another organisation."""
    return await service.office()
