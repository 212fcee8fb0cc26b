"""``/v1/audit-trail`` and ``/v1/projections``: who did what, and how far the views have come."""

from typing import Annotated

import msgspec
from litestar import Response, Router, get
from litestar.params import QueryParameter

from application.queries import AuditTrailFilter, AuditTrailRow, Lag
from domain.values import Permission
from interfaces.api.authentication import authorize
from interfaces.api.bodies import CheckedRequest
from interfaces.api.context import visit_of
from interfaces.api.problems import handlers, own_dialect
from interfaces.api.texts import NO_NUL
from interfaces.api.times import in_query

_POSITION_MAX = 2**53
_TIME = {"format": "date-time"}


class AuditTrailAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order of the log; ``next`` is the ``after`` that goes on, null at the end."""

    items: list[AuditTrailRow]
    next: int | None


class ProjectionsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every view: its log position, how far it is behind in events and seconds, and its parked streams."""

    items: list[Lag]


@get(
    "/audit-trail",
    opt={"permission": Permission.AUDIT},
    operation_id="listAuditTrail",
    summary="Who did what, when and why",
)
async def list_audit_trail(
    request: CheckedRequest,
    *,
    stream: Annotated[
        str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Such as task/<id>.")
    ] = None,
    actor: Annotated[
        str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Such as operator/1.")
    ] = None,
    type_: Annotated[str | None, QueryParameter(name="type", max_length=200, pattern=NO_NUL)] = None,
    since: Annotated[str | None, QueryParameter(schema_extra=_TIME, description="Recorded then or later.")] = None,
    until: Annotated[str | None, QueryParameter(schema_extra=_TIME, description="Recorded before.")] = None,
    after: Annotated[int, QueryParameter(ge=0, le=_POSITION_MAX, description="After that log position.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 100,
) -> Response[AuditTrailAnswer]:
    """Answer the organisation's events, oldest first."""
    visit = visit_of(request)
    began, ended = in_query(since=since, until=until)
    wanted = AuditTrailFilter(stream=stream, actor=actor, type=type_, since=began, until=ended)
    found = await visit.api.services.audit_trail.page(visit.member.organization_id, wanted, after=after, limit=limit)
    items = list(found.items)
    body = AuditTrailAnswer(items=items, next=items[-1].position if len(items) == limit else None)
    return Response(body, headers={"Perezvon-Position": str(found.position)})


@get(
    "/projections",
    opt={"permission": Permission.ADMINISTER},
    operation_id="listProjections",
    summary="How far the views have come",
)
async def list_projections(request: CheckedRequest) -> ProjectionsAnswer:
    """Answer every view's position, lag and number of parked streams."""
    return ProjectionsAnswer(items=list(await visit_of(request).api.services.views.lags()))


def audit_router() -> Router:
    """Answer the routes of auditors and of whoever watches the views."""
    return Router(
        "/v1",
        route_handlers=[list_audit_trail, list_projections],
        guards=[authorize],
        exception_handlers=handlers(own_dialect),
        tags=["audit"],
    )
