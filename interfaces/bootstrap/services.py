"""The composition root: the one place that knows which adapter stands behind which port."""

from asyncio import Event
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec

from application.call_history import CallHistory
from application.callback_queues import CallbackQueues
from application.callbacks import Callbacks
from application.organizations import OrganizationsAdmin
from application.ports.call_gateway import GatewayKind
from application.ports.operations import (
    InvalidDsn,
    LocalPostgresError,
    RebuildReport,
    RebuildUnderWay,
    RetryReport,
    SchemaTooOld,
    ServerTooOld,
)
from application.ports.operations import RebuildProgress as Rebuilding
from application.ports.webhooks import WebhookDeliveries, WebhookSecrets
from application.queries.audit_trail import AuditTrail
from application.queries.callback_list import CallbackList
from application.queries.queue_board import QueueBoard
from application.queries.task_list import TaskList
from application.queries.view_lag import ViewPositions
from application.tasks import Tasks
from application.webhook_options import WebhookOptions
from infrastructure.access_directory.organizations import PostgresOrganizations
from infrastructure.access_directory.query import PostgresDirectory
from infrastructure.dispatch.dispatcher import run_dispatcher
from infrastructure.dispatch.pacing import Pace
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.event_log.sequences import PostgresIdSequences
from infrastructure.gateways.asterisk.kind import AsteriskGatewayKind
from infrastructure.gateways.asterisk.options import AsteriskOptions
from infrastructure.gateways.simulated.address import address_of, listen
from infrastructure.gateways.simulated.capacity import Capacity
from infrastructure.gateways.simulated.control import Control
from infrastructure.gateways.simulated.kind import SimulatedGatewayKind
from infrastructure.gateways.simulated.network import Counts, Network
from infrastructure.gateways.simulated.server import serving
from infrastructure.local_postgres import default_home
from infrastructure.local_postgres import running as running_server
from infrastructure.local_postgres import start as start_server
from infrastructure.operations.doctor.database import examine
from infrastructure.operations.doctor.dispatch import examine_dispatch
from infrastructure.operations.projection_worker import run_projections
from infrastructure.operations.rebuild import REBUILDABLE, rebuild
from infrastructure.operations.retry_parked import retry_parked
from infrastructure.operations.subscribers import HANDLERS
from infrastructure.operations.view_lag import PostgresViewPositions
from infrastructure.policies.registry import POLICIES
from infrastructure.postgres.connections import Pool, service_dsn
from infrastructure.postgres.migrations import migrate
from infrastructure.postgres.probe import probe_server, wait_until_lost
from infrastructure.read_models.audit_trail.query import PostgresAuditTrail
from infrastructure.read_models.call_history.query import PostgresCallIndex
from infrastructure.read_models.callback_list.query import PostgresCallbackList
from infrastructure.read_models.queue_board.query import PostgresQueueBoard
from infrastructure.read_models.task_list.query import PostgresTaskList
from infrastructure.webhooks.deliveries_query import PostgresWebhookDeliveries
from infrastructure.webhooks.delivery_worker import open_first_attempt_sender, run_deliveries
from infrastructure.webhooks.secrets import PostgresWebhookSecrets

__all__ = [
    "HANDLERS",
    "POLICIES",
    "REBUILDABLE",
    "AsteriskGatewayKind",
    "AsteriskOptions",
    "Capacity",
    "Control",
    "Counts",
    "InvalidDsn",
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
    "SimulatedGatewayKind",
    "address_of",
    "default_home",
    "examine",
    "examine_dispatch",
    "listen",
    "migrate",
    "open_first_attempt_sender",
    "probe_server",
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
    "wait_until_lost",
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


async def run_dispatching(dsn: str, stop: Event, options: WebhookOptions, *, gateway: GatewayKind, pace: Pace) -> None:
    """Dial what is due over a gateway until ``stop`` is set; ``dsn`` is the service's."""
    async with open_first_attempt_sender(dsn, options) as first:
        await run_dispatcher(dsn, gateway.connect, stop, gateway=gateway.name, announce=first.make, pace=pace)
