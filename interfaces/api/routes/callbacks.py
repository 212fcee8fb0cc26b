"""``…/task_scheduler/{scheduler_id}/task``: callbacks of a queue (``docs/contracts/task_scheduler.md``)."""

from litestar import delete, get, post

from application.cooperative import yielding
from application.queries.callback_list import CallbackListFilter, callback_row
from domain.callback.callback import Status
from domain.permissions import Permission
from interfaces.api.routes.callback_batch_body import decode_callbacks
from interfaces.api.routes.queue_bodies import CallbackListQuery, CallbackResponse, NewCallbacksBody, callback_response
from interfaces.api.routes.task_bodies import HistoryResponse, history_page
from interfaces.api.web.context import context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.paging import HistoryQuery, cut_slice, requested_slice
from interfaces.api.web.path_params import callback_id_of, check_own_client, queue_id_of
from interfaces.api.web.preconditions import idempotent_request
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes

_VIEW = "callback_list"
BODY_BYTES_MAX = 16 << 20

_PATH = "/{scheduler_id:str}/task"
_READING = {"permission": Permission.READ_QUEUES, "checks": [check_own_client], "errors": {404}}
_CHANGING = {
    "permission": Permission.CHANGE_QUEUES,
    "checks": [check_own_client],
    "errors": {404, 409},
    "response_headers": ["Perezvon-Position"],
}


@post(
    _PATH,
    opt={**_CHANGING, "body": NewCallbacksBody, "response_headers": ["Perezvon-Position", "Idempotency-Replayed"]},
    request_max_body_size=BODY_BYTES_MAX,
    operation_id="scheduleCallbacks",
    summary="Schedule callbacks",
)
async def schedule_callbacks(request: JsonRequest) -> JsonResponse[list[CallbackResponse]]:
    """Schedule up to 10,000 callbacks, all of them or none, and return them in the same order."""
    context = context_of(request)
    services, queue_id = context.api.services, queue_id_of(request)
    await services.queues.check(queue_id, context.organization_id)
    new_callbacks = await decode_callbacks(request)
    scheduled = await services.callbacks.schedule(queue_id, new_callbacks, await idempotent_request(request))
    context.api.written_positions.record(context.organization_id, scheduled.position)
    headers = {"Perezvon-Position": str(scheduled.position)}
    if scheduled.is_replay:
        headers["Idempotency-Replayed"] = "true"
    callbacks = [
        callback_response(callback_row(callback))
        async for callback in yielding(scheduled.callbacks, context.organization_id)
    ]
    return JsonResponse(callbacks, headers, status_code=201)


@get(
    _PATH,
    opt={**_READING, "query": CallbackListQuery, "response_headers": ["Perezvon-Position", "Link"]},
    operation_id="listCallbacks",
    summary="List a queue's callbacks, by id",
)
async def list_callbacks(request: JsonRequest) -> JsonResponse[list[CallbackResponse]]:
    """Return the queue's callbacks, without deleted ones."""
    context, query = context_of(request), decode_params(request, CallbackListQuery)
    services, queue_id, requested = context.api.services, queue_id_of(request), requested_slice(query)
    organization_id = context.organization_id
    await services.queues.check(queue_id, organization_id)
    filters = CallbackListFilter(status=query.status and Status(query.status), finish_result=query.finish_result)
    page = await read_after_writes(
        context,
        _VIEW,
        query.position,
        lambda: services.callback_list.page(
            organization_id,
            queue_id,
            filters,
            after=requested.after,
            offset=requested.offset,
            limit=requested.limit + 1,
        ),
    )
    rows, link = cut_slice(request, requested, page.items, status=query.status, finish_result=query.finish_result)
    return JsonResponse([callback_response(row) for row in rows], {"Perezvon-Position": str(page.position), **link})


@get(f"{_PATH}/{{task_id:str}}", opt=_READING, operation_id="getCallback", summary="Get a callback")
async def get_callback(request: JsonRequest) -> JsonResponse[CallbackResponse]:
    """Return the current state of the callback."""
    context = context_of(request)
    callback = await context.api.services.callbacks.get(
        queue_id_of(request), callback_id_of(request), context.organization_id
    )
    return JsonResponse(callback_response(callback_row(callback)))


@delete(f"{_PATH}/{{task_id:str}}", opt=_CHANGING, operation_id="deleteCallback", summary="Delete a callback")
async def delete_callback(request: JsonRequest) -> JsonResponse[None]:
    """Cancel the callback, and hang up its call if there is one. A finished callback is only removed from lists."""
    context = context_of(request)
    position = await context.api.services.callbacks.delete(
        queue_id_of(request), callback_id_of(request), await idempotent_request(request)
    )
    context.api.written_positions.record(context.organization_id, position)
    return JsonResponse(None, {"Perezvon-Position": str(position)}, status_code=204)


@get(
    f"{_PATH}/{{task_id:str}}/history",
    opt={**_READING, "query": HistoryQuery, "response_headers": ["Link"]},
    operation_id="getCallbackHistory",
    summary="List the events of a callback",
)
async def get_callback_history(request: JsonRequest) -> JsonResponse[HistoryResponse]:
    """Return the changes of the callback with actor, time and reason, oldest first. Deleted callbacks: auditors only."""
    query = decode_params(request, HistoryQuery)
    page = await context_of(request).api.services.callbacks.history(
        queue_id_of(request),
        callback_id_of(request),
        await idempotent_request(request),
        after=query.after,
        limit=query.limit,
    )
    return await history_page(request, page, query)
