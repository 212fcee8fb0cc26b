"""``/api/tasks``: tasks of an organisation (``docs/contracts/tasks.md``)."""

import re
from functools import partial

import msgspec
from litestar import Router, get, post, put, route
from litestar.params import JSONBody

from application.ids import digest_of
from application.ports.directory import OperatorHolder
from application.queries.task_list import TaskListFilter
from application.task_search import search_filter
from application.tasks import TaskResult
from domain.errors import InvalidField
from domain.permissions import Permission
from interfaces.api.routes.task_bodies import (
    AppealBody,
    HistoryResponse,
    NewTaskBody,
    TaskListQuery,
    TaskPageResponse,
    TaskQuery,
    TaskResponse,
    TaskStatusBody,
    file_task_command,
    history_page,
    task_response,
    task_row_response,
)
from interfaces.api.web.authentication import charge_operator
from interfaces.api.web.body_budget import UNBUDGETED_BYTES
from interfaces.api.web.context import RequestContext, context_of
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.masking import masked_for
from interfaces.api.web.paging import HistoryQuery, next_link
from interfaces.api.web.preconditions import (
    check_if_match,
    check_no_if_match,
    entity_tag,
    idempotent_request,
    if_none_match,
    task_id_of,
)
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes
from interfaces.api.web.request_errors import FieldError, InvalidRequest
from interfaces.api.web.routers import tasks_api_router
from interfaces.api.web.times import utc_of

_VIEW = "task_list"

_OPERATOR_ID = re.compile(rb'"operator_id"\s*:\s*"([^"\\]{1,128})"')

_CHANGE_HEADERS = ["ETag", "Perezvon-Position", "Idempotency-Replayed"]


async def names_recent_operator(request: JsonRequest) -> bool:
    """Return whether a short body names the key of an operator that filed lately; it is searched for, not decoded."""
    if (request.content_length or UNBUDGETED_BYTES + 1) > UNBUDGETED_BYTES:
        return False
    found = _OPERATOR_ID.search(await request.body())
    return bool(found) and digest_of(found[1].decode(errors="replace")) in context_of(request).api.recent_operator_keys


@post(
    status_code=200,
    opt={
        "permission": Permission.FILE_TASKS,
        "token_optional": True,
        "is_known": names_recent_operator,
        "checks": [check_no_if_match],
        "errors": {409, 412},
        "response_headers": _CHANGE_HEADERS,
    },
    operation_id="fileTask",
    summary="File a task",
)
async def file_task(request: JsonRequest, data: JSONBody[NewTaskBody]) -> JsonResponse[TaskResponse]:
    """File a task for the operator's organisation. A token is required only if the organisation closed its open intake."""
    context = context_of(request)
    command = file_task_command(data)
    use_case_request = await idempotent_request(request)
    charge_operator(context, operator := await _operator(context, data.operator_id))
    return _changed(context, await context.api.services.tasks.file(command, use_case_request, operator))


