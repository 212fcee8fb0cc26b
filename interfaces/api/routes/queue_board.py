"""``/v1/queue-board``: how the callback queues stand, and why nothing starts."""

from typing import Annotated

import msgspec
from litestar import Router, get
from msgspec import Meta

from application.queries.callback_list import QueueStanding
from domain.values import Permission
from interfaces.api.routes.queue_bodies import NUMBER_MAX
from interfaces.api.routes.task_bodies import POSITION_MAX
from interfaces.api.web.authentication import admit
from interfaces.api.web.context import visit_of
from interfaces.api.web.error_responses import handlers, own_dialect
from interfaces.api.web.json_body import CheckedRequest
from interfaces.api.web.json_response import Answer
from interfaces.api.web.query_params import asked_for
from interfaces.api.web.read_your_writes import caught_up

_VIEW, _COUNTS = "queue_board", "callback_list"


class QueueBoardQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which queues are asked for."""

    queue: Annotated[int, Meta(ge=1, le=NUMBER_MAX, description="That queue alone.")] | None = None
    after: Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="Those whose ids are above this one.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    position: Annotated[
        int, Meta(ge=0, le=POSITION_MAX, description="A log position that the board shall show; awaited for a second.")
    ] = msgspec.field(name="Perezvon-Position", default=0)


class QueueBoardAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Queues by id; ``next`` is the ``after`` that goes on, null at the end."""

    items: list[QueueStanding]
    next: int | None


@get(
    "/queue-board",
    opt={"permission": Permission.READ_QUEUES, "query": QueueBoardQuery},
    operation_id="showQueueBoard",
    summary="How the callback queues stand, and why nothing starts",
)
async def show_queue_board(request: CheckedRequest) -> Answer[QueueBoardAnswer]:
    """Answer the organisation's queues. ``idle`` says why a queue starts nothing now; null: something is starting."""
    visit, asked = visit_of(request), asked_for(request, QueueBoardQuery)
    board = visit.api.services.queue_board
    found = await caught_up(
        visit,
        _VIEW,
        asked.position,
        lambda: board.standings(
            visit.member.organization_id, queue_id=asked.queue, after=asked.after, limit=asked.limit + 1
        ),
        also=[_COUNTS],
    )
    items = list(found.items[: asked.limit])
    body = QueueBoardAnswer(items=items, next=items[-1].id if len(found.items) > asked.limit else None)
    return Answer(body, {"Perezvon-Position": str(found.position)})


def queue_board_router() -> Router:
    """Answer the route of the board."""
    return Router(
        "/v1",
        route_handlers=[show_queue_board],
        before_request=admit,
        exception_handlers=handlers(own_dialect),
        tags=["callbacks"],
    )
