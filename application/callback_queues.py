"""Use cases of callback queues (docs/contracts/task_scheduler.md): create, change, delete, read."""

from collections.abc import Callable, Sequence

import msgspec

from application.callers import Request
from application.command_handler import CommandResult, Idempotency, change
from application.errors import OrganizationNotFound, QueueNotFound
from application.headroom import Headroom
from application.ports.directory import Directory
from application.ports.event_log import EventLog, IdSequences
from domain.callback_queue.callback_queue import DEFAULT_STATUS, CallbackQueue, create, replay
from domain.callback_queue.events import CallingRules, QueueDeleted, QueueFact, QueueStatus
from domain.errors import AlreadyDeleted
from domain.limits import DEFAULT_CONCURRENT_CALLBACKS
from domain.model import Recorded
from domain.organization.limits import Limits
from domain.streams import queue_stream

Decision = Callable[[CallbackQueue], list[QueueFact]]
Events = Sequence[Recorded[QueueFact]]


class NewQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue to create."""

    name: str
    comment: str | None = None
    status: QueueStatus = DEFAULT_STATUS
    concurrent_task_limit: int = DEFAULT_CONCURRENT_CALLBACKS


class QueueChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values of a queue's fields; None leaves a field unchanged."""

    name: str | None = None
    comment: str | None = None
    status: QueueStatus | None = None
    concurrent_task_limit: int | None = None


class QueueResult(msgspec.Struct, frozen=True, kw_only=True):
    """A queue, and the log position from which views show it.

    ``is_replay``: an earlier request with the same idempotency key created it.
    """

    queue: CallbackQueue
    position: int
    is_replay: bool = False


class CallbackQueues:
    """Use cases that create, change and read queues. Queues are read from the log, so they are always current."""

    def __init__(
        self, log: EventLog, sequences: IdSequences, directory: Directory, headroom: Headroom, limits: Limits
    ) -> None:
        """Record queues in ``log``, with ids from ``sequences``, as many as ``headroom`` admits.

        ``limits`` are of organisations that have none of their own in the ``directory``.
        """
        self._log = log
        self._sequences = sequences
        self._directory = directory
        self._headroom = headroom
        self._limits = limits

    async def create(self, new: NewQueue, request: Request) -> QueueResult:
        """Create a queue. Raises InvalidField, LimitReached, KeyReused, ConcurrentUpdate and StorageUnavailable."""
        caller = request.token_holder
        facts = create(
            new.name, comment=new.comment, status=new.status, concurrent_task_limit=new.concurrent_task_limit
        )
        idempotency = Idempotency(self._log, request, caller.scope)

        async def record() -> CommandResult[QueueFact]:
            organization = await self._directory.organization(caller.organization_id)
            if organization is None:
                raise OrganizationNotFound
            limits = self._limits.with_own(organization.settings.limits)
            async with self._headroom.reserve(caller.organization_id, limits) as room:
                stream = queue_stream(await self._sequences.new_queue_id())
                envelope = request.envelope(caller.organization_id, caller.actor)
                appended = await self._log.append(stream, 0, facts, envelope, idempotency.key)
                room.position = appended.position
            return CommandResult(appended.events)

        return _result(await idempotency.run(record))

    async def get(self, queue_id: int, organization_id: int) -> QueueResult:
        """Return the queue as it is now. Raises QueueNotFound."""
        result = _result(CommandResult(await self._events(queue_id, organization_id)))
        if result.queue.is_deleted:
            raise QueueNotFound
        return result

    async def check(self, queue_id: int, organization_id: int) -> None:
        """Raise QueueNotFound unless the organisation has the queue and it is not deleted.

        Reads one event, however long the stream is: the deletion of a queue is its last fact.
        """
        last = await self._log.read_last(queue_stream(queue_id))
        if last is None or last.organization_id != organization_id or isinstance(last.fact, QueueDeleted):
            raise QueueNotFound

    async def change(self, queue_id: int, changes: QueueChange, request: Request) -> QueueResult:
        """Change the queue. Raises QueueNotFound, InvalidField, HistoryFull, ConcurrentUpdate, StorageUnavailable."""
        values = msgspec.structs.asdict(changes)
        return await self._change(queue_id, request, lambda queue: queue.change(**values))

    async def choose_rules(self, queue_id: int, rules: CallingRules, request: Request) -> QueueResult:
        """Replace the calling rules of the queue, which the contract does not have.

        Raises QueueNotFound, InvalidField, HistoryFull, ConcurrentUpdate, StorageUnavailable.
        """
        return await self._change(queue_id, request, lambda queue: queue.choose_rules(rules))

    async def delete(self, queue_id: int, request: Request) -> QueueResult:
        """Delete the queue and cancel its waiting callbacks. Raises QueueNotFound, ConcurrentUpdate, StorageUnavailable."""
        result = await self._change(queue_id, request, CallbackQueue.delete)
        self._headroom.free(request.token_holder.organization_id, result.position)
        return result

    async def _change(self, queue_id: int, request: Request, decide: Decision) -> QueueResult:
        caller = request.token_holder
        envelope = request.envelope(caller.organization_id, caller.actor)
        try:
            handled = await change(
                lambda: self._events(queue_id, caller.organization_id),
                lambda events: decide(_queue(events)),
                lambda version, facts: self._log.append(queue_stream(queue_id), version, facts, envelope),
            )
        except AlreadyDeleted as error:
            raise QueueNotFound from error
        return _result(handled)

    async def _events(self, queue_id: int, organization_id: int) -> Events:
        events = await self._log.read(queue_stream(queue_id))
        if not events or events[0].organization_id != organization_id:
            raise QueueNotFound
        return events


def _queue(events: Events) -> CallbackQueue:
    queue = replay(events)
    if queue is None:
        raise QueueNotFound
    return queue


def _result(handled: CommandResult[QueueFact]) -> QueueResult:
    return QueueResult(queue=_queue(handled.events), position=handled.events[-1].position, is_replay=handled.is_replay)
