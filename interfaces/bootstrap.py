"""The composition root: the one place that knows which adapter stands behind which port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from application.organizations import OrganizationsAdmin
from application.tasks import Tasks
from infrastructure.access_directory import PostgresDirectory, PostgresOrganizations
from infrastructure.database import Pool
from infrastructure.event_log.postgres_log import PostgresEventLog


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The use cases, ready to be asked."""

    tasks: Tasks
    organizations: OrganizationsAdmin
    directory: PostgresDirectory
    log: PostgresEventLog


@asynccontextmanager
async def services(dsn: str) -> AsyncGenerator[Services]:
    """Open the pools to the database of ``dsn`` (the service's role) and lend the use cases over them."""
    writing, administering = Pool(dsn, size=1, name="log"), Pool(dsn, size=1, name="admin")
    looking_up, reading = Pool(dsn, size=2, name="directory"), Pool(dsn, size=4, name="views")
    pools = (writing, administering, looking_up, reading)
    for pool in pools:
        await pool.open()
    log = PostgresEventLog(writing, reading)
    directory = PostgresDirectory(looking_up)
    try:
        yield Services(
            tasks=Tasks(log, directory),
            organizations=OrganizationsAdmin(PostgresOrganizations(log, administering, reading), directory),
            directory=directory,
            log=log,
        )
    finally:
        await log.drain()
        for pool in pools:
            await pool.close()
