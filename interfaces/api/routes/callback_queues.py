"""``/client/{client_id}/task_scheduler``: the queues of contract 2."""

from litestar import Router, delete, get, post, put
from litestar.params import JSONBody

from application.callback_queues import ChangedQueue, QueueChange
from application.callback_queues import NewQueue as Wanted
from application.queries.callback_list import queue_row
from domain.callback_queue.events import QueueStatus
from domain.values import Permission
from interfaces.api.routes.callbacks import (
    delete_callback,
    get_callback,
    get_callback_history,
    list_callbacks,
    schedule_callbacks,
)
from interfaces.api.routes.queue_bodies import ChangeQueue, NewQueue, QueueAnswer, QueueListQuery, queue_answer
from interfaces.api.web.authentication import admit
from interfaces.api.web.context import Visit, visit_of
from interfaces.api.web.error_responses import handlers, queues_dialect
from interfaces.api.web.json_body import CheckedRequest
from interfaces.api.web.json_response import Answer
from interfaces.api.web.paging import cut, part_of
from interfaces.api.web.path_params import BASES, of_own_client, queue_id_of
from interfaces.api.web.preconditions import command_asked
from interfaces.api.web.query_params import asked_for
from interfaces.api.web.read_your_writes import caught_up

VIEW = "queue_board"

_READING = {"permission": Permission.READ_QUEUES, "checks": [of_own_client], "refusals": {404}}
_CHANGING = {"permission": Permission.CHANGE_QUEUES, "checks": [of_own_client], "refusals": {404, 409}}


@post(opt=_CHANGING, operation_id="createQueue", summary="Create a callback queue")
async def create_queue(request: CheckedRequest, data: JSONBody[NewQueue]) -> Answer[QueueAnswer]:
    """Create a queue. It is off unless told otherwise."""
    visit = visit_of(request)
    wanted = Wanted(
        name=data.name,
        comment=data.comment,
        status=data.status or QueueStatus.OFF,
        concurrent_task_limit=data.concurrent_task_limit or 1,
    )
    created = await visit.api.services.queues.create(wanted, await command_asked(request))
    return _changed(visit, created, status_code=201)


@get(opt={**_READING, "query": QueueListQuery}, operation_id="listQueues", summary="List callback queues, by id")
async def list_queues(request: CheckedRequest) -> Answer[list[QueueAnswer]]:
    """Answer the organisation's queues."""
    visit, asked = visit_of(request), asked_for(request, QueueListQuery)
    part, board = part_of(asked), visit.api.services.queue_board
    found = await caught_up(
        visit,
        VIEW,
        asked.position,
        lambda: board.queues(visit.member.organization_id, after=part.after, offset=part.offset, limit=part.limit + 1),
    )
    rows, link = cut(request, part, found.items)
    return Answer([queue_answer(row) for row in rows], {"Perezvon-Position": str(found.position), **link})


@get("/{scheduler_id:str}", opt=_READING, operation_id="getQueue", summary="A callback queue")
async def get_queue(request: CheckedRequest) -> Answer[QueueAnswer]:
    """Answer the queue as it is."""
    visit = visit_of(request)
    shown = await visit.api.services.queues.get(queue_id_of(request), visit.member.organization_id)
    return _answer(shown)


@put("/{scheduler_id:str}", opt=_CHANGING, operation_id="changeQueue", summary="Change a callback queue")
async def change_queue(request: CheckedRequest, data: JSONBody[ChangeQueue]) -> Answer[QueueAnswer]:
    """Change what is named. Switched off, a queue starts nothing more; calls that run are left to end."""
    visit = visit_of(request)
    wanted = QueueChange(
        name=data.name, comment=data.comment, status=data.status, concurrent_task_limit=data.concurrent_task_limit
    )
    return _changed(
        visit, await visit.api.services.queues.change(queue_id_of(request), wanted, await command_asked(request))
    )


@delete("/{scheduler_id:str}", opt=_CHANGING, operation_id="deleteQueue", summary="Delete a callback queue")
async def delete_queue(request: CheckedRequest) -> Answer[None]:
    """Delete the queue, and cancel what has not run in it."""
    visit = visit_of(request)
    deleted = await visit.api.services.queues.delete(queue_id_of(request), await command_asked(request))
    visit.api.written.note(visit.member.organization_id, deleted.position)
    return Answer(None, {"Perezvon-Position": str(deleted.position)}, status_code=204)


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
            before_request=admit,
            exception_handlers=handlers(queues_dialect),
            include_in_schema=base == BASES[0],
            tags=["callbacks"],
        )
        for base in BASES
    ]


def _changed(visit: Visit, changed: ChangedQueue, *, status_code: int = 200) -> Answer[QueueAnswer]:
    visit.api.written.note(changed.queue.organization_id, changed.position)
    return _answer(changed, status_code=status_code)


def _answer(shown: ChangedQueue, *, status_code: int = 200) -> Answer[QueueAnswer]:
    headers = {"Perezvon-Position": str(shown.position)}
    if shown.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Answer(queue_answer(queue_row(shown.queue)), headers, status_code=status_code)
