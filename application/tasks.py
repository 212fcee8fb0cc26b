"""Use cases of tasks (docs/contracts/tasks.md): file, change, read."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

import msgspec
from msgspec.structs import replace

from application.callers import Caller, Request
from application.command_handler import CommandResult, Idempotency, change
from application.dial_policy import policy_of
from application.errors import InvalidFields, PreconditionFailed, TaskNotFound
from application.headroom import Headroom
from application.ids import digest_of, uuid7
from application.number_quota import CalledNumber, NumberQuota
from application.phones import e164, line
from application.ports.directory import Directory, OperatorHolder
from application.ports.event_log import Appended, EventLog, IdempotencyKey, Page
from domain.callback.events import Leg
from domain.errors import InvalidField
from domain.limits import TASK_HISTORY_BYTES_MAX
from domain.model import Recorded
from domain.organization.events import Settings
from domain.organization.limits import Limits
from domain.streams import task_stream
from domain.task.events import CallDetails, Priority, TaskFact, TaskFiled, TaskType
from domain.task.task import Status, Task, evolve, replay
from domain.values import trimmed_title

Decision = Callable[[Task], list[TaskFact]]
Append = Callable[[], Awaitable[Appended]]
Events = Sequence[Recorded[TaskFact]]


class FileTask(msgspec.Struct, frozen=True, kw_only=True):
    """The command to file a task after a call.

    ``operator_key`` is the contract's ``operator_id``. ``details`` are as the client sent them; their ``subject`` is
    replaced by the id of the new task.
    """

    operator_key: str
    details: CallDetails
    task_type: TaskType = TaskType.OTHER
    priority: Priority = Priority.NORMAL
    call_id: str | None = None
    call_datetime: datetime | None = None
    due_date: datetime | None = None


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """A task, and the log position from which views show it.

    ``member_name`` is the assigned member's name. ``is_replay``: an earlier request with the same idempotency key changed it.
    """

    task: Task
    position: int
    member_name: str | None = None
    is_replay: bool = False


class IntakeClosed(Exception):
    """The organisation requires a token for filing tasks."""

    code = "intake_closed"


class Tasks:
    """Use cases that file, change and read tasks."""

    def __init__(
        self, log: EventLog, directory: Directory, waiting: Headroom, number_quota: NumberQuota, limits: Limits
    ) -> None:
        """Record tasks in ``log``; look up operators and members in ``directory``.

        A task that schedules a callback is filed if ``waiting`` admits one more. ``limits`` are of organisations that have
        none of their own.
        """
        self._log = log
        self._directory = directory
        self._waiting = waiting
        self._number_quota = number_quota
        self._limits = limits

    async def operator(self, operator_key: str) -> OperatorHolder:
        """Return the operator with that key. Raises InvalidField on ``operator_id``."""
        operator = await self._directory.operator(digest_of(operator_key))
        if operator is None:
            raise InvalidField("operator_id", "Unknown operator", "unknown_operator")
        return operator

    async def file(self, command: FileTask, request: Request, operator: OperatorHolder | None = None) -> TaskResult:
        """File a task for the operator's organisation and assign it to the operator's member.

        Pass ``operator`` if ``operator()`` has returned it already; this saves a look-up.
        Raises InvalidFields, LimitReached, IntakeClosed, PreconditionFailed (a new task has no version that If-Match could
        name), KeyReused, ConcurrentUpdate and StorageUnavailable.
        """
        operator = operator or await self.operator(command.operator_key)
        caller = request.caller
        if caller is None and not operator.settings.open_intake:
            raise IntakeClosed
        if caller is not None and caller.organization_id != operator.organization_id:
            raise InvalidField("operator_id", "Unknown operator", "unknown_operator")
        if request.if_match is not None:
            raise PreconditionFailed
        scope = caller.scope if caller else f"operator/{(operator.organization_id, operator.number)}"
        idempotency = Idempotency(self._log, request, scope)
        handled = await idempotency.run(self._record, command, request, operator, idempotency.key)
        if handled.is_replay:
            return await self._result(handled)
        (event,) = handled.events
        return TaskResult(task=evolve(None, event), position=event.position, member_name=operator.member_name)

    async def change_status(
        self, task_id: str, status: Status, request: Request, *, reason: str | None, error_message: str | None
    ) -> TaskResult:
        """Change the status.

        Raises TaskNotFound, IllegalTransition, InvalidField, PreconditionFailed, HistoryFull, KeyReused, ConcurrentUpdate,
        StorageUnavailable.
        """
        return await self._change(
            task_id, request, lambda task: task.change_status(status, error_message=error_message), reason
        )

    async def link_appeal(self, task_id: str, appeal_id: str, request: Request) -> TaskResult:
        """Link an appeal.

        Raises TaskNotFound, PreconditionFailed, HistoryFull, KeyReused, ConcurrentUpdate, StorageUnavailable.
        """
        return await self._change(task_id, request, lambda task: task.link_appeal(appeal_id))

    async def reprocess(self, task_id: str, request: Request) -> TaskResult:
        """Put a failed task back to pending; one that schedules a callback has the rules and limits of a new one.

        Raises TaskNotFound, IllegalTransition, InvalidField, InvalidFields, LimitReached, TooManyAttempts,
        PreconditionFailed, HistoryFull, KeyReused, ConcurrentUpdate, StorageUnavailable.
        """
        if request.caller is None:
            raise TaskNotFound
        organization_id = request.caller.organization_id
        task = _task(await self._events(task_id, organization_id))
        return await self._change(
            task_id, request, Task.reprocess, admit=partial(self._append_reprocessed, task, organization_id)
        )

    async def get(
        self, task_id: str, organization_id: int, *, version: int | None = None, as_of: datetime | None = None
    ) -> TaskResult:
        """Return the task as it is now, or as it was at a version or a time. Raises TaskNotFound."""
        stream = task_stream(task_id)
        if version is None and as_of is None:
            events = await self._log.read(stream)
        else:
            events = await self._log.read_until(stream, version=version, as_of=as_of)
        _check_owner(events, organization_id)
        if version is not None and as_of is None and events[-1].version != version:
            raise TaskNotFound
        return await self._result(CommandResult(events))

    async def version(self, task_id: str, organization_id: int) -> int:
        """Return the current version of the task. Raises TaskNotFound."""
        return (await self._last(task_id, organization_id)).version

    async def history(self, task_id: str, organization_id: int, *, after: int = 0, limit: int) -> Page:
        """Return events of the task, oldest first: at most ``limit`` after that version. Raises TaskNotFound, ShareExhausted."""
        await self._last(task_id, organization_id)
        return await self._log.read_page(organization_id, task_stream(task_id), after=after, limit=limit)

    async def _record(
        self, command: FileTask, request: Request, operator: OperatorHolder, key: IdempotencyKey | None
    ) -> CommandResult[TaskFact]:
        caller, task_id = request.caller, uuid7()
        fact = _filed(command, task_id, operator, caller)
        actor = caller.actor if caller else f"operator/{operator.number}"
        envelope = request.envelope(operator.organization_id, actor)
        phone = fact.personal.caller_phone if _is_callback(command.task_type, operator.settings) else None
        if phone is None:
            return CommandResult((await self._log.append(task_stream(task_id), 0, [fact], envelope, key)).events)
        append = partial(self._log.append, task_stream(task_id), 0, [fact], envelope, key)
        return CommandResult(
            (await self._append_callback(phone, operator.organization_id, operator.settings, append)).events
        )

    async def _append_reprocessed(self, task: Task, organization_id: int, append: Append) -> Appended:
        """Append that the task is reprocessed, which may schedule a callback. Raises InvalidField, InvalidFields, LimitReached."""
        phone = task.details.caller_phone
        organization = await self._directory.organization(organization_id)
        if organization is None or phone is None or not _is_callback(task.task_type, organization.settings):
            return await append()
        policy_of(organization.settings).require(phone, "caller_phone")
        return await self._append_callback(phone, organization_id, organization.settings, append)

    async def _append_callback(self, phone: str, organization_id: int, settings: Settings, append: Append) -> Appended:
        """Append what schedules a callback to ``phone``, if there is room for one more. Raises InvalidFields, LimitReached."""
        limits, called = self._limits.with_own(settings.limits), [CalledNumber("caller_phone", Leg.B, phone)]
        async with (
            self._waiting.reserve(organization_id, limits) as room,
            self._number_quota.reserve(
                organization_id, called, limits.open_per_number, own=settings.caller_ids, of_task=True
            ) as reservation,
        ):
            appended = await append()
            room.position = reservation.position = appended.position
        return appended

    async def _change(
        self,
        task_id: str,
        request: Request,
        decide: Decision,
        reason: str | None = None,
        admit: Callable[[Append], Awaitable[Appended]] | None = None,
    ) -> TaskResult:
        """Decide on the task and append the facts, with ``admit`` if that may refuse it."""
        caller = request.caller
        if caller is None:
            raise TaskNotFound
        envelope = request.envelope(caller.organization_id, caller.actor, reason)
        idempotency = Idempotency(self._log, request, caller.scope)

        def append(version: int, facts: Sequence[TaskFact]) -> Awaitable[Appended]:
            return self._log.append(task_stream(task_id), version, facts, envelope, idempotency.key)

        handled = await change(
            lambda: self._events(task_id, caller.organization_id),
            lambda events: decide(_task(events)),
            append if admit is None else lambda version, facts: admit(partial(append, version, facts)),
            if_match=request.if_match,
            idempotency=idempotency,
            bytes_max=TASK_HISTORY_BYTES_MAX,
        )
        return await self._result(handled)

    async def _events(self, task_id: str, organization_id: int) -> Events:
        events = await self._log.read(task_stream(task_id))
        _check_owner(events, organization_id)
        return events

    async def _last(self, task_id: str, organization_id: int) -> Recorded[TaskFact]:
        last = await self._log.read_last(task_stream(task_id))
        if last is None or last.organization_id != organization_id:
            raise TaskNotFound
        return last

    async def _result(self, handled: CommandResult[TaskFact]) -> TaskResult:
        task = _task(handled.events)
        assigned = task.assigned_user_id
        name = (await self._directory.member_names([assigned])).get(assigned) if assigned else None
        return TaskResult(
            task=task, position=handled.events[-1].position, member_name=name, is_replay=handled.is_replay
        )


def _check_owner(events: Events, organization_id: int) -> None:
    if not events or events[0].organization_id != organization_id:
        raise TaskNotFound


def _task(events: Events) -> Task:
    task = replay(events)
    if task is None:
        raise TaskNotFound
    return task


def _is_callback(task_type: TaskType, settings: Settings) -> bool:
    """Return whether filing or reprocessing a task schedules a callback, if it has a phone number."""
    return task_type is TaskType.CALLBACK and settings.callback_queue is not None


def _filed(command: FileTask, task_id: str, operator: OperatorHolder, caller: Caller | None) -> TaskFiled:
    errors: list[InvalidField] = []
    title, phone = command.details.title, command.details.caller_phone
    try:
        title = trimmed_title(title)
    except InvalidField as error:
        errors.append(error)
    try:
        if phone is not None:
            region = operator.settings.region
            if _is_callback(command.task_type, operator.settings):  # the rule also of 112, which is no phone number
                policy_of(operator.settings).require(line(phone, region, "caller_phone"), "caller_phone")
            phone = e164(phone, region, "caller_phone")
    except InvalidField as error:
        errors.append(error)
    if errors:
        raise InvalidFields(errors)
    return TaskFiled(
        operator_number=operator.number,
        task_type=command.task_type,
        priority=command.priority,
        assigned_user_id=operator.member_id,
        created_by_user_id=caller.member_id if caller else None,
        call_id=command.call_id,
        call_datetime=command.call_datetime,
        due_date=command.due_date,
        personal=replace(command.details, subject=task_id, title=title, caller_phone=phone),
    )
