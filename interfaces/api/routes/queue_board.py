"""``/v1/queue-board``: how the callback queues stand, and why nothing starts."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.queries.queue_board import QueueStanding
from domain.values import Permission
from interfaces.api.routes.queue_bodies import NUMBER_MAX
from interfaces.api.routes.task_bodies import POSITION_MAX
from interfaces.api.web.authentication import authorize
from interfaces.api.web.context import context_of
from interfaces.api.web.error_responses import exception_handlers, format_problem
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes

_VIEW, _COUNTS = "queue_board", "callback_list"


class QueueBoardQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which queues are asked for."""

    queue: Annotated[int, Meta(ge=1, le=NUMBER_MAX, description="That queue alone.")] | None = None
    after: Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="Those whose ids are above this one.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    position: Annotated[
        int, Meta(ge=0, le=POSITION_MAX, description="A log position that the board shall show; awaited for a second.")
    ] = msgspec.field(name="Perezvon-Position", default=0)


class QueueBoardResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Queues by id; ``next`` is the ``after`` that goes on, null at the end."""

    items: list[QueueStanding]
    next: int | None


@get(
    "/queue-board",
    opt={"permission": Permission.READ_QUEUES, "query": QueueBoardQuery},
    operation_id="showQueueBoard",
    summary="How the callback queues stand, and why nothing starts",
)
async def show_queue_board(request: JsonRequest) -> JsonResponse[QueueBoardResponse]:
    """Answer the organisation's queues. ``idle`` says why a queue starts nothing now; null: something is starting."""
    context, asked = context_of(request), decode_params(request, QueueBoardQuery)
    board = context.api.services.queue_board
    found = await read_after_writes(
        context,
        _VIEW,
        asked.position,
        lambda: board.standings(
            context.member.organization_id, queue_id=asked.queue, after=asked.after, limit=asked.limit + 1
        ),
        also=[_COUNTS],
    )
    items = list(found.items[: asked.limit])
    body = QueueBoardResponse(items=items, next=items[-1].id if len(found.items) > asked.limit else None)
    return JsonResponse(body, {"Perezvon-Position": str(found.position)})


def queue_board_router() -> Router:
    """Answer the route of the board."""
    return Router(
        "/v1",
        route_handlers=[show_queue_board],
        before_request=authorize,
        exception_handlers=exception_handlers(format_problem),
        tags=["callbacks"],
    )
