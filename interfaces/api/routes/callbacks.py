"""``…/task_scheduler/{scheduler_id}/task``: the callbacks of contract 2."""

from litestar import delete, get, post

from application.cooperative import yielding
from application.queries.callback_list import CallbackListFilter, callback_row
from domain.callback.callback import Status
from domain.values import Permission
from interfaces.api.routes.callback_batch_body import callbacks_in
from interfaces.api.routes.queue_bodies import CallbackListQuery, CallbackResponse, NewCallbacksBody, callback_response
from interfaces.api.routes.task_bodies import HistoryResponse, history_response
from interfaces.api.web.context import context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.paging import cut, part_of
from interfaces.api.web.path_params import callback_id_of, check_own_client, queue_id_of
from interfaces.api.web.preconditions import command_request
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes

VIEW = "callback_list"
BODY_BYTES_MAX = 16 << 20

_PATH = "/{scheduler_id:str}/task"
_READING = {"permission": Permission.READ_QUEUES, "checks": [check_own_client], "refusals": {404}}
_CHANGING = {"permission": Permission.CHANGE_QUEUES, "checks": [check_own_client], "refusals": {404, 409}}


@post(
    _PATH,
    opt={**_CHANGING, "body": NewCallbacksBody},
    request_max_body_size=BODY_BYTES_MAX,
    operation_id="scheduleCallbacks",
    summary="Schedule callbacks",
)
async def schedule_callbacks(request: JsonRequest) -> JsonResponse[list[CallbackResponse]]:
    """Schedule up to 10,000 callbacks, all or none, and answer them in their order."""
    context = context_of(request)
    services, queue_id = context.api.services, queue_id_of(request)
    await services.queues.get(queue_id, context.member.organization_id)
    wanted = await callbacks_in(request)
    scheduled = await services.callbacks.schedule(queue_id, wanted, await command_request(request))
    context.api.written.note(context.member.organization_id, scheduled.position)
    headers = {"Perezvon-Position": str(scheduled.position)}
    if scheduled.replayed:
        headers["Idempotency-Replayed"] = "true"
    answers = [callback_response(callback_row(callback)) async for callback in yielding(scheduled.callbacks)]
    return JsonResponse(answers, headers, status_code=201)


@get(
    _PATH,
    opt={**_READING, "query": CallbackListQuery},
    operation_id="listCallbacks",
    summary="List a queue's callbacks, by id",
)
async def list_callbacks(request: JsonRequest) -> JsonResponse[list[CallbackResponse]]:
    """Answer the queue's callbacks, without deleted ones."""
    context, asked = context_of(request), decode_params(request, CallbackListQuery)
    services, queue_id, part = context.api.services, queue_id_of(request), part_of(asked)
    organization_id = context.member.organization_id
    await services.queues.get(queue_id, organization_id)
    wanted = CallbackListFilter(status=asked.status and Status(asked.status), finish_result=asked.finish_result)
    found = await read_after_writes(
        context,
        VIEW,
        asked.position,
        lambda: services.callback_list.page(
            organization_id, queue_id, wanted, after=part.after, offset=part.offset, limit=part.limit + 1
        ),
    )
    rows, link = cut(request, part, found.items, status=asked.status, finish_result=asked.finish_result)
    return JsonResponse([callback_response(row) for row in rows], {"Perezvon-Position": str(found.position), **link})


@get(f"{_PATH}/{{task_id:str}}", opt=_READING, operation_id="getCallback", summary="A callback")
async def get_callback(request: JsonRequest) -> JsonResponse[CallbackResponse]:
    """Answer the callback as it is."""
    context = context_of(request)
    callback = await context.api.services.callbacks.get(
        queue_id_of(request), callback_id_of(request), context.member.organization_id
    )
    return JsonResponse(callback_response(callback_row(callback)))


@delete(f"{_PATH}/{{task_id:str}}", opt=_CHANGING, operation_id="deleteCallback", summary="Delete a callback")
async def delete_callback(request: JsonRequest) -> JsonResponse[None]:
    """Cancel the callback; if its call runs, it is hung up. One that is finished is taken off the lists."""
    context = context_of(request)
    position = await context.api.services.callbacks.delete(
        queue_id_of(request), callback_id_of(request), await command_request(request)
    )
    context.api.written.note(context.member.organization_id, position)
    return JsonResponse(None, {"Perezvon-Position": str(position)}, status_code=204)


@get(
    f"{_PATH}/{{task_id:str}}/history",
    opt=_READING,
    operation_id="getCallbackHistory",
    summary="All that happened to a callback",
)
async def get_callback_history(request: JsonRequest) -> JsonResponse[HistoryResponse]:
    """Answer every change of the callback with who, when and why, oldest first. Deleted ones are shown to auditors only."""
    events = await context_of(request).api.services.callbacks.history(
        queue_id_of(request), callback_id_of(request), await command_request(request)
    )
    return JsonResponse(history_response(events))
