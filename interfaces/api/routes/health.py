"""``/health``: liveness and readiness of the process."""

from collections.abc import Sequence

import msgspec
from litestar import Response, Router, get

from application.errors import StorageNeedsAttention, StorageUnavailable
from application.queries.view_lag import Lag
from interfaces.api.web.authentication import charge_public
from interfaces.api.web.context import ApiState, context_of
from interfaces.api.web.error_responses import exception_handlers, format_problem
from interfaces.api.web.json_body import JsonRequest


class LivenessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The process is alive."""

    status: str = "live"


class ReadinessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Readiness for requests, the reasons if not ready, and the lag of views and policies."""

    status: str
    reasons: list[str]
    views: list[Lag]


@get("/health/live", operation_id="getLiveness", summary="Check liveness")
async def live() -> LivenessResponse:
    """Return 200 while the process runs, even if the database is unavailable."""
    return LivenessResponse()


@get(
    "/health/ready",
    opt={"errors": {429}, "other_responses": {503: "Not ready, with the reasons."}},
    operation_id="getReadiness",
    summary="Check readiness",
)
async def ready(request: JsonRequest) -> Response[ReadinessResponse]:
    """Return 200 with the lag of each view if the process is ready for requests, otherwise 503 with the reasons."""
    charge_public(request)
    api = context_of(request).api
    reasons = ["draining"] if api.draining else []
    lags: Sequence[Lag] = []
    try:
        state = await api.recent_state.get()
    except StorageNeedsAttention as error:
        reasons.append(f"database needs attention: {error.reason}")
    except StorageUnavailable:
        reasons.append("database unavailable")
    else:
        lags = state.lags
        if state.is_read_only:
            reasons.append("database read-only: connect to the primary")
        reasons += _behind(api, lags)
    body = ReadinessResponse(status="not ready" if reasons else "ready", reasons=reasons, views=list(lags))
    return Response(body, status_code=503 if reasons else 200)


def _behind(api: ApiState, lags: Sequence[Lag]) -> list[str]:
    limit = api.settings.ready_lag_seconds
    return [
        f"{lag.name} is {lag.seconds:.0f} s behind (limit {limit:g} s): check that a worker runs"
        for lag in lags
        if lag.seconds > limit
    ]


def health_router() -> Router:
    """Return the router of health, which needs no token."""
    return Router(
        "/",
        route_handlers=[live, ready],
        exception_handlers=exception_handlers(format_problem),
        tags=["health"],
    )
