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
    HistoryAnswer,
    NewAppeal,
    NewStatus,
    NewTask,
    TaskAnswer,
    TaskListQuery,
    TaskPageAnswer,
    TaskQuery,
    answer_of,
    history_of,
    masked,
    row_answer,
)
from interfaces.api.web.authentication import admit, charge_operator
from interfaces.api.web.context import Visit, visit_of
from interfaces.api.web.error_responses import handlers, tasks_dialect
from interfaces.api.web.json_body import CheckedRequest
from interfaces.api.web.json_response import Answer
from interfaces.api.web.preconditions import (
    command_asked,
    entity_tag,
    if_none_match,
    matches,
    matches_nothing,
    task_id_of,
)
from interfaces.api.web.query_params import asked_for
from interfaces.api.web.read_your_writes import caught_up
from interfaces.api.web.request_errors import Fault, Forbidden, RequestInvalid
from interfaces.api.web.times import in_query, in_utc

VIEW = "task_list"


@post(
    status_code=200,
    opt={"permission": Permission.FILE_TASKS, "open": True, "checks": [matches_nothing], "refusals": {409, 412}},
    operation_id="fileTask",
    summary="File a task",
)
async def file_task(request: CheckedRequest, data: JSONBody[NewTask]) -> Answer[TaskAnswer]:
    """File a task for the operator's organisation. A token is not required unless the organisation says so."""
    visit = visit_of(request)
    call_datetime, due_date = in_utc(call_datetime=data.call_datetime, due_date=data.due_date)
    asking = await command_asked(request)
    operator = await visit.api.services.tasks.operator(data.operator_id)
    charge_operator(visit, operator.organization_id, operator.number)
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
    return _changed(visit, await visit.api.services.tasks.file(command, asking, operator))


