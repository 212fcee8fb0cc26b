"""``/v1/queue-board``: the live board of callback queues, with the reason why a queue starts nothing."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.queries.queue_board import QueueBoardRow
from domain.permissions import Permission
from interfaces.api.web.context import context_of
from interfaces.api.web.field_types import NUMBER_MAX
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.masking import masked_for
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import PositionQuery, read_after_writes
from interfaces.api.web.routers import v1_router

_VIEW, _COUNTS_VIEW = "queue_board", "callback_list"


class QueueBoardQuery(PositionQuery, frozen=True, kw_only=True):
    """The page of the board."""

    queue: Annotated[int, Meta(ge=1, le=NUMBER_MAX, description="Only this queue.")] | None = None
    after: Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="Only queues with a greater id.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class QueueBoardResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Queues by id; ``next`` is the ``after`` of the next page, null on the last page."""

    items: list[QueueBoardRow]
    next: int | None


@get(
    "/queue-board",
    opt={"permission": Permission.READ_BOARD, "query": QueueBoardQuery, "response_headers": ["Perezvon-Position"]},
    operation_id="showQueueBoard",
    summary="Show the live board of callback queues",
)
async def show_queue_board(request: JsonRequest) -> JsonResponse[QueueBoardResponse]:
    """Return the organisation's queues; analysts see no names. `idle` is the reason why a queue starts nothing now; null if it is starting calls."""
    context, query = context_of(request), decode_params(request, QueueBoardQuery)
    board = context.api.services.queue_board
    page = await read_after_writes(
        context,
        _VIEW,
        query.position,
        lambda: board.rows(context.organization_id, queue_id=query.queue, after=query.after, limit=query.limit + 1),
        also=[_COUNTS_VIEW],
    )
    items = masked_for(context.token_holder, page.items[: query.limit])
    body = QueueBoardResponse(items=items, next=items[-1].id if len(page.items) > query.limit else None)
    return JsonResponse(body, {"Perezvon-Position": str(page.position)})


def queue_board_router() -> Router:
    """Return the router of the board."""
    return v1_router("callbacks", show_queue_board)
