"""``/api/tasks``: contract 1."""

from functools import partial

from litestar import Router, get, post, put, route
from litestar.params import JSONBody

from application.errors import OrganizationNotFound
from application.phones import e164
from application.queries.task_list import TaskListFilter
from application.tasks import Changed, FileTask
from domain.errors import InvalidField
from domain.values import Permission
from interfaces.api.routes.task_bodies import (
    AppealBody,
    HistoryResponse,
    NewTaskBody,
    TaskListQuery,
    TaskPageResponse,
    TaskQuery,
    TaskResponse,
    TaskStatusBody,
    history_response,
    mask_personal,
    task_response,
    task_row_response,
)
from interfaces.api.web.authentication import authorize, charge_operator
from interfaces.api.web.context import RequestContext, context_of
from interfaces.api.web.error_responses import exception_handlers, format_tasks_error
from interfaces.api.web.json_body import JsonRequest
from interfaces.api.web.json_response import JsonResponse
from interfaces.api.web.preconditions import (
    check_if_match,
    check_no_if_match,
    command_request,
    entity_tag,
    if_none_match,
    task_id_of,
)
from interfaces.api.web.query_params import decode_params
from interfaces.api.web.read_your_writes import read_after_writes
from interfaces.api.web.request_errors import FieldError, Forbidden, InvalidRequest
from interfaces.api.web.times import parse_query_times, to_utc

VIEW = "task_list"


@post(
    status_code=200,
    opt={"permission": Permission.FILE_TASKS, "open": True, "checks": [check_no_if_match], "refusals": {409, 412}},
    operation_id="fileTask",
    summary="File a task",
)
async def file_task(request: JsonRequest, data: JSONBody[NewTaskBody]) -> JsonResponse[TaskResponse]:
    """File a task for the operator's organisation. A token is not required unless the organisation says so."""
    context = context_of(request)
    call_datetime, due_date = to_utc(call_datetime=data.call_datetime, due_date=data.due_date)
    asking = await command_request(request)
    operator = await context.api.services.tasks.operator(data.operator_id)
    charge_operator(context, operator.organization_id, operator.number)
    command = FileTask(
        operator_key=data.operator_id,
        title=data.title,
        task_type=data.task_type,
        priority=data.priority,
        description=data.description,
        caller_phone=data.caller_phone,
        caller_name=data.caller_name,
        call_id=data.call_id,
        recording_url=data.recording_url,
        call_datetime=call_datetime,
        call_transcription=data.call_transcription,
        call_summary=data.call_summary,
        call_response_summary=data.call_response_summary,
        due_date=due_date,
    )
    return _changed(context, await context.api.services.tasks.file(command, asking, operator))


