"""``/v1/audit-trail`` and ``/v1/projections``: who did what, and how far the views have come."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.queries.audit_trail import AuditTrailFilter, AuditTrailRow
from application.queries.view_lag import Lag
from domain.values import Permission
from interfaces.api.routes.task_bodies import POSITION_MAX
from interfaces.api.web.authentication import authorize
from interfaces.api.web.context import context_of
from interfaces.api.web.error_responses import exception_handlers, format_problem
from interfaces.api.web.field_types import NO_NUL, Moment
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.times import parse_query_times

Name = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]


class AuditTrailQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are asked for."""

    stream: Annotated[Name, Meta(description="Such as task/<id>.")] | None = None
    actor: Annotated[Name, Meta(description="Such as operator/1.")] | None = None
    type: Annotated[Name, Meta(description="Such as task.filed.v1.")] | None = None
    since: Annotated[Moment, Meta(description="Recorded then or later.")] | None = None
    until: Annotated[Moment, Meta(description="Recorded before.")] | None = None
    after: Annotated[int, Meta(ge=0, le=POSITION_MAX, description="After that log position.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class AuditTrailResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order of the log; ``next`` is the ``after`` that goes on, null at the end."""

    items: list[AuditTrailRow]
    next: int | None


class ProjectionsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Every view: its log position, how far it is behind in events and seconds, and its parked streams."""

    items: list[Lag]


@get(
    "/audit-trail",
    opt={"permission": Permission.AUDIT, "query": AuditTrailQuery},
    operation_id="listAuditTrail",
    summary="Who did what, when and why",
)
async def list_audit_trail(request: JsonRequest) -> JsonResponse[AuditTrailResponse]:
    """Answer the organisation's events, oldest first."""
    context = context_of(request)
    asked = decode_params(request, AuditTrailQuery)
    since, until = parse_query_times(since=asked.since, until=asked.until)
    wanted = AuditTrailFilter(stream=asked.stream, actor=asked.actor, type=asked.type, since=since, until=until)
    found = await context.api.services.audit_trail.page(
        context.member.organization_id, wanted, after=asked.after, limit=asked.limit
    )
    items = list(found.items)
    body = AuditTrailResponse(items=items, next=items[-1].position if len(items) == asked.limit else None)
    return JsonResponse(body, {"Perezvon-Position": str(found.position)})


@get(
    "/projections",
    opt={"permission": Permission.ADMINISTER},
    operation_id="listProjections",
    summary="How far views and policies have come",
)
async def list_projections(request: JsonRequest) -> ProjectionsResponse:
    """Answer every view's and policy's position, lag and number of parked streams."""
    return ProjectionsResponse(items=list(await context_of(request).api.services.views.lags()))


def audit_router() -> Router:
    """Answer the routes of auditors and of whoever watches the views."""
    return Router(
        "/v1",
        route_handlers=[list_audit_trail, list_projections],
        before_request=authorize,
        exception_handlers=exception_handlers(format_problem),
        tags=["audit"],
    )
