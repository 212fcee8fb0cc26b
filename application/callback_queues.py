"""The use cases of callback queues (contract 2)."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from application.callers import Request
from application.errors import ConcurrentUpdate, IdempotencyKeyTaken, QueueNotFound
from application.idempotency import answered, idempotency_key_of
from application.ports.event_log import EventLog, IdempotencyKey, IdSequences
from domain.callback_queue.callback_queue import CallbackQueue, create, replay
from domain.callback_queue.events import CallingRules, QueueFact, QueueStatus
from domain.errors import AlreadyDeleted
from domain.model import Recorded
from domain.streams import queue_stream

_RETRIES = 8

Decision = Callable[[CallbackQueue], list[QueueFact]]


class NewQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue to create."""

    name: str
    comment: str | None = None
    status: QueueStatus = QueueStatus.OFF
    concurrent_task_limit: int = 1


class QueueChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a queue shall be otherwise; None leaves it as it is."""

    name: str | None = None
    comment: str | None = None
    status: QueueStatus | None = None
    concurrent_task_limit: int | None = None


class ChangedQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue after a change, and the log position where a view shows it. ``replayed``: the first answer again."""

    queue: CallbackQueue
    position: int
    replayed: bool = False


class CallbackQueues:
    """Creates, changes and shows queues; each is read from the log, so always as of now."""

    def __init__(self, log: EventLog, numbers: IdSequences) -> None:
        """Record in ``log``, under new ``numbers``."""
        self._log = log
        self._numbers = numbers

    async def create(self, wanted: NewQueue, request: Request) -> ChangedQueue:
        """Create a queue. Raises InvalidField, KeyReused, ConcurrentUpdate and StorageUnavailable."""
        caller = request.holder
        facts = create(
            wanted.name,
            comment=wanted.comment,
            status=wanted.status,
            concurrent_task_limit=wanted.concurrent_task_limit,
        )
        idempotency_key = idempotency_key_of(request, f"token/{caller.token_id}")
        if answer := await self._answered(idempotency_key):
            return answer
        stream = queue_stream(await self._numbers.new_queue_id())
        envelope = request.envelope(caller.organization_id, caller.actor)
        try:
            appended = await self._log.append(stream, 0, facts, envelope, idempotency_key)
        except IdempotencyKeyTaken as error:
            if answer := await self._answered(idempotency_key):
                return answer
            raise ConcurrentUpdate from error
        return _shown(appended.events)

    async def get(self, queue_id: int, organization_id: int) -> ChangedQueue:
        """Answer the queue as it is. Raises QueueNotFound."""
        shown = _shown(await self._events(queue_id, organization_id))
        if shown.queue.is_deleted:
            raise QueueNotFound
        return shown

    async def change(self, queue_id: int, wanted: QueueChange, request: Request) -> ChangedQueue:
        """Change the queue. Raises QueueNotFound, InvalidField, ConcurrentUpdate, StorageUnavailable."""
        given = msgspec.structs.asdict(wanted)
        return await self._change(queue_id, request, lambda queue: queue.change(**given))

    async def choose_rules(self, queue_id: int, rules: CallingRules, request: Request) -> ChangedQueue:
        """Choose how the queue calls, beyond the contract; the rules that it had are void.

        Raises QueueNotFound, InvalidField, ConcurrentUpdate, StorageUnavailable.
        """
        return await self._change(queue_id, request, lambda queue: queue.choose_rules(rules))

    async def delete(self, queue_id: int, request: Request) -> ChangedQueue:
        """Delete the queue; what waits in it is cancelled. Raises QueueNotFound, ConcurrentUpdate, StorageUnavailable."""
        return await self._change(queue_id, request, CallbackQueue.delete)

    async def _change(self, queue_id: int, request: Request, decide: Decision) -> ChangedQueue:
        caller = request.holder
        for _ in range(_RETRIES):
            events = await self._events(queue_id, caller.organization_id)
            shown = _shown(events)
            try:
                facts = decide(shown.queue)
            except AlreadyDeleted as error:
                raise QueueNotFound from error
            if not facts:
                return shown
            envelope = request.envelope(caller.organization_id, caller.actor)
            try:
                appended = await self._log.append(queue_stream(queue_id), shown.queue.version, facts, envelope)
            except ConcurrentUpdate:
                continue
            return _shown([*events, *appended.events])
        raise ConcurrentUpdate

    async def _events(self, queue_id: int, organization_id: int) -> Sequence[Recorded[QueueFact]]:
        events = await self._log.read(queue_stream(queue_id))
        if not events or events[0].organization_id != organization_id:
            raise QueueNotFound
        return events

    async def _answered(self, idempotency_key: IdempotencyKey | None) -> ChangedQueue | None:
        claimed = await answered(self._log, idempotency_key)
        if claimed is None:
            return None
        events: Sequence[Recorded[Any]] = await self._log.read(claimed.stream)
        return _shown(events[: claimed.version], replayed=True)


def _shown(events: Sequence[Recorded[QueueFact]], *, replayed: bool = False) -> ChangedQueue:
    queue = replay(events)
    if queue is None:
        raise QueueNotFound
    return ChangedQueue(queue=queue, position=events[-1].position, replayed=replayed)