@get(
    opt={"permission": Permission.LIST_TASKS, "query": TaskListQuery},
    operation_id="listTasks",
    summary="List tasks, newest first",
)
async def list_tasks(request: JsonRequest) -> JsonResponse[TaskPageResponse]:
    """Answer a page of the organisation's tasks. Analysts see personal data masked and cannot search in it."""
    context = context_of(request)
    caller, services, asked = context.member, context.api.services, decode_params(request, TaskListQuery)
    personal = caller.may(Permission.READ_PERSONAL)
    if not personal and (asked.search is not None or asked.caller_phone is not None):
        raise Forbidden
    wanted = TaskListFilter(
        status=asked.status,
        task_type=asked.task_type,
        priority=asked.priority,
        search=asked.search or None,
        include_cancelled=asked.include_cancelled,
        assigned_user_id=asked.assigned_user_id,
        caller_phone=await _phone(context, asked.caller_phone),
    )
    page = partial(services.task_list.page, caller.organization_id, wanted, page=asked.page, per_page=asked.per_page)
    found = await read_after_writes(context, VIEW, asked.position, page)
    answers = [task_row_response(row) for row in found.items]
    headers = {"Perezvon-Position": str(found.position)}
    if not found.total_is_exact:
        headers["Perezvon-Total"] = "at-least"
    body = TaskPageResponse(
        items=answers if personal else [mask_personal(answer) for answer in answers],
        total=found.total,
        page=asked.page,
        per_page=asked.per_page,
        pages=-(-found.total // asked.per_page),
    )
    return JsonResponse(body, headers)


@get(
    "/{task_id:str}",
    opt={"permission": Permission.READ_PERSONAL, "query": TaskQuery, "refusals": {404}, "may_be_unmodified": True},
    operation_id="getTask",
    summary="A task as it is, or as it was",
)
async def get_task(request: JsonRequest) -> JsonResponse[TaskResponse]:
    """Answer the task. Before its creation, and past its last version, there is none."""
    asked = decode_params(request, TaskQuery)
    if asked.version is not None and asked.as_of is not None:
        message = "Either version or as_of"
        raise InvalidRequest([FieldError(("query", name), message, "value_error") for name in ("version", "as_of")])
    context = context_of(request)
    (moment,) = parse_query_times(as_of=asked.as_of)
    shown = await context.api.services.tasks.get(
        task_id_of(request), context.member.organization_id, version=asked.version, as_of=moment
    )
    headers = {**_task_headers(shown), "Cache-Control": "private, no-cache"}
    if if_none_match(request, shown.task.version):
        return JsonResponse(task_response(shown), headers, status_code=304)
    return JsonResponse(task_response(shown), headers)


@get(
    "/{task_id:str}/history",
    opt={"permission": Permission.READ_PERSONAL, "refusals": {404}},
    operation_id="getTaskHistory",
    summary="All that happened to a task",
)
async def get_history(request: JsonRequest) -> JsonResponse[HistoryResponse]:
    """Answer every change of the task with who, when and why, oldest first."""
    context = context_of(request)
    events = await context.api.services.tasks.history(task_id_of(request), context.member.organization_id)
    return JsonResponse(history_response(events))


_CHANGE = {"permission": Permission.CHANGE_TASKS, "checks": [check_if_match], "refusals": {404, 409, 412}}


@put(
    "/{task_id:str}/status",
    opt=_CHANGE,
    operation_id="changeTaskStatus",
    summary="Change a task's status",
)
async def change_status(request: JsonRequest, data: JSONBody[TaskStatusBody]) -> JsonResponse[TaskResponse]:
    """Change the status. The same status again records nothing; a transition that contract 1 does not list is 409."""
    context = context_of(request)
    changed = await context.api.services.tasks.change_status(
        task_id_of(request),
        data.status,
        await command_request(request),
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
    """Link an appeal, in whatever status. POST, and the path ``…/link-appeal`` with either verb, do the same."""
    return await _linked(request, data)


@post(
    "/{task_id:str}/appeal",
    opt=_CHANGE,
    status_code=200,
    operation_id="linkAppealToTaskByPost",
    summary="Link an appeal to a task",
)
async def link_appeal_by_post(request: JsonRequest, data: JSONBody[AppealBody]) -> JsonResponse[TaskResponse]:
    """Link an appeal as PUT does, and heed an Idempotency-Key."""
    return await _linked(request, data)


@route(
    "/{task_id:str}/link-appeal",
    http_method=["PUT", "POST"],
    opt=_CHANGE,
    status_code=200,
    include_in_schema=False,
)
async def link_appeal_by_name(request: JsonRequest, data: JSONBody[AppealBody]) -> JsonResponse[TaskResponse]:
    """Link an appeal, for a client that spells it so."""
    return await _linked(request, data)


@post(
    "/{task_id:str}/reprocess",
    opt=_CHANGE,
    status_code=200,
    operation_id="reprocessTask",
    summary="Try a failed task again",
)
async def reprocess(request: JsonRequest) -> JsonResponse[TaskResponse]:
    """Put a failed task back to pending; in every other status it is 409."""
    context = context_of(request)
    return _changed(
        context, await context.api.services.tasks.reprocess(task_id_of(request), await command_request(request))
    )


def tasks_router() -> Router:
    """Answer the routes of contract 1."""
    return Router(
        "/api/tasks",
        route_handlers=[
            file_task,
            list_tasks,
            get_task,
            get_history,
            change_status,
            link_appeal,
            link_appeal_by_post,
            link_appeal_by_name,
            reprocess,
        ],
        before_request=authorize,
        exception_handlers=exception_handlers(format_tasks_error),
        tags=["tasks"],
    )


async def _linked(request: JsonRequest, data: AppealBody) -> JsonResponse[TaskResponse]:
    context = context_of(request)
    changed = await context.api.services.tasks.link_appeal(
        task_id_of(request), data.appeal_id, await command_request(request)
    )
    return _changed(context, changed)


def _changed(context: RequestContext, changed: Changed) -> JsonResponse[TaskResponse]:
    context.api.written.note(changed.task.organization_id, changed.position)
    headers = _task_headers(changed)
    if changed.replayed:
        headers["Idempotency-Replayed"] = "true"
    return JsonResponse(task_response(changed), headers)


def _task_headers(changed: Changed) -> dict[str, str]:
    return {"ETag": entity_tag(changed.task.version), "Perezvon-Position": str(changed.position)}


async def _phone(context: RequestContext, text: str | None) -> str | None:
    """Answer the number as it is kept. Raises RequestInvalid on ``caller_phone``."""
    if text is None:
        return None
    organization = await context.api.services.directory.organization(context.member.organization_id)
    if organization is None:
        raise OrganizationNotFound
    try:
        return e164(text, organization.settings.region, "caller_phone")
    except InvalidField as error:
        raise InvalidRequest([FieldError(("query", error.field), str(error), error.kind)]) from error
