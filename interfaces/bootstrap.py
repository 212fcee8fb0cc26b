"""The composition root: the one place that knows which adapter stands behind which port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from application.organizations import OrganizationsAdmin
from application.queries import AuditTrail, TaskList, ViewPositions
from application.tasks import Tasks
from infrastructure.access_directory import PostgresDirectory, PostgresOrganizations
from infrastructure.audit_trail_query import PostgresAuditTrail
from infrastructure.checkup import Check, examine
from infrastructure.database import Pool, SchemaTooOld, migrate, service_dsn
from infrastructure.event_log.postgres_log import PostgresEventLog
from infrastructure.local_postgres import LocalPostgresError, default_home
from infrastructure.local_postgres import running as running_server
from infrastructure.local_postgres import start as start_server
from infrastructure.parking import RetryReport, retry_parked
from infrastructure.positions import PostgresViewPositions
from infrastructure.projecting import run_projections
from infrastructure.projections import PROJECTIONS
from infrastructure.reaching import BadAddress, ServerTooOld, reach, until_lost
from infrastructure.rebuild import REBUILDABLE, RebuildReport, RebuildUnderWay, rebuild
from infrastructure.rebuild import Progress as Rebuilding
from infrastructure.task_list_query import PostgresTaskList

__all__ = [
    "PROJECTIONS",
    "REBUILDABLE",
    "BadAddress",
    "Check",
    "LocalPostgresError",
    "RebuildReport",
    "RebuildUnderWay",
    "Rebuilding",
    "RetryReport",
    "SchemaTooOld",
    "ServerTooOld",
    "Services",
    "default_home",
    "examine",
    "migrate",
    "reach",
    "rebuild",
    "retry_parked",
    "run_projections",
    "running_server",
    "service_dsn",
    "services",
    "start_server",
    "until_lost",
]


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The use cases, ready to be asked."""

    tasks: Tasks
    organizations: OrganizationsAdmin
    directory: PostgresDirectory
    log: PostgresEventLog
    task_list: TaskList
    audit_trail: AuditTrail
    views: ViewPositions


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
            task_list=PostgresTaskList(reading),
            audit_trail=PostgresAuditTrail(reading),
            views=PostgresViewPositions(reading),
        )
    finally:
        await log.drain()
        for pool in pools:
            await pool.close()
