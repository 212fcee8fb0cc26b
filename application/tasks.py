"""The use cases of tasks (contract 1)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from application.callers import Caller, Request
from application.errors import (
    ConcurrentUpdate,
    IdempotencyKeyTaken,
    InvalidFields,
    PreconditionFailed,
    TaskNotFound,
)
from application.idempotency import answered, idempotency_key_of
from application.ids import digest_of, uuid7
from application.phones import e164
from application.ports.directory import Directory, OperatorHolder
from application.ports.event_log import EventLog, IdempotencyKey, IdempotencyRecord
from domain.errors import InvalidField
from domain.model import Recorded
from domain.streams import task_stream
from domain.task.events import CallDetails, Priority, TaskFact, TaskFiled, TaskType
from domain.task.task import Status, Task, evolve, replay
from domain.values import trimmed_title

_RETRIES = 8

Decision = Callable[[Task], list[TaskFact]]


class FileTask(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator or a member says of a call; ``operator_key`` is the operator id of the contract."""

    operator_key: str
    title: str
    task_type: TaskType = TaskType.OTHER
    priority: Priority = Priority.NORMAL
    description: str | None = None
    caller_phone: str | None = None
    caller_name: str | None = None
    call_id: str | None = None
    recording_url: str | None = None
    call_datetime: datetime | None = None
    call_transcription: str | None = None
    call_summary: str | None = None
    call_response_summary: str | None = None
    due_date: datetime | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A task after a change, and the log position where a view shows it. ``replayed``: the first answer again."""

    task: Task
    position: int
    member_name: str | None = None
    replayed: bool = False


class IntakeClosed(Exception):
    """The organisation files tasks with a token only."""

    code = "intake_closed"


class Tasks:
    """Files, changes and shows tasks."""

    def __init__(self, log: EventLog, directory: Directory) -> None:
        """Record in ``log``; ask ``directory`` who files and who is assigned."""
        self._log = log
        self._directory = directory

    async def operator(self, operator_key: str) -> OperatorHolder:
        """Answer the operator of that key. Raises InvalidField on ``operator_id``."""
        operator = await self._directory.operator(digest_of(operator_key))
        if operator is None:
            raise InvalidField("operator_id", "Unknown operator", "unknown_operator")
        return operator

    async def file(self, command: FileTask, request: Request, operator: OperatorHolder | None = None) -> Changed:
        """File a task for the operator's organisation and assign it to the operator's member.

        ``operator`` spares the look-up where the caller has it from ``operator()`` already.
        Raises InvalidFields, IntakeClosed, PreconditionFailed (nothing exists yet that If-Match could name),
        KeyReused and StorageUnavailable.
        """
        operator = operator or await self.operator(command.operator_key)
        caller = request.caller
        if caller is None and not operator.settings.open_intake:
            raise IntakeClosed
        if caller is not None and caller.organization_id != operator.organization_id:
            raise InvalidField("operator_id", "Unknown operator", "unknown_operator")
        if request.if_match is not None:
            raise PreconditionFailed
        idempotency_key = _claim(request, caller, operator)
        if idempotency_key and (answer := await self._answered(idempotency_key)):
            return answer
        task_id = uuid7()
        fact = _filed(command, task_id, operator, caller)
        envelope = request.envelope(operator.organization_id, caller.actor if caller else f"operator/{operator.number}")
        try:
            appended = await self._log.append(task_stream(task_id), 0, [fact], envelope, idempotency_key)
        except IdempotencyKeyTaken:
            return await self._answer_of(idempotency_key)
        task = evolve(None, appended.events[0])
        return Changed(task=task, position=appended.position, member_name=operator.member_name)

    async def change_status(
        self, task_id: str, status: Status, request: Request, *, reason: str | None, error_message: str | None
    ) -> Changed:
        """Change the status. Raises TaskNotFound, IllegalTransition, InvalidField, PreconditionFailed, StorageUnavailable."""
        return await self._change(
            task_id, request, lambda task: task.change_status(status, error_message=error_message), reason
        )

    async def link_appeal(self, task_id: str, appeal_id: str, request: Request) -> Changed:
        """Link an appeal. Raises TaskNotFound, PreconditionFailed, KeyReused, StorageUnavailable."""
        return await self._change(task_id, request, lambda task: task.link_appeal(appeal_id))

    async def reprocess(self, task_id: str, request: Request) -> Changed:
        """Try a failed task again. Raises TaskNotFound, IllegalTransition, PreconditionFailed, KeyReused, StorageUnavailable."""
        return await self._change(task_id, request, Task.reprocess)

    async def get(
        self, task_id: str, organization_id: int, *, version: int | None = None, as_of: datetime | None = None
    ) -> Changed:
        """Answer the task as it is, or as it was at a version or a time. Raises TaskNotFound."""
        events = await self._events(task_id, organization_id)
        if version is not None:
            events = events[: version if 1 <= version <= len(events) else 0]
        if as_of is not None:
            events = [event for event in events if event.recorded_at <= as_of]
        return await self._shown(events)

    async def version(self, task_id: str, organization_id: int) -> int:
        """Answer the version at which the task stands. Raises TaskNotFound."""
        return (await self._events(task_id, organization_id))[-1].version

    async def history(self, task_id: str, organization_id: int) -> Sequence[Recorded[TaskFact]]:
        """Answer all that happened to the task, oldest first. Raises TaskNotFound."""
        return await self._events(task_id, organization_id)

    async def member_names(self, ids: Sequence[str]) -> dict[str, str]:
        """Answer the names of members by id."""
        return dict(await self._directory.member_names(ids)) if ids else {}

    async def _events(self, task_id: str, organization_id: int) -> Sequence[Recorded[TaskFact]]:
        events = await self._log.read(task_stream(task_id))
        if not events or events[0].organization_id != organization_id:
            raise TaskNotFound
        return events

    async def _shown(self, events: Sequence[Recorded[TaskFact]], *, replayed: bool = False) -> Changed:
        task = replay(events)
        if task is None:
            raise TaskNotFound
        assigned = task.assigned_user_id
        name = (await self._directory.member_names([assigned])).get(assigned) if assigned else None
        return Changed(task=task, position=events[-1].position, member_name=name, replayed=replayed)

    async def _change(self, task_id: str, request: Request, decide: Decision, reason: str | None = None) -> Changed:
        caller = request.caller
        if caller is None:
            raise TaskNotFound
        events = await self._events(task_id, caller.organization_id)
        idempotency_key = _claim(request, caller)
        if idempotency_key and (answer := await self._answered(idempotency_key)):
            return answer
        for _ in range(_RETRIES):
            shown = await self._shown(events)
            if request.if_match is not None and request.if_match != shown.task.version:
                raise PreconditionFailed
            facts = decide(shown.task)
            if not facts and idempotency_key is None:
                return shown
            envelope = request.envelope(caller.organization_id, caller.actor, reason)
            try:
                appended = await self._log.append(
                    task_stream(task_id), shown.task.version, facts, envelope, idempotency_key
                )
            except ConcurrentUpdate:
                events = await self._events(task_id, caller.organization_id)
                continue
            except IdempotencyKeyTaken:
                return await self._answer_of(idempotency_key)
            return await self._shown([*events, *appended.events])
        raise ConcurrentUpdate

    async def _answered(self, idempotency_key: IdempotencyKey) -> Changed | None:
        claimed = await answered(self._log, idempotency_key)
        return await self._replayed(claimed) if claimed else None

    async def _answer_of(self, idempotency_key: IdempotencyKey | None) -> Changed:
        answer = await self._answered(idempotency_key) if idempotency_key else None
        if answer is None:
            raise ConcurrentUpdate
        return answer

    async def _replayed(self, claimed: IdempotencyRecord) -> Changed:
        events: Sequence[Recorded[Any]] = await self._log.read(claimed.stream)
        return await self._shown(events[: claimed.version], replayed=True)


def _claim(request: Request, caller: Caller | None, operator: OperatorHolder | None = None) -> IdempotencyKey | None:
    scope = (
        f"token/{caller.token_id}" if caller else f"operator/{operator and (operator.organization_id, operator.number)}"
    )
    return idempotency_key_of(request, scope)


def _filed(command: FileTask, task_id: str, operator: OperatorHolder, caller: Caller | None) -> TaskFiled:
    faults: list[InvalidField] = []
    title, phone = command.title, command.caller_phone
    try:
        title = trimmed_title(title)
    except InvalidField as fault:
        faults.append(fault)
    try:
        phone = e164(phone, operator.settings.region, "caller_phone") if phone is not None else None
    except InvalidField as fault:
        faults.append(fault)
    if faults:
        raise InvalidFields(faults)
    return TaskFiled(
        operator_number=operator.number,
        task_type=command.task_type,
        priority=command.priority,
        assigned_user_id=operator.member_id,
        created_by_user_id=caller.member_id if caller else None,
        call_id=command.call_id,
        call_datetime=command.call_datetime,
        due_date=command.due_date,
        personal=CallDetails(
            subject=task_id,
            title=title,
            description=command.description,
            caller_phone=phone,
            caller_name=command.caller_name,
            recording_url=command.recording_url,
            call_transcription=command.call_transcription,
            call_summary=command.call_summary,
            call_response_summary=command.call_response_summary,
        ),
    )
