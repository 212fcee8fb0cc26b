"""The one list of all routers: the application serves them, and the OpenAPI document describes them."""

from litestar import Router

from interfaces.api.routes.administration import administration_router
from interfaces.api.routes.audit import audit_router
from interfaces.api.routes.call_history import call_history_routers
from interfaces.api.routes.callback_queues import queues_routers
from interfaces.api.routes.health import health_router
from interfaces.api.routes.queue_board import queue_board_router
from interfaces.api.routes.queue_rules import queue_rules_router
from interfaces.api.routes.tasks import tasks_router
from interfaces.api.routes.webhooks import webhooks_router


def api_routers() -> list[Router]:
    """Return new routers of the whole API, in the order of the OpenAPI document."""
    return [
        tasks_router(),
        *queues_routers(),
        *call_history_routers(),
        queue_board_router(),
        queue_rules_router(),
        administration_router(),
        audit_router(),
        webhooks_router(),
        health_router(),
    ]
