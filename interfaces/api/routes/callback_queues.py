"""``/client/{client_id}/task_scheduler``: the queues of contract 2."""

from litestar import Router, delete, get, post, put
from litestar.params import JSONBody

from application.callback_queues import ChangedQueue, NewQueue, QueueChange
from application.queries.queue_board import queue_row
from domain.callback_queue.events import QueueStatus
from domain.values import Permission
from interfaces.api.routes.callbacks import (
    delete_callback,
    get_callback,
    get_callback_history,
    list_callbacks,
    schedule_callbacks,
)
from interfaces.api.routes.queue_bodies import (
    NewQueueBody,
    QueueChangeBody,
    QueueListQuery,
    QueueResponse,
    queue_response,
)
from interfaces.api.web.authentication import authorize
from interfaces.api.web.context import RequestContext, context_of
from interfaces.api.web.error_responses import exception_handlers, format_queues_error
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.paging import cut, part_of
from interfaces.api.web.path_params import CLIENT_BASE_PATHS, check_own_client, queue_id_of
from interfaces.api.web.preconditions import command_request
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes

VIEW = "queue_board"

_READING = {"permission": Permission.READ_QUEUES, "checks": [check_own_client], "refusals": {404}}
_CHANGING = {"permission": Permission.CHANGE_QUEUES, "checks": [check_own_client], "refusals": {404, 409}}


@post(opt=_CHANGING, operation_id="createQueue", summary="Create a callback queue")
async def create_queue(request: JsonRequest, data: JSONBody[NewQueueBody]) -> JsonResponse[QueueResponse]:
    """Create a queue. It is off unless told otherwise."""
    context = context_of(request)
    wanted = NewQueue(
        name=data.name,
        comment=data.comment,
        status=data.status or QueueStatus.OFF,
        concurrent_task_limit=data.concurrent_task_limit or 1,
    )
    created = await context.api.services.queues.create(wanted, await command_request(request))
    return _changed(context, created, status_code=201)


@get(opt={**_READING, "query": QueueListQuery}, operation_id="listQueues", summary="List callback queues, by id")
async def list_queues(request: JsonRequest) -> JsonResponse[list[QueueResponse]]:
    """Answer the organisation's queues."""
    context, asked = context_of(request), decode_params(request, QueueListQuery)
    part, board = part_of(asked), context.api.services.queue_board
    found = await read_after_writes(
        context,
        VIEW,
        asked.position,
        lambda: board.queues(
            context.member.organization_id, after=part.after, offset=part.offset, limit=part.limit + 1
        ),
    )
    rows, link = cut(request, part, found.items)
    return JsonResponse([queue_response(row) for row in rows], {"Perezvon-Position": str(found.position), **link})


@get("/{scheduler_id:str}", opt=_READING, operation_id="getQueue", summary="A callback queue")
async def get_queue(request: JsonRequest) -> JsonResponse[QueueResponse]:
    """Answer the queue as it is."""
    context = context_of(request)
    shown = await context.api.services.queues.get(queue_id_of(request), context.member.organization_id)
    return _answer(shown)


@put("/{scheduler_id:str}", opt=_CHANGING, operation_id="changeQueue", summary="Change a callback queue")
async def change_queue(request: JsonRequest, data: JSONBody[QueueChangeBody]) -> JsonResponse[QueueResponse]:
    """Change what is named. Switched off, a queue starts nothing more; calls that run are left to end."""
    context = context_of(request)
    wanted = QueueChange(
        name=data.name, comment=data.comment, status=data.status, concurrent_task_limit=data.concurrent_task_limit
    )
    return _changed(
        context, await context.api.services.queues.change(queue_id_of(request), wanted, await command_request(request))
    )


@delete("/{scheduler_id:str}", opt=_CHANGING, operation_id="deleteQueue", summary="Delete a callback queue")
async def delete_queue(request: JsonRequest) -> JsonResponse[None]:
    """Delete the queue, and cancel what has not run in it."""
    context = context_of(request)
    deleted = await context.api.services.queues.delete(queue_id_of(request), await command_request(request))
    context.api.written.note(context.member.organization_id, deleted.position)
    return JsonResponse(None, {"Perezvon-Position": str(deleted.position)}, status_code=204)


def queues_routers() -> list[Router]:
    """Answer the routes of contract 2, at each of its base paths; the first is the one in the document."""
    return [
        Router(
            f"{base}/{{client_id:str}}/task_scheduler",
            route_handlers=[
                create_queue,
                list_queues,
                get_queue,
                change_queue,
                delete_queue,
                schedule_callbacks,
                list_callbacks,
                get_callback,
                delete_callback,
                get_callback_history,
            ],
            before_request=authorize,
            exception_handlers=exception_handlers(format_queues_error),
            include_in_schema=base == CLIENT_BASE_PATHS[0],
            tags=["callbacks"],
        )
        for base in CLIENT_BASE_PATHS
    ]


def _changed(context: RequestContext, changed: ChangedQueue, *, status_code: int = 200) -> JsonResponse[QueueResponse]:
    context.api.written.note(changed.queue.organization_id, changed.position)
    return _answer(changed, status_code=status_code)


def _answer(shown: ChangedQueue, *, status_code: int = 200) -> JsonResponse[QueueResponse]:
    headers = {"Perezvon-Position": str(shown.position)}
    if shown.replayed:
        headers["Idempotency-Replayed"] = "true"
    return JsonResponse(queue_response(queue_row(shown.queue)), headers, status_code=status_code)
