"""The API as one ASGI application."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from litestar import Litestar
from litestar.datastructures import State

from application.errors import StorageUnavailable
from interfaces.api.openapi.docs_page import docs_router
from interfaces.api.routes.administration import administration_router
from interfaces.api.routes.audit import audit_router
from interfaces.api.routes.call_history import call_history_routers
from interfaces.api.routes.callback_queues import queues_routers
from interfaces.api.routes.health import health_router
from interfaces.api.routes.queue_board import queue_board_router
from interfaces.api.routes.queue_rules import queue_rules_router
from interfaces.api.routes.tasks import tasks_router
from interfaces.api.routes.webhooks import webhooks_router
from interfaces.api.web.asgi_middleware import RequestMiddleware
from interfaces.api.web.context import ApiState
from interfaces.api.web.error_responses import exception_handlers, format_error_by_path
from interfaces.api.web.json_body import BODY_BYTES_MAX, JsonRequest
from interfaces.bootstrap.services import Services
from interfaces.config.settings import Settings

_NOTING_SECONDS = 30.0


def create_app(settings: Settings, services: Services) -> Litestar:
    """Answer the application that serves ``services``, which stay open as long as it runs."""
    api = ApiState(settings, services)
    app = Litestar(
        [
            tasks_router(),
            *queues_routers(),
            *call_history_routers(),
            queue_board_router(),
            queue_rules_router(),
            administration_router(),
            audit_router(),
            webhooks_router(),
            health_router(),
            docs_router(),
        ],
        exception_handlers=exception_handlers(format_error_by_path),
        lifespan=[_noting_use_of_tokens],
        logging_config=None,
        openapi_config=None,
        request_class=JsonRequest,
        request_max_body_size=BODY_BYTES_MAX,
        state=State({"api": api}),
    )
    app.asgi_handler = RequestMiddleware(app, api)
    return app


@asynccontextmanager
async def _noting_use_of_tokens(app: Litestar) -> AsyncGenerator[None]:
    """Note the last use of tokens every half minute, and once more at the end."""
    api: ApiState = app.state.api

    async def note() -> None:
        used, api.tokens_used = api.tokens_used, set()
        try:
            if used:
                await api.services.directory.note_use(sorted(used))
        except StorageUnavailable:
            api.tokens_used |= used

    async def keep_noting() -> None:
        while True:
            await asyncio.sleep(_NOTING_SECONDS)
            await note()

    noting = asyncio.create_task(keep_noting())
    try:
        yield
    finally:
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting
        await note()
