"""``/v1/audit-trail`` and ``/v1/projections``: who did what, and how far the views have come."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.queries.audit_trail import AuditTrailFilter, AuditTrailRow
from application.queries.view_lag import Lag
from domain.limits import NAME_MAX
from domain.values import Permission
from interfaces.api.web.context import context_of
from interfaces.api.web.field_types import NO_NUL, POSITION_MAX, TimeText
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.routers import v1_router
from interfaces.api.web.times import parse_query_times

Name = Annotated[str, Meta(max_length=NAME_MAX, pattern=NO_NUL)]


class AuditTrailQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are asked for."""

    stream: Annotated[Name, Meta(description="Such as task/<id>.")] | None = None
    actor: Annotated[Name, Meta(description="Such as operator/1.")] | None = None
    type: Annotated[Name, Meta(description="Such as task.filed.v1.")] | None = None
    since: Annotated[TimeText, Meta(description="Recorded then or later.")] | None = None
    until: Annotated[TimeText, Meta(description="Recorded before.")] | None = None
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
    opt={"permission": Permission.AUDIT, "query": AuditTrailQuery, "response_headers": ["Perezvon-Position"]},
    operation_id="listAuditTrail",
    summary="Who did what, when and why",
)
async def list_audit_trail(request: JsonRequest) -> JsonResponse[AuditTrailResponse]:
    """Answer the organisation's events, oldest first."""
    context = context_of(request)
    query = decode_params(request, AuditTrailQuery)
    since, until = parse_query_times(since=query.since, until=query.until)
    wanted = AuditTrailFilter(stream=query.stream, actor=query.actor, type=query.type, since=since, until=until)
    found = await context.api.services.audit_trail.page(
        context.organization_id, wanted, after=query.after, limit=query.limit
    )
    items = list(found.items)
    body = AuditTrailResponse(items=items, next=items[-1].position if len(items) == query.limit else None)
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
    return v1_router("audit", list_audit_trail, list_projections)
