"""``/client/{client_id}/task_scheduler``: callback queues (``docs/contracts/task_scheduler.md``)."""

from litestar import Router, delete, get, post, put
from litestar.params import JSONBody

from application.callback_queues import NewQueue, QueueChange, QueueResult
from application.queries.queue_board import queue_row
from domain.callback_queue.callback_queue import DEFAULT_STATUS
from domain.limits import DEFAULT_CONCURRENT_CALLBACKS
from domain.permissions import Permission
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
    QueueResponse,
    queue_response,
)
from interfaces.api.web.context import RequestContext, context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.paging import ListQuery, cut_slice, requested_slice
from interfaces.api.web.path_params import check_own_client, queue_id_of
from interfaces.api.web.preconditions import idempotent_request
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes
from interfaces.api.web.routers import client_routers

_VIEW = "queue_board"

_READING = {
    "permission": Permission.READ_QUEUES,
    "checks": [check_own_client],
    "errors": {404},
    "response_headers": ["Perezvon-Position"],
}
_CHANGING = {
    "permission": Permission.CHANGE_QUEUES,
    "checks": [check_own_client],
    "errors": {404, 409},
    "response_headers": ["Perezvon-Position"],
}


@post(
    opt={**_CHANGING, "response_headers": ["Perezvon-Position", "Idempotency-Replayed"]},
    operation_id="createQueue",
    summary="Create a callback queue",
)
async def create_queue(request: JsonRequest, data: JSONBody[NewQueueBody]) -> JsonResponse[QueueResponse]:
    """Create a queue. By default it is off."""
    context = context_of(request)
    new_queue = NewQueue(
        name=data.name,
        comment=data.comment,
        status=data.status or DEFAULT_STATUS,
        concurrent_task_limit=data.concurrent_task_limit or DEFAULT_CONCURRENT_CALLBACKS,
    )
    created = await context.api.services.queues.create(new_queue, await idempotent_request(request))
    return _changed(context, created, status_code=201)


@get(
    opt={**_READING, "query": ListQuery, "response_headers": ["Perezvon-Position", "Link"]},
    operation_id="listQueues",
    summary="List callback queues, by id",
)
async def list_queues(request: JsonRequest) -> JsonResponse[list[QueueResponse]]:
    """Return the organisation's queues."""
    context, query = context_of(request), decode_params(request, ListQuery)
    requested, board = requested_slice(query), context.api.services.queue_board
    page = await read_after_writes(
        context,
        _VIEW,
        query.position,
        lambda: board.queues(
            context.organization_id, after=requested.after, offset=requested.offset, limit=requested.limit + 1
        ),
    )
    rows, link = cut_slice(request, requested, page.items)
    return JsonResponse([queue_response(row) for row in rows], {"Perezvon-Position": str(page.position), **link})


@get("/{scheduler_id:str}", opt=_READING, operation_id="getQueue", summary="Get a callback queue")
async def get_queue(request: JsonRequest) -> JsonResponse[QueueResponse]:
    """Return the current state of the queue."""
    context = context_of(request)
    result = await context.api.services.queues.get(queue_id_of(request), context.organization_id)
    return _response(result)


@put("/{scheduler_id:str}", opt=_CHANGING, operation_id="changeQueue", summary="Change a callback queue")
async def change_queue(request: JsonRequest, data: JSONBody[QueueChangeBody]) -> JsonResponse[QueueResponse]:
    """Change the given fields. A queue that is switched off starts no callbacks; its running calls continue."""
    context = context_of(request)
    change = QueueChange(
        name=data.name, comment=data.comment, status=data.status, concurrent_task_limit=data.concurrent_task_limit
    )
    return _changed(
        context,
        await context.api.services.queues.change(queue_id_of(request), change, await idempotent_request(request)),
    )


@delete("/{scheduler_id:str}", opt=_CHANGING, operation_id="deleteQueue", summary="Delete a callback queue")
async def delete_queue(request: JsonRequest) -> JsonResponse[None]:
    """Delete the queue and cancel its callbacks that did not run yet."""
    context = context_of(request)
    deleted = await context.api.services.queues.delete(queue_id_of(request), await idempotent_request(request))
    context.api.written_positions.record(context.organization_id, deleted.position)
    return JsonResponse(None, {"Perezvon-Position": str(deleted.position)}, status_code=204)


def queues_routers() -> list[Router]:
    """Return the routers of queues and callbacks, one for each base path."""
    return client_routers(
        "task_scheduler",
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
    )


def _changed(context: RequestContext, changed: QueueResult, *, status_code: int = 200) -> JsonResponse[QueueResponse]:
    context.api.written_positions.record(changed.queue.organization_id, changed.position)
    return _response(changed, status_code=status_code)


def _response(result: QueueResult, *, status_code: int = 200) -> JsonResponse[QueueResponse]:
    headers = {"Perezvon-Position": str(result.position)}
    if result.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return JsonResponse(queue_response(queue_row(result.queue)), headers, status_code=status_code)
