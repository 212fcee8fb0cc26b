"""Whether the process lives, whether it is ready for requests, and what it has counted."""

from collections.abc import Sequence

import msgspec
from litestar import Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from application.errors import StorageUnavailable
from application.queries.view_lag import Lag
from interfaces.api.web.context import ApiState, context_of
from interfaces.api.web.error_responses import exception_handlers, format_problem
from interfaces.api.web.json_body import JsonRequest


class LivenessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str = "live"


class ReadinessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests should be sent here, why not, and how far the views are behind the log."""

    status: str
    reasons: list[str]
    views: list[Lag]


@get("/health/live", operation_id="getLiveness", summary="Whether the process answers")
async def live() -> LivenessResponse:
    """Answer that the process lives, whatever else is wrong."""
    return LivenessResponse()


@get(
    "/health/ready",
    opt={"also": {503: "Not ready, and why."}},
    operation_id="getReadiness",
    summary="Whether requests should be sent here",
)
async def ready(request: JsonRequest) -> Response[ReadinessResponse]:
    """Answer 200 with the lag of each view, or 503 with the reasons why not."""
    api = context_of(request).api
    reasons = ["draining"] if api.draining else []
    lags: Sequence[Lag] = []
    try:
        lags = await api.services.views.lags()
    except StorageUnavailable:
        reasons.append("database away")
    else:
        reasons += _behind(api, lags)
    body = ReadinessResponse(status="not ready" if reasons else "ready", reasons=reasons, views=list(lags))
    return Response(body, status_code=503 if reasons else 200)


def _behind(api: ApiState, lags: Sequence[Lag]) -> list[str]:
    most = api.settings.ready_lag_seconds
    return [f"{lag.name} is {lag.seconds:.0f} s behind: does a worker run?" for lag in lags if lag.seconds > most]


@get("/metrics", media_type=CONTENT_TYPE_LATEST, include_in_schema=False)
async def metrics() -> bytes:
    """Answer the process's counters in Prometheus' text format."""
    return generate_latest()


def health_router() -> Router:
    """Answer the routes that watch the process; they ask for no token and are never limited."""
    return Router(
        "/",
        route_handlers=[live, ready, metrics],
        exception_handlers=exception_handlers(format_problem),
        tags=["health"],
    )
