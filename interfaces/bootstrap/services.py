"""The use cases with their adapters: which adapter implements which port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from application.call_history import CallHistory
from application.callback_queues import CallbackQueues
from application.callbacks import Callbacks
from application.headroom import Headroom
from application.number_quota import NumberQuota
from application.organizations import OrganizationsAdmin
from application.ports.directory import Directory
from application.ports.event_log import EventLog
from application.ports.webhooks import WebhookDeliveries, WebhookSecrets
from application.queries.audit_trail import AuditTrail
from application.queries.callback_list import CallbackList
from application.queries.queue_board import QueueBoard
from application.queries.readiness import Readiness
from application.queries.task_list import TaskList
from application.queries.view_lag import ViewLag
from application.tasks import Tasks
from application.webhook_options import WebhookOptions
from domain.organization.limits import Limits
from infrastructure.access_directory.organizations import PostgresOrganizations
from infrastructure.access_directory.query import PostgresDirectory
from infrastructure.dispatch.open_lines import PostgresOpenLines
from infrastructure.event_log.log import PostgresEventLog
from infrastructure.event_log.sequences import PostgresIdSequences
from infrastructure.operations.readiness import PostgresReadiness
from infrastructure.operations.view_lag import PostgresViewLag
from infrastructure.postgres.connections import Pool
from infrastructure.postgres.shared_pool import SharedPool
from infrastructure.read_models.audit_trail.query import PostgresAuditTrail
from infrastructure.read_models.call_history.query import PostgresCallIndex
from infrastructure.read_models.callback_list.query import PostgresCallbackList
from infrastructure.read_models.queue_board.query import PostgresQueueBoard
from infrastructure.read_models.task_list.query import PostgresTaskList
from infrastructure.webhooks.deliveries_query import PostgresWebhookDeliveries
from infrastructure.webhooks.secrets import PostgresWebhookSecrets


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The use cases of one process, connected to its database."""

    tasks: Tasks
    organizations: OrganizationsAdmin
    directory: Directory
    log: EventLog
    task_list: TaskList
    audit_trail: AuditTrail
    queues: CallbackQueues
    callbacks: Callbacks
    callback_list: CallbackList
    call_history: CallHistory
    queue_board: QueueBoard
    views: ViewLag
    readiness: Readiness
    webhook_deliveries: WebhookDeliveries
    webhook_secrets: WebhookSecrets


_LISTS = 4
_SEARCHES = 2
"""Connections of one process for lists and for searches, which organisations share: each is half used by one alone."""


@asynccontextmanager
async def services(
    dsn: str, webhooks: WebhookOptions | None = None, limits: Limits | None = None, *, allow_owner: bool = False
) -> AsyncGenerator[Services]:
    """Open connection pools to the database, yield the use cases, and drain and close at the end.

    ``dsn`` is for the service's role, another one is refused unless ``allow_owner`` is set; ``limits`` are of organisations
    that have none of their own.
    """
    webhooks, limits = webhooks or WebhookOptions(), limits or Limits()
    pool = partial(Pool, dsn, allow_owner=allow_owner)
    log_pool, admin_pool = pool(size=1, name="log"), pool(size=1, name="admin")
    directory_pool, read_pool = pool(size=2, name="directory"), pool(size=2, name="reads")
    list_pool, search_pool = pool(size=_LISTS, name="lists"), pool(size=_SEARCHES, name="searches")
    health_pool = pool(size=1, name="health")
    pools = (log_pool, admin_pool, directory_pool, read_pool, list_pool, search_pool, health_pool)
    lists = SharedPool(list_pool, size=_LISTS, resource="lists")
    searches = SharedPool(search_pool, size=_SEARCHES, resource="searches")
    log = PostgresEventLog(log_pool, read_pool, lists)
    directory, numbers = PostgresDirectory(directory_pool, lists), PostgresIdSequences(read_pool)
    callback_list, queue_board = PostgresCallbackList(lists), PostgresQueueBoard(lists)
    queues = CallbackQueues(log, numbers, directory, Headroom("queues", queue_board.count), limits)
    waiting, views = Headroom("waiting", callback_list.waiting), PostgresViewLag(read_pool)
    number_quota = NumberQuota(PostgresOpenLines(lists))
    try:
        yield Services(
            tasks=Tasks(log, directory, waiting, number_quota, limits),
            organizations=OrganizationsAdmin(PostgresOrganizations(log, admin_pool, read_pool), directory, limits),
            directory=directory,
            log=log,
            task_list=PostgresTaskList(lists, searches),
            audit_trail=PostgresAuditTrail(lists),
            queues=queues,
            callbacks=Callbacks(
                log,
                numbers,
                directory,
                queues,
                waiting=waiting,
                number_quota=number_quota,
                limits=limits,
                targets=webhooks.targets,
            ),
            callback_list=callback_list,
            call_history=CallHistory(PostgresCallIndex(lists, views), log, queues),
            queue_board=queue_board,
            views=views,
            readiness=PostgresReadiness(health_pool),
            webhook_deliveries=PostgresWebhookDeliveries(lists),
            webhook_secrets=PostgresWebhookSecrets(log, admin_pool, webhooks.secrets_key),
        )
    finally:
        await log.drain()
        for one in pools:
            await one.close()
