"""``/v1/audit-trail`` and ``/v1/projections``: the audit trail, and the lag of views and policies."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.queries.audit_trail import AuditTrailFilter, AuditTrailRow
from application.queries.view_lag import Lag
from domain.limits import NAME_MAX
from domain.permissions import Permission
from interfaces.api.web.context import context_of
from interfaces.api.web.field_types import NO_NUL, POSITION_MAX
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.paging import next_link
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.routers import v1_router
from interfaces.api.web.times import RequestTime, encode_time, utc_of

FilterText = Annotated[str, Meta(max_length=NAME_MAX, pattern=NO_NUL)]


class AuditTrailQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page of the audit trail, and its filters."""

    stream: Annotated[FilterText, Meta(description="Name of the stream, such as task/<id>.")] | None = None
    actor: Annotated[FilterText, Meta(description="The actor, such as operator/1.")] | None = None
    type: Annotated[FilterText, Meta(description="Event type, such as task.filed.v1.")] | None = None
    since: Annotated[RequestTime, Meta(description="Recorded at this time or later.")] | None = None
    until: Annotated[RequestTime, Meta(description="Recorded before this time.")] | None = None
    after: Annotated[int, Meta(ge=0, le=POSITION_MAX, description="Only events after this log position.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class AuditTrailResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Events in log order; ``next`` is the ``after`` of the next page, null on the last page."""

    items: list[AuditTrailRow]
    next: int | None


class ProjectionsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The views and policies: log position, lag in events and seconds, and number of parked streams of each."""

    items: list[Lag]


@get(
    "/audit-trail",
    opt={"permission": Permission.AUDIT, "query": AuditTrailQuery, "response_headers": ["Perezvon-Position", "Link"]},
    operation_id="listAuditTrail",
    summary="List the audit trail",
)
async def list_audit_trail(request: JsonRequest) -> JsonResponse[AuditTrailResponse]:
    """Return the organisation's events with actor, time and reason, oldest first."""
    context = context_of(request)
    query = decode_params(request, AuditTrailQuery)
    filters = AuditTrailFilter(
        stream=query.stream, actor=query.actor, type=query.type, since=utc_of(query.since), until=utc_of(query.until)
    )
    page = await context.api.services.audit_trail.page(
        context.organization_id, filters, after=query.after, limit=query.limit
    )
    items = list(page.items)
    body = AuditTrailResponse(items=items, next=items[-1].position if len(items) == query.limit else None)
    given: dict[str, str | int | None] = msgspec.to_builtins(query, enc_hook=encode_time)
    link = next_link(request, given | {"after": body.next}) if body.next else {}
    return JsonResponse(body, {"Perezvon-Position": str(page.position), **link})


@get(
    "/projections",
    opt={"permission": Permission.READ_ORGANIZATION},
    operation_id="listProjections",
    summary="List the lag of views and policies",
)
async def list_projections(request: JsonRequest) -> ProjectionsResponse:
    """Return log position, lag and number of parked streams of every view and policy."""
    return ProjectionsResponse(items=list(await context_of(request).api.services.views.lags()))


def audit_router() -> Router:
    """Return the router of the audit trail and the lag of views."""
    return v1_router("audit", list_audit_trail, list_projections)