@get(
    opt={
        "permission": Permission.LIST_TASKS,
        "query": TaskListQuery,
        "response_headers": ["Perezvon-Position", "Perezvon-Total", "Link"],
    },
    operation_id="listTasks",
    summary="List tasks, newest first",
)
async def list_tasks(request: JsonRequest) -> JsonResponse[TaskPageResponse]:
    """Return a page of the organisation's tasks; `Link` names the next one. Analysts see texts masked and cannot search them."""
    context = context_of(request)
    caller, services, query = context.token_holder, context.api.services, decode_params(request, TaskListQuery)
    if query.after is not None and query.page != 1:
        message = "Expected either page or after, not both"
        raise InvalidRequest([FieldError(("query", "after"), message, "value_error")])
    filters = TaskListFilter(
        status=query.status,
        task_type=query.task_type,
        priority=query.priority,
        search=query.search,
        include_cancelled=query.include_cancelled,
        assigned_user_id=query.assigned_user_id,
        caller_phone=query.caller_phone,
    )
    try:
        filters = await search_filter(filters, caller, services.directory)
        page = await read_after_writes(
            context,
            _VIEW,
            query.position,
            partial(
                services.task_list.page,
                caller.organization_id,
                filters,
                page=query.page,
                after=query.after,
                per_page=query.per_page,
            ),
        )
    except InvalidField as error:
        raise InvalidRequest([FieldError(("query", error.field), str(error), error.kind)]) from error
    body = TaskPageResponse(
        items=masked_for(caller, [task_row_response(row) for row in page.items]),
        total=page.total,
        page=query.page,
        per_page=query.per_page,
        pages=-(-page.total // query.per_page),
    )
    headers = {"Perezvon-Position": str(page.position)}
    if not page.total_is_exact:
        headers["Perezvon-Total"] = "at-least"
    if page.has_next:
        following: dict[str, str | int | None] = msgspec.to_builtins(filters) | {
            "include_cancelled": "true" if filters.include_cancelled else None,
            "after": page.items[-1].id,
            "per_page": query.per_page,
        }
        headers |= next_link(request, following)
    return JsonResponse(body, headers)


@get(
    "/{task_id:str}",
    opt={
        "permission": Permission.READ_PERSONAL,
        "query": TaskQuery,
        "errors": {404},
        "not_modified": True,
        "response_headers": ["ETag", "Perezvon-Position"],
    },
    operation_id="getTask",
    summary="Get a task, now or at an earlier version or time",
)
async def get_task(request: JsonRequest) -> JsonResponse[TaskResponse]:
    """Return the task. At a time before its creation, and at a version that does not exist, it is 404."""
    query = decode_params(request, TaskQuery)
    if query.version is not None and query.as_of is not None:
        message = "Expected either version or as_of, not both"
        raise InvalidRequest([FieldError(("query", name), message, "value_error") for name in ("version", "as_of")])
    context = context_of(request)
    result = await context.api.services.tasks.get(
        task_id_of(request), context.organization_id, version=query.version, as_of=utc_of(query.as_of)
    )
    headers = {**_task_headers(result), "Cache-Control": "private, no-cache"}
    if if_none_match(request, result.task.version):
        return JsonResponse(task_response(result), headers, status_code=304)
    return JsonResponse(task_response(result), headers)


@get(
    "/{task_id:str}/history",
    opt={
        "permission": Permission.READ_PERSONAL,
        "query": HistoryQuery,
        "errors": {404},
        "response_headers": ["Link"],
    },
    operation_id="getTaskHistory",
    summary="List the events of a task",
)
async def get_history(request: JsonRequest) -> JsonResponse[HistoryResponse]:
    """Return the changes of the task with actor, time and reason, oldest first."""
    context, query = context_of(request), decode_params(request, HistoryQuery)
    page = await context.api.services.tasks.history(
        task_id_of(request), context.organization_id, after=query.after, limit=query.limit
    )
    return await history_page(request, page, query)


_CHANGE = {
    "permission": Permission.CHANGE_TASKS,
    "checks": [check_if_match],
    "errors": {404, 409, 412},
    "response_headers": _CHANGE_HEADERS,
}


@put(
    "/{task_id:str}/status",
    opt=_CHANGE,
    operation_id="changeTaskStatus",
    summary="Change a task's status",
)
async def change_status(request: JsonRequest, data: JSONBody[TaskStatusBody]) -> JsonResponse[TaskResponse]:
    """Change the status. The current status again records nothing; a transition that is not allowed is 409."""
    context = context_of(request)
    changed = await context.api.services.tasks.change_status(
        task_id_of(request),
        data.status,
        await idempotent_request(request),
        reason=data.reason,
        error_message=data.error_message,
    )
    return _changed(context, changed)


@put(
    "/{task_id:str}/appeal",
    opt=_CHANGE,
    operation_id="linkAppealToTask",
    summary="Link an appeal to a task",
)
async def link_appeal(request: JsonRequest, data: JSONBody[AppealBody]) -> JsonResponse[TaskResponse]:
    """Link an appeal to a task in any status. POST, and PUT and POST of ``…/link-appeal``, do the same."""
    return await _linked(request, data)


@post(
    "/{task_id:str}/appeal",
    opt=_CHANGE,
    status_code=200,
    operation_id="linkAppealToTaskByPost",
    summary="Link an appeal to a task",
)
async def link_appeal_by_post(request: JsonRequest, data: JSONBody[AppealBody]) -> JsonResponse[TaskResponse]:
    """Link an appeal as PUT does, with support of an Idempotency-Key."""
    return await _linked(request, data)


@route(
    "/{task_id:str}/link-appeal",
    http_method=["PUT", "POST"],
    opt=_CHANGE,
    status_code=200,
    include_in_schema=False,
)
async def link_appeal_by_name(request: JsonRequest, data: JSONBody[AppealBody]) -> JsonResponse[TaskResponse]:
    """Link an appeal, for clients that use this path."""
    return await _linked(request, data)


@post(
    "/{task_id:str}/reprocess",
    opt=_CHANGE,
    status_code=200,
    operation_id="reprocessTask",
    summary="Reprocess a failed task",
)
async def reprocess(request: JsonRequest) -> JsonResponse[TaskResponse]:
    """Set a failed task back to pending; any other status is 409."""
    context = context_of(request)
    return _changed(
        context, await context.api.services.tasks.reprocess(task_id_of(request), await idempotent_request(request))
    )


def tasks_router() -> Router:
    """Return the router of tasks."""
    return tasks_api_router(
        file_task,
        list_tasks,
        get_task,
        get_history,
        change_status,
        link_appeal,
        link_appeal_by_post,
        link_appeal_by_name,
        reprocess,
    )


async def _operator(context: RequestContext, key: str) -> OperatorHolder:
    """Return the operator with that key. Raises InvalidField on ``operator_id``."""
    recent, key_hash = context.api.recent_operator_keys, digest_of(key)
    try:
        operator = await context.api.services.tasks.operator(key)
    except InvalidField:
        recent.discard(key_hash)
        raise
    recent.add(key_hash)
    return operator


async def _linked(request: JsonRequest, data: AppealBody) -> JsonResponse[TaskResponse]:
    context = context_of(request)
    changed = await context.api.services.tasks.link_appeal(
        task_id_of(request), data.appeal_id, await idempotent_request(request)
    )
    return _changed(context, changed)


def _changed(context: RequestContext, changed: TaskResult) -> JsonResponse[TaskResponse]:
    context.api.written_positions.record(changed.task.organization_id, changed.position)
    headers = _task_headers(changed)
    if changed.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return JsonResponse(task_response(changed), headers)


def _task_headers(changed: TaskResult) -> dict[str, str]:
    return {"ETag": entity_tag(changed.task.version), "Perezvon-Position": str(changed.position)}
