"""The API as one ASGI application."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from litestar import Litestar
from litestar.datastructures import State

from application.errors import StorageUnavailable
from interfaces.api.openapi.docs_page import docs_router
from interfaces.api.routes.registry import api_routers
from interfaces.api.web.asgi_middleware import RequestMiddleware
from interfaces.api.web.context import ApiState
from interfaces.api.web.error_responses import exception_handlers, format_error_by_path
from interfaces.api.web.json_body import BODY_BYTES_MAX, JsonRequest
from interfaces.bootstrap.services import Services
from interfaces.config.settings import Settings

_RECORD_SECONDS = 30.0


def create_app(settings: Settings, services: Services) -> Litestar:
    """Return the application of ``services``, which must stay open while it runs."""
    api = ApiState(settings, services)
    app = Litestar(
        [*api_routers(), docs_router()],
        exception_handlers=exception_handlers(format_error_by_path),
        lifespan=[_recording_token_use],
        logging_config=None,
        openapi_config=None,
        request_class=JsonRequest,
        request_max_body_size=BODY_BYTES_MAX,
        state=State({"api": api}),
    )
    app.asgi_handler = RequestMiddleware(app, api)
    return app


@asynccontextmanager
async def _recording_token_use(app: Litestar) -> AsyncGenerator[None]:
    """Record the last use of tokens every half minute, and once more at the end."""
    api: ApiState = app.state.api

    async def record() -> None:
        used, api.tokens_used = api.tokens_used, set()
        try:
            if used:
                await api.services.directory.note_use(sorted(used))
        except StorageUnavailable:
            api.tokens_used |= used

    async def record_regularly() -> None:
        while True:
            await asyncio.sleep(_RECORD_SECONDS)
            await record()

    recorder = asyncio.create_task(record_regularly())
    try:
        yield
    finally:
        recorder.cancel()
        with suppress(asyncio.CancelledError):
            await recorder
        await record()
