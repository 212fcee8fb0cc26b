"""The composition root: the one place that knows which adapter stands behind which port."""

from asyncio import Event
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from application.call_history import CallHistory
from application.callback_queues import CallbackQueues
from application.callbacks import Callbacks
from application.organizations import OrganizationsAdmin
from application.ports.webhooks import WebhookDeliveries, WebhookOptions, WebhookSecrets
from application.queries.callback_list import CallbackList, QueueBoard
from application.queries.task_list import AuditTrail, TaskList, ViewPositions
from application.tasks import Tasks
from infrastructure.access_directory.directory import PostgresDirectory, PostgresOrganizations
from infrastructure.dispatch.dispatcher import run_dispatcher
from infrastructure.dispatch.pacing import Pace
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.event_log.sequences import PostgresIdSequences
from infrastructure.gateways.asterisk.client import AsteriskGateway
from infrastructure.gateways.asterisk.doctor import examine_asterisk
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.simulated.address import address_of, listen
from infrastructure.gateways.simulated.capacity import Capacity
from infrastructure.gateways.simulated.client import SimulatedGateway
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.doctor import examine_simulated
from infrastructure.gateways.simulated.network import Counts, Network
from infrastructure.gateways.simulated.server import serving
from infrastructure.local_postgres import LocalPostgresError, default_home
from infrastructure.local_postgres import running as running_server
from infrastructure.local_postgres import start as start_server
from infrastructure.operations.doctor.database import Check, examine
from infrastructure.operations.doctor.dispatch import examine_dispatch
from infrastructure.operations.projection_worker import run_projections
from infrastructure.operations.rebuild import REBUILDABLE, RebuildReport, RebuildUnderWay, rebuild
from infrastructure.operations.rebuild import Progress as Rebuilding
from infrastructure.operations.retry_parked import RetryReport, retry_parked
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.operations.view_lag import PostgresViewPositions
from infrastructure.policies.registry import POLICIES
from infrastructure.postgres.connections import Pool, SchemaTooOld, migrate, service_dsn
from infrastructure.postgres.probe import BadAddress, ServerTooOld, reach, until_lost
from infrastructure.read_models.audit_trail.query import PostgresAuditTrail
from infrastructure.read_models.call_history.query import PostgresCallIndex
from infrastructure.read_models.callback_list.query import PostgresCallbackList
from infrastructure.read_models.queue_board.query import PostgresQueueBoard
from infrastructure.read_models.task_list.query import PostgresTaskList
from infrastructure.webhooks.deliveries_query import PostgresWebhookDeliveries
from infrastructure.webhooks.delivery_worker import first_attempts, run_deliveries
from infrastructure.webhooks.secrets import PostgresWebhookSecrets

__all__ = [
    "HANDLERS",
    "POLICIES",
    "REBUILDABLE",
    "AsteriskOptions",
    "BadAddress",
    "Capacity",
    "Check",
    "Control",
    "Counts",
    "LocalPostgresError",
    "Network",
    "Pace",
    "RebuildReport",
    "RebuildUnderWay",
    "Rebuilding",
    "RetryReport",
    "SchemaTooOld",
    "ServerTooOld",
    "Services",
    "address_of",
    "default_home",
    "examine",
    "examine_dispatch",
    "examine_switch",
    "first_attempts",
    "listen",
    "migrate",
    "reach",
    "rebuild",
    "retry_parked",
    "run_deliveries",
    "run_dispatching",
    "run_projections",
    "running_server",
    "service_dsn",
    "services",
    "serving",
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
    queues: CallbackQueues
    callbacks: Callbacks
    callback_list: CallbackList
    call_history: CallHistory
    queue_board: QueueBoard
    views: ViewPositions
    webhook_deliveries: WebhookDeliveries
    webhook_secrets: WebhookSecrets


@asynccontextmanager
async def services(dsn: str, webhooks: WebhookOptions | None = None) -> AsyncGenerator[Services]:
    """Open the pools to the database of ``dsn`` (the service's role) and lend the use cases over them."""
    webhooks = webhooks or WebhookOptions()
    writing, administering = Pool(dsn, size=1, name="log"), Pool(dsn, size=1, name="admin")
    looking_up, reading = Pool(dsn, size=2, name="directory"), Pool(dsn, size=4, name="views")
    pools = (writing, administering, looking_up, reading)
    for pool in pools:
        await pool.open()
    log = PostgresEventLog(writing, reading)
    directory, numbers = PostgresDirectory(looking_up), PostgresIdSequences(reading)
    queues, views = CallbackQueues(log, numbers), PostgresViewPositions(reading)
    try:
        yield Services(
            tasks=Tasks(log, directory),
            organizations=OrganizationsAdmin(PostgresOrganizations(log, administering, reading), directory),
            directory=directory,
            log=log,
            task_list=PostgresTaskList(reading),
            audit_trail=PostgresAuditTrail(reading),
            queues=queues,
            callbacks=Callbacks(log, numbers, directory, queues, webhooks.opened),
            callback_list=PostgresCallbackList(reading),
            call_history=CallHistory(PostgresCallIndex(reading, views), log, queues),
            queue_board=PostgresQueueBoard(reading),
            views=views,
            webhook_deliveries=PostgresWebhookDeliveries(reading),
            webhook_secrets=PostgresWebhookSecrets(log, administering, webhooks.secrets_key),
        )
    finally:
        await log.drain()
        for pool in pools:
            await pool.close()


async def examine_switch(switch: AsteriskOptions | str) -> list[Check]:
    """Ask a switch whether it is ready to be dialled; the address of the simulated network will do."""
    return await (examine_simulated(switch) if isinstance(switch, str) else examine_asterisk(switch))


async def run_dispatching(
    dsn: str, stop: Event, options: WebhookOptions, *, switch: AsteriskOptions | str, pace: Pace
) -> None:
    """Dial what is due until ``stop`` is set; ``dsn`` is the service's.

    ``switch`` is a real one, or the address of the simulated network. Calls are kept under the name of its kind, so
    that they are found again when it moves to another address.
    """
    match switch:
        case AsteriskOptions():
            name, connect = "asterisk", partial(AsteriskGateway, switch)
        case str():
            name, connect = "simulated", partial(SimulatedGateway, switch)
    async with first_attempts(dsn, options) as first:
        await run_dispatcher(dsn, connect, stop, gateway=name, announce=first.make, pace=pace)