@get(
    opt={"permission": Permission.LIST_TASKS, "query": TaskListQuery},
    operation_id="listTasks",
    summary="List tasks, newest first",
)
async def list_tasks(request: CheckedRequest) -> Answer[TaskPageAnswer]:
    """Answer a page of the organisation's tasks. Analysts see personal data masked and cannot search in it."""
    visit = visit_of(request)
    caller, services, asked = visit.member, visit.api.services, asked_for(request, TaskListQuery)
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
        caller_phone=await _phone(visit, asked.caller_phone),
    )
    page = partial(services.task_list.page, caller.organization_id, wanted, page=asked.page, per_page=asked.per_page)
    found = await caught_up(visit, VIEW, asked.position, page)
    answers = [row_answer(row) for row in found.items]
    headers = {"Perezvon-Position": str(found.position)}
    if not found.total_is_exact:
        headers["Perezvon-Total"] = "at-least"
    body = TaskPageAnswer(
        items=answers if personal else [masked(answer) for answer in answers],
        total=found.total,
        page=asked.page,
        per_page=asked.per_page,
        pages=-(-found.total // asked.per_page),
    )
    return Answer(body, headers)


@get(
    "/{task_id:str}",
    opt={"permission": Permission.READ_PERSONAL, "query": TaskQuery, "refusals": {404}, "may_be_unmodified": True},
    operation_id="getTask",
    summary="A task as it is, or as it was",
)
async def get_task(request: CheckedRequest) -> Answer[TaskAnswer]:
    """Answer the task. Before its creation, and past its last version, there is none."""
    asked = asked_for(request, TaskQuery)
    if asked.version is not None and asked.as_of is not None:
        message = "Either version or as_of"
        raise RequestInvalid([Fault(("query", name), message, "value_error") for name in ("version", "as_of")])
    visit = visit_of(request)
    (moment,) = in_query(as_of=asked.as_of)
    shown = await visit.api.services.tasks.get(
        task_id_of(request), visit.member.organization_id, version=asked.version, as_of=moment
    )
    headers = {**_task_headers(shown), "Cache-Control": "private, no-cache"}
    if if_none_match(request, shown.task.version):
        return Answer(answer_of(shown), headers, status_code=304)
    return Answer(answer_of(shown), headers)


@get(
    "/{task_id:str}/history",
    opt={"permission": Permission.READ_PERSONAL, "refusals": {404}},
    operation_id="getTaskHistory",
    summary="All that happened to a task",
)
async def get_history(request: CheckedRequest) -> Answer[HistoryAnswer]:
    """Answer every change of the task with who, when and why, oldest first."""
    visit = visit_of(request)
    events = await visit.api.services.tasks.history(task_id_of(request), visit.member.organization_id)
    return Answer(history_of(events))


_CHANGE = {"permission": Permission.CHANGE_TASKS, "checks": [matches], "refusals": {404, 409, 412}}


@put(
    "/{task_id:str}/status",
    opt=_CHANGE,
    operation_id="changeTaskStatus",
    summary="Change a task's status",
)
async def change_status(request: CheckedRequest, data: JSONBody[NewStatus]) -> Answer[TaskAnswer]:
    """Change the status. The same status again records nothing; a transition that contract 1 does not list is 409."""
    visit = visit_of(request)
    changed = await visit.api.services.tasks.change_status(
        task_id_of(request),
        data.status,
        await command_asked(request),
        reason=data.reason,
        error_message=data.error_message,
    )
    return _changed(visit, changed)


@put(
    "/{task_id:str}/appeal",
    opt=_CHANGE,
    operation_id="linkAppealToTask",
    summary="Link an appeal to a task",
)
async def link_appeal(request: CheckedRequest, data: JSONBody[NewAppeal]) -> Answer[TaskAnswer]:
    """Link an appeal, in whatever status. POST, and the path ``…/link-appeal`` with either verb, do the same."""
    return await _linked(request, data)


@post(
    "/{task_id:str}/appeal",
    opt=_CHANGE,
    status_code=200,
    operation_id="linkAppealToTaskByPost",
    summary="Link an appeal to a task",
)
async def link_appeal_by_post(request: CheckedRequest, data: JSONBody[NewAppeal]) -> Answer[TaskAnswer]:
    """Link an appeal as PUT does, and heed an Idempotency-Key."""
    return await _linked(request, data)


@route(
    "/{task_id:str}/link-appeal",
    http_method=["PUT", "POST"],
    opt=_CHANGE,
    status_code=200,
    include_in_schema=False,
)
async def link_appeal_by_name(request: CheckedRequest, data: JSONBody[NewAppeal]) -> Answer[TaskAnswer]:
    """Link an appeal, for a client that spells it so."""
    return await _linked(request, data)


@post(
    "/{task_id:str}/reprocess",
    opt=_CHANGE,
    status_code=200,
    operation_id="reprocessTask",
    summary="Try a failed task again",
)
async def reprocess(request: CheckedRequest) -> Answer[TaskAnswer]:
    """Put a failed task back to pending; in every other status it is 409."""
    visit = visit_of(request)
    return _changed(visit, await visit.api.services.tasks.reprocess(task_id_of(request), await command_asked(request)))


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
        before_request=admit,
        exception_handlers=handlers(tasks_dialect),
        tags=["tasks"],
    )


async def _linked(request: CheckedRequest, data: NewAppeal) -> Answer[TaskAnswer]:
    visit = visit_of(request)
    changed = await visit.api.services.tasks.link_appeal(
        task_id_of(request), data.appeal_id, await command_asked(request)
    )
    return _changed(visit, changed)


def _changed(visit: Visit, changed: Changed) -> Answer[TaskAnswer]:
    visit.api.written.note(changed.task.organization_id, changed.position)
    headers = _task_headers(changed)
    if changed.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Answer(answer_of(changed), headers)


def _task_headers(changed: Changed) -> dict[str, str]:
    return {"ETag": entity_tag(changed.task.version), "Perezvon-Position": str(changed.position)}


async def _phone(visit: Visit, text: str | None) -> str | None:
    """Answer the number as it is kept. Raises RequestInvalid on ``caller_phone``."""
    if text is None:
        return None
    organization = await visit.api.services.directory.organization(visit.member.organization_id)
    if organization is None:
        raise OrganizationNotFound
    try:
        return e164(text, organization.settings.region, "caller_phone")
    except InvalidField as error:
        raise RequestInvalid([Fault(("query", error.field), str(error), error.kind)]) from error
